"""The progress bar: loss, online accuracy, images/s and the time left."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ssl_host.train.module import PretrainModule


class ProgressBar:
    """One line on a terminal; on anything else a line an epoch."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None

    def start(self, module: PretrainModule) -> None:
        """Show where training stands before its first step."""
        if not self.console.is_terminal:
            return
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[row]}"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.task = self.bar.add_task(
            "", total=module.total_steps, completed=module.step, epoch=0, row=""
        )
        self.bar.start()

    def step(self, module: PretrainModule, row: dict[str, float]) -> None:
        """After a step; ``row`` is the last that was logged."""
        if self.bar is not None:
            self.bar.update(
                self.task, completed=module.step, epoch=module.epoch + 1, row=_text(row)
            )

    def epoch(self, module: PretrainModule, row: dict[str, float]) -> None:
        """After an epoch, which the module counts already."""
        if self.bar is None:
            epochs = module.experiment.config.run.epochs
            self.console.print(f"epoch {module.epoch}/{epochs}  {_text(row)}")

    def stop(self) -> None:
        """Take the line away; more than once does no harm."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _text(row: dict[str, float]) -> str:
    if not row:
        return ""
    parts = [f"loss {row['loss']:.4f}"]
    if "online_top1" in row:
        parts.append(f"online {100 * row['online_top1']:.1f} %")
    parts.append(f"{row['images_per_s']:.0f} images/s")
    return "  ".join(parts)
