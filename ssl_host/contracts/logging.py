"""Base class of loggers, and the description of a run that loggers and run hooks receive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ssl_host.contracts.component import Component


@dataclass(frozen=True)
class Run:
    """Description of a run for loggers and run hooks.

    Attributes:
        name: ``[run] name``.
        folder: the run folder.
        seed: ``[run] seed``.
        config: every resolved value, by section and key.
        resumed_step: optimizer steps done by earlier processes of this run; 0 in a new run.
    """

    name: str
    folder: Path
    seed: int
    config: Mapping[str, Mapping[str, Any]]
    resumed_step: int = 0


class Logger(Component):
    """Writes scalars to a file or a service, in the first process of a run only."""

    kind: ClassVar[str] = "logger"

    def start(self, run: Run) -> None:
        """Open the log. Keep rows up to ``run.resumed_step`` and drop later ones."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write scalars measured after ``step`` optimizer steps."""
        raise NotImplementedError(f"{type(self).__qualname__} has no log")

    def flush(self) -> None:
        """Write everything to the disk. Called before a checkpoint is written."""

    def finish(self, results: Mapping[str, Any] | None) -> None:
        """Close the log.

        Args:
            results: the content of ``results.json``, or None if the run stopped before its end.
        """
