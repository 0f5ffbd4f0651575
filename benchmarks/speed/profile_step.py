"""Where a training step's time goes: the host's own training, taken apart.

    python benchmarks/speed/profile_step.py

Writes benchmarks/results/profile.json and profile.md: means over the steps of a SimCLR run, small
backbone and ResNet-18, 32 px, batch 128, float32.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sides import machine
from training import RESNET, SMALL, experiment, hosts

from ssl_host.train.module import PretrainModule

SKIP = 4
"""Steps at the start that are not counted."""
RESULTS = Path(__file__).parents[1] / "results"


def timed(owner: Any, name: str, times: dict[str, list[float]], label: str) -> None:
    """Replace a function by itself, timed."""
    inner: Callable[..., Any] = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return inner(*arguments, **named)
        finally:
            times[label].append(time.perf_counter() - begun)

    setattr(owner, name, wrapped)


def taken_apart(backbone: dict, count: int) -> dict[str, float]:
    """Milliseconds of each part of a step."""
    made = experiment(backbone, count)
    times: dict[str, list[float]] = defaultdict(list)
    views = made.views
    timed(type(views), "__call__", times, "views")
    timed(made.method, "step", times, "forward")
    timed(made.method, "finish_step", times, "what moves after the step")
    timed(torch.Tensor, "backward", times, "backward")
    timed(PretrainModule, "on_after_backward", times, "a look at the gradients")
    timed(torch.optim.SGD, "step", times, "optimizer with forward and backward")
    whole = hosts(made, SKIP)
    found = {name: 1000 * statistics.fmean(values[SKIP:]) for name, values in times.items()}
    # The closure that the optimizer is given makes views, forward and backward.
    inside = ("views", "forward", "backward", "a look at the gradients")
    whole_closure = found.pop("optimizer with forward and backward")
    found["optimizer"] = whole_closure - sum(found[part] for part in inside)
    found["all else: loader, rows, Lightning"] = 1000 * whole - sum(found.values())
    return {"the whole step": 1000 * whole, **found}


def main() -> None:
    originals = [
        (type(experiment(SMALL, 2).views), "__call__"),
        (torch.Tensor, "backward"),
        (torch.optim.SGD, "step"),
        (PretrainModule, "on_after_backward"),
    ]
    kept = [(owner, name, getattr(owner, name)) for owner, name in originals]
    columns = {}
    for title, backbone, count in (
        ("small backbone", SMALL, 44),
        ("ResNet-18", RESNET, 12),
    ):
        columns[title] = taken_apart(backbone, count)
        for owner, name, function in kept:
            setattr(owner, name, function)
    lines = [f"| part | {' | '.join(f'{title}, ms' for title in columns)} |", "|---|---:|---:|"]
    for part in next(iter(columns.values())):
        lines.append(f"| {part} | {' | '.join(f'{c[part]:.1f}' for c in columns.values())} |")
    raw = json.dumps({"machine": machine(), "milliseconds": columns}, indent=1) + "\n"
    (RESULTS / "profile.json").write_text(raw, encoding="utf-8")
    text = "\n".join(lines) + "\n"
    (RESULTS / "profile.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
