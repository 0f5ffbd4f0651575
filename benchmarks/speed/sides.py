"""Sides of a comparison, measured in turns within one process, so that the day's speed cancels."""

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
from ssl_host.pipeline.environment import processor

ROUNDS = 5

Speed = Callable[[], float]
"""Does some work and returns units a second."""


@dataclass(frozen=True)
class Comparison:
    """Speeds of each side, round by round.

    Attributes:
        speeds: units a second, by side, ours first.
        at_least: what each other side's ratio is meant to reach, where something was promised.
    """

    title: str
    unit: str
    speeds: Mapping[str, list[float]]
    at_least: Mapping[str, float]

    def rows(self) -> list[dict]:
        """One row for each other side: medians, and the ratio with its spread over the rounds."""
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
    sides: Mapping[str, Speed],
    at_least: Mapping[str, float],
    unit: str = "images/s",
    warm: bool = False,
) -> Comparison:
    """Every side once to warm up, unless it has been, then all in turns."""
    for side in () if warm else sides.values():
        side()
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS):
        # Every other round in the opposite order: whoever comes second finds a warmer machine.
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            speeds[name].append(sides[name]())
    return Comparison(title, unit, speeds, at_least)


def clocked(work: Callable[[], int]) -> Speed:
    """The speed of work that returns how many units of it were done."""

    def speed() -> float:
        begun = time.perf_counter()
        return work() / (time.perf_counter() - begun)

    return speed


def machine() -> dict[str, str]:
    """When, where and with what something was measured."""
    here = Path(__file__).parent
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        check=False,
        cwd=here,
        capture_output=True,
        text=True,
    )
    found = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "commit": commit.stdout.strip(),
        "processor": processor(),
        "threads": str(torch.get_num_threads()),
        "bf16 in hardware": str(cpu_has_bf16()),
    }
    for name in ("torch", "torchvision", "pytorch-lightning", "lightly", "kornia", "ffcv"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def line(row: Mapping) -> str:
    """A row as a line of a Markdown table."""
    wanted = "–" if row["at_least"] is None else f"{row['at_least']:.3g}"
    spread = f"{row['lowest']:.2f}–{row['highest']:.2f}"
    return (
        f"| {row['measure']} | {figure(row['ours'])} {row['unit']} | {row['against']} | "
        f"{figure(row['theirs'])} | {row['ratio']:.2f} ({spread}) | {wanted} |"
    )


def figure(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


HEADER = (
    "| measure | ssl-host | against | theirs | ratio (lowest–highest) | at least |\n"
    "|---|---:|---|---:|---:|---:|"
)
