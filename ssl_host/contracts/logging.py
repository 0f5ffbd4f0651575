"""Base class of loggers, and the record of a run that loggers and hooks receive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ssl_host.contracts.component import Component


@dataclass(frozen=True)
class Run:
    """Name, folder and configuration of a run, passed to loggers and hooks.

    Attributes:
        name: name of the run, ``[run] name``.
        folder: path of the run folder.
        seed: seed of the run, ``[run] seed``.
        config: all values of the resolved configuration, keyed by section and then by key.
        resumed_step: optimizer step at which the run was resumed; 0 for a new run.
    """

    name: str
    folder: Path
    seed: int
    config: Mapping[str, Mapping[str, Any]]
    resumed_step: int = 0


class Logger(Component):
    """Base class of loggers, which write a run's metrics to a file or a service.

    The host calls loggers only in the process with rank 0.
    """

    kind: ClassVar[str] = "logger"

    def start(self, run: Run) -> None:
        """Open the log. Keep rows up to step ``run.resumed_step`` and delete later rows."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write metrics, keyed by name, that were measured after ``step`` optimizer steps."""
        raise NotImplementedError(f"{type(self).__qualname__} does not implement log()")

    def flush(self) -> None:
        """Write all buffered values to disk; the host calls this before it writes a checkpoint."""

    def finish(self, results: Mapping[str, Any] | None) -> None:
        """Close the log when the run ends or stops early.

        Args:
            results: contents of ``results.json``, or None if the run stopped early.
        """
