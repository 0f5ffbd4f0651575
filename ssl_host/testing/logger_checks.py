"""Conformance checks for loggers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from ssl_host.contracts.logging import Logger, Run
from ssl_host.errors import UserError
from ssl_host.testing.component_checks import check_recorded_reads, track_reads
from ssl_host.testing.outcome import NotApplicable
from ssl_host.testing.target import CheckTarget


def settings_declared(target: CheckTarget) -> str:
    """Check that the logger reads only settings that its Config declares."""
    settings, read, unknown = track_reads(target.make_settings())
    logger: Logger = target.make(settings)
    with tempfile.TemporaryDirectory() as folder:
        _start(logger, Run("name", Path(folder), 0, {}))
        logger.log(1, {"loss": 1.0})
        logger.finish(None)
    return check_recorded_reads(target, read, unknown, {"name"})


def logs_a_run(target: CheckTarget) -> str:
    """Check that the logger accepts NaN, new metrics in later steps, and a resumed run."""
    rows: list[Mapping[str, float]] = [
        {"loss": 1.0, "learning_rate": 0.1},
        {"loss": float("nan"), "online_top1": 0.5},
        {"loss": 1e30},
    ]
    with tempfile.TemporaryDirectory() as folder:
        run = Run("näme", Path(folder), 0, {"run": {"name": "näme"}})
        for resumed_step in (0, 2):
            logger = target.make()
            _start(logger, Run(run.name, run.folder, run.seed, run.config, resumed_step))
            for step, row in enumerate(rows, resumed_step + 1):
                logger.log(step, row)
            logger.flush()
            logger.finish({"metrics": {"knn.top1": 0.5}} if resumed_step else None)
        files = sorted(p.name for p in Path(folder).rglob("*") if p.is_file())
    return f"wrote {', '.join(files[:3])}" if files else "wrote nothing into the run's folder"


def _start(logger: Logger, run: Run) -> None:
    """Start a logger; raise NotApplicable if it cannot start, for example without an account."""
    try:
        logger.start(run)
    except UserError as error:
        raise NotApplicable(f"{error}; pass settings with -o logger.KEY=VALUE") from None
