"""Show the progress of the training: loss, online accuracy, images per second, time left."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ssl_host.train.state import TrainingState


class ProgressBar:
    """Progress bar on a terminal; elsewhere, such as in a log file, one line per epoch."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None

    def start(self, state: TrainingState) -> None:
        """Show the progress bar, before the first step."""
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
            "", total=state.total_steps, completed=state.step, epoch=0, row=""
        )
        self.bar.start()

    def show_step(self, state: TrainingState, row: dict[str, float]) -> None:
        """Update the bar after a step; ``row`` is the last logged row of metrics."""
        if self.bar is not None:
            self.bar.update(
                self.task, completed=state.step, epoch=state.epoch + 1, row=_format_row(row)
            )

    def show_epoch(self, state: TrainingState, row: dict[str, float]) -> None:
        """Print a line after an epoch if there is no bar; ``state`` already counts this epoch."""
        if self.bar is None:
            self.console.print(f"epoch {state.epoch}/{state.epochs}  {_format_row(row)}")

    def stop(self) -> None:
        """Stop updating the bar; calling this again has no effect."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def _format_row(row: dict[str, float]) -> str:
    """Return a row of metrics as text: loss and chance level, online accuracy in %, images/s."""
    if not row:
        return ""
    fields = [f"loss {row['loss']:.4f}"]
    if "chance_loss" in row:
        fields[0] += f" (chance {row['chance_loss']:.4f})"
    if "online_top1" in row:
        fields.append(f"online {100 * row['online_top1']:.1f} %")
    fields.append(f"{row['images_per_s']:.0f} images/s")
    return "  ".join(fields)
