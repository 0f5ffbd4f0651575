"""Loggers that ship with the host."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from ssl_host import Logger, Run, Settings, UserError

IN_FOLDER = r"^[^./\\][^/\\]*"
"""How a name begins that stays in the folder it is put into."""


class CSV(Logger):
    """``metrics.csv``: one row a logged step. A new column rewrites the header, losing nothing."""

    class Config(Settings):
        file: str = Field(
            "metrics.csv",
            pattern=IN_FOLDER + r"\.csv$",
            description="name in the run's folder: no path, and ends with .csv",
        )

    def start(self, run: Run) -> None:
        self.path = run.folder / self.config.file
        self.columns = ["step"]
        self.rows: list[dict[str, str]] = []
        if self.path.exists() and run.resumed_step:
            self._read(run.resumed_step)
        self._rewrite()

    def _read(self, steps: int) -> None:
        """Take over the rows up to a step."""
        try:
            text = self.path.read_text(encoding="utf-8")
            # A last row without its end was torn, perhaps within the number of its step.
            reader = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
            self.columns = list(reader.fieldnames or ["step"])
            kept = [row for row in reader if (row["step"] or "").isdigit()]
        except (UnicodeDecodeError, csv.Error, KeyError):
            raise UserError(
                f"{self.path} is no table with a column 'step' any more; rename it and give the "
                f"same command again: the rows up to step {steps} will be missing"
            ) from None
        self.rows = [row for row in kept if int(row["step"]) <= steps]

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        row = {"step": str(step), **{name: f"{value:.8g}" for name, value in metrics.items()}}
        fresh = [name for name in row if name not in self.columns]
        self.columns += fresh
        self.rows.append(row)
        if fresh:
            self.open.close()
            self._rewrite()
        else:
            self.writer.writerow(row)
            self.open.flush()

    def flush(self) -> None:
        os.fsync(self.open.fileno())

    def finish(self, results: Mapping[str, Any] | None) -> None:
        self.flush()
        self.open.close()

    def _rewrite(self) -> None:
        beside = self.path.with_suffix(".partial")
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        beside.replace(self.path)
        # Kept open: opening it for each row takes longer than all else that a row needs.
        self.open = self.path.open("a", newline="", encoding="utf-8")
        self.writer = csv.DictWriter(self.open, self.columns, lineterminator="\n")


class TensorBoard(Logger):
    """Event files in ``tensorboard/`` of the run's folder."""

    class Config(Settings):
        folder: str = Field(
            "tensorboard", pattern=IN_FOLDER + "$", description="name in the run's folder, no path"
        )

    def start(self, run: Run) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional
        except ImportError:
            raise UserError(
                "[logger.tensorboard] needs the package tensorboard: pip install tensorboard"
            ) from None
        # purge_step hides what an earlier process logged after the checkpoint it resumes from
        purge = run.resumed_step + 1 if run.resumed_step else None
        self.writer = SummaryWriter(str(run.folder / self.config.folder), purge_step=purge)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self.writer.flush()

    def finish(self, results: Mapping[str, Any] | None) -> None:
        self.writer.close()
