"""Speed comparisons in which all alternatives take turns in one process."""

from __future__ import annotations

import datetime
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from ssl_host.config.auto_settings import cpu_has_bf16
from ssl_host.pipeline.environment import cpu_model

ROUNDS = 5
"""Measurements of each alternative."""

SpeedMeasurement = Callable[[], float]
"""Does some work and returns its speed in units per second."""

TABLE_HEADER = (
    "| measure | ssl-host | against | theirs | ratio (lowest–highest) | at least |\n"
    "|---|---:|---|---:|---:|---:|"
)


@dataclass(frozen=True)
class Comparison:
    """Speeds of several alternatives, one value per round.

    Attributes:
        speeds: units per second by alternative, ssl-host first.
        at_least: required ratio of ssl-host's speed to that of an alternative, if any.
    """

    title: str
    unit: str
    speeds: Mapping[str, list[float]]
    at_least: Mapping[str, float]

    def rows(self) -> list[dict]:
        """Return a row per alternative: median speeds, and the ratio with its range."""
        ours, *others = self.speeds
        rows = []
        for other in others:
            ratios = [a / b for a, b in zip(self.speeds[ours], self.speeds[other], strict=True)]
            rows.append(
                {
                    "measure": self.title,
                    "unit": self.unit,
                    "ours": statistics.median(self.speeds[ours]),
                    "against": other,
                    "theirs": statistics.median(self.speeds[other]),
                    "ratio": statistics.median(ratios),
                    "lowest": min(ratios),
                    "highest": max(ratios),
                    "at_least": self.at_least.get(other),
                }
            )
        return rows


def compare(
    title: str,
    alternatives: Mapping[str, SpeedMeasurement],
    at_least: Mapping[str, float],
    unit: str = "images/s",
    is_warm: bool = False,
) -> Comparison:
    """Measure all alternatives in turns, after one unmeasured call of each.

    Args:
        is_warm: True if the alternatives need no call to warm up.
    """
    if not is_warm:
        for measure in alternatives.values():
            measure()
    speeds: dict[str, list[float]] = {name: [] for name in alternatives}
    for number in range(ROUNDS):
        # Reverse the order in every other round: the second alternative finds a warmer machine.
        for name in list(alternatives)[:: 1 if number % 2 == 0 else -1]:
            speeds[name].append(alternatives[name]())
    return Comparison(title, unit, speeds, at_least)


def speed_of(work: Callable[[], int]) -> SpeedMeasurement:
    """Return a measurement of work that returns how many units it has processed."""

    def measure() -> float:
        start = time.perf_counter()
        return work() / (time.perf_counter() - start)

    return measure


def describe_machine() -> dict[str, str]:
    """Return the date, the commit, the processor and the versions of a measurement."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        check=False,
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    machine = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "commit": commit.stdout.strip(),
        "processor": cpu_model(),
        "threads": str(torch.get_num_threads()),
        "bf16 in hardware": str(cpu_has_bf16()),
    }
    for name in ("torch", "torchvision", "pytorch-lightning", "lightly", "kornia", "ffcv"):
        with suppress(PackageNotFoundError):
            machine[name] = version(name)
    return machine


def format_row(row: Mapping) -> str:
    """Return a row of a comparison as a line of a Markdown table."""
    required = "–" if row["at_least"] is None else f"{row['at_least']:.3g}"
    ratios = f"{row['lowest']:.2f}–{row['highest']:.2f}"
    return (
        f"| {row['measure']} | {format_number(row['ours'])} {row['unit']} | {row['against']} | "
        f"{format_number(row['theirs'])} | {row['ratio']:.2f} ({ratios}) | {required} |"
    )


def format_number(value: float) -> str:
    """Return a number with at least three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
