"""Loggers, and what run hooks are told about a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ssl_host.contracts.component import Component
from ssl_host.contracts.settings import Settings


@dataclass(frozen=True)
class Run:
    """A run, as loggers and run hooks see it.

    Attributes:
        name: ``[run] name``.
        folder: the run's folder.
        seed: ``[run] seed``.
        config: every resolved value, by section.
        resumed_step: optimizer steps that an earlier process of this run has done; 0 at a start.
    """

    name: str
    folder: Path
    seed: int
    config: Mapping[str, Mapping[str, Any]]
    resumed_step: int = 0


class Logger(Component):
    """Writes scalars somewhere. Only the first process of a run has any."""

    kind: ClassVar[str] = "logger"

    def __init__(self, config: Settings) -> None:
        self.config: Any = config
        self.setup()

    def start(self, run: Run) -> None:
        """Open. ``run.resumed_step`` steps stay; rows logged after them are to be dropped."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write scalars that belong to ``step`` finished optimizer steps."""
        raise NotImplementedError(f"{type(self).__qualname__} has no log")

    def flush(self) -> None:
        """Bring everything to the disk; called before a checkpoint is written."""

    def finish(self, results: Mapping[str, Any] | None) -> None:
        """Close. ``results`` is what ``results.json`` holds, or None if the run stopped."""
