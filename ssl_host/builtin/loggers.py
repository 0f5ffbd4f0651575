"""Built-in loggers."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from ssl_host import Logger, Run, Settings, UserError

FILE_NAME = r"^[^./\\][^/\\]*"
"""Start of a regular expression for names of files in the run folder; it rejects paths."""


class CSV(Logger):
    """Writes ``metrics.csv`` with one row for each logged step; a new metric adds a column."""

    class Config(Settings):
        file: str = Field(
            "metrics.csv",
            pattern=FILE_NAME + r"\.csv$",
            description="name of the file in the run folder, without a path, ending in .csv",
        )

    config: Config

    def start(self, run: Run) -> None:
        self.path = run.folder / self.config.file
        self.columns = ["step"]
        self.rows: list[dict[str, str]] = []
        if self.path.exists() and run.resumed_step:
            self._load(run.resumed_step)
        self._rewrite()

    def _load(self, last_step: int) -> None:
        """Read the rows that an interrupted run wrote up to a step, and drop later rows.

        Raises:
            UserError: if the file is not a CSV file with a column ``step``.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
            # A last row without a newline is incomplete; even its step number may be cut off.
            reader = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
            self.columns = list(reader.fieldnames or ["step"])
            rows = [row for row in reader if (row["step"] or "").isdigit()]
        except (UnicodeDecodeError, csv.Error, KeyError):
            raise UserError(
                f"{self.path} is not a CSV file with a column 'step'; rename it and run the same "
                f"command again (the rows up to step {last_step} will be missing)"
            ) from None
        self.rows = [row for row in rows if int(row["step"]) <= last_step]

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        row = {"step": str(step), **{name: f"{value:.8g}" for name, value in metrics.items()}}
        new_columns = [name for name in row if name not in self.columns]
        self.columns += new_columns
        self.rows.append(row)
        if new_columns:
            self.file.close()
            self._rewrite()
        else:
            self.writer.writerow(row)
            self.file.flush()

    def flush(self) -> None:
        os.fsync(self.file.fileno())

    def finish(self, results: Mapping[str, Any] | None) -> None:
        self.flush()
        self.file.close()

    def _rewrite(self) -> None:
        """Write the header and all rows to a new file, and keep it open for further rows."""
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(self.path)
        # The file stays open, because opening it for each row takes longer than writing the row.
        self.file = self.path.open("a", newline="", encoding="utf-8")
        self.writer = csv.DictWriter(self.file, self.columns, lineterminator="\n")


class TensorBoard(Logger):
    """Writes event files for TensorBoard to the folder ``tensorboard`` in the run folder."""

    class Config(Settings):
        folder: str = Field(
            "tensorboard",
            pattern=FILE_NAME + "$",
            description="name of the folder for event files, inside the run folder; not a path",
        )

    config: Config

    def start(self, run: Run) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional
        except ImportError:
            raise UserError(
                "[logger.tensorboard] needs the package tensorboard: pip install tensorboard"
            ) from None
        # Hide the steps that an interrupted run logged after its last checkpoint.
        purge_step = run.resumed_step + 1 if run.resumed_step else None
        self.writer = SummaryWriter(str(run.folder / self.config.folder), purge_step=purge_step)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    def flush(self) -> None:
        self.writer.flush()

    def finish(self, results: Mapping[str, Any] | None) -> None:
        self.writer.close()
