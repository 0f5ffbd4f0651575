"""The progress bar: loss, online accuracy, images/s and the time left."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ssl_host.train.keeper import Keeper
from ssl_host.train.module import PretrainModule


class ProgressBar(pl.Callback):
    """One line on a terminal; on anything else a line an epoch."""

    def __init__(self, console: Console, keeper: Keeper) -> None:
        self.console = console
        self.keeper = keeper
        self.bar: Progress | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PretrainModule)
        if not (trainer.is_global_zero and self.console.is_terminal):
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
            "", total=pl_module.total_steps, completed=pl_module.step, epoch=0, row=""
        )
        self.bar.start()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        assert isinstance(pl_module, PretrainModule)
        if self.bar is not None:
            self.bar.update(
                self.task,
                completed=pl_module.step,
                epoch=pl_module.epoch + 1,
                row=_text(self.keeper.row),
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, PretrainModule)
        if self.bar is None and trainer.is_global_zero:
            epochs = pl_module.experiment.config.run.epochs
            self.console.print(
                f"epoch {pl_module.epoch}/{epochs}  {_text(self.keeper.row)}", highlight=False
            )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    def _stop(self) -> None:
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
