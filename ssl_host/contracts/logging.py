"""Base class of loggers, and the record of a run that loggers and run hooks receive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ssl_host.contracts.component import Component


@dataclass(frozen=True)
class Run:
    """Record that describes a run to loggers and run hooks.

    Attributes:
        name: name of the run, ``[run] name``.
        folder: path of the run folder.
        seed: seed of the run, ``[run] seed``.
        config: every value of the resolved configuration, by section and key.
        resumed_step: optimizer step from which this process resumes the run; 0 in a new run.
    """

    name: str
    folder: Path
    seed: int
    config: Mapping[str, Mapping[str, Any]]
    resumed_step: int = 0


class Logger(Component):
    """Base class of loggers, which write a run's metrics to a file or a service.

    Only the first process of a run writes.
    """

    kind: ClassVar[str] = "logger"

    def start(self, run: Run) -> None:
        """Open the log. Keep the rows up to step ``run.resumed_step`` and delete later ones."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write metrics by name that were measured after ``step`` optimizer steps."""
        raise NotImplementedError(f"{type(self).__qualname__} has no log")

    def flush(self) -> None:
        """Write all buffered values to the disk. Called before a checkpoint is written."""

    def finish(self, results: Mapping[str, Any] | None) -> None:
        """Close the log, at the end of the run or when it stops early.

        Args:
            results: the content of ``results.json``, or None if the run stopped before its end.
        """
