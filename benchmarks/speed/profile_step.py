"""Measure where the time of a training step goes.

    python benchmarks/speed/profile_step.py

Writes benchmarks/results/profile.json and profile.md: mean times over the steps of SimCLR with the
small backbone and with ResNet-18, 32 px, batch 128, float32.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from comparison import describe_machine
from training import RESNET, SMALL, build_experiment, time_host_step

from ssl_host.train.module import PretrainModule

NUM_SKIPPED = 4
"""Steps at the start that are not counted."""
RESULTS = Path(__file__).parents[1] / "results"


@contextmanager
def timed(owner: Any, name: str, times: list[float]) -> Iterator[None]:
    """Record the time of each call of a method while the context is open."""
    inner: Callable[..., Any] = getattr(owner, name)

    def call(*arguments: Any, **keywords: Any) -> Any:
        start = time.perf_counter()
        try:
            return inner(*arguments, **keywords)
        finally:
            times.append(time.perf_counter() - start)

    setattr(owner, name, call)
    try:
        yield
    finally:
        setattr(owner, name, inner)


def profile(backbone: dict, steps: int) -> dict[str, float]:
    """Return the mean milliseconds of a whole step and of its stages."""
    experiment = build_experiment(backbone, steps)
    times: dict[str, list[float]] = defaultdict(list)
    with (
        timed(type(experiment.views), "__call__", times["views"]),
        timed(experiment.method, "step", times["forward"]),
        timed(torch.Tensor, "backward", times["backward"]),
        timed(PretrainModule, "on_after_backward", times["check of the gradients"]),
        timed(experiment.method, "finish_step", times["EMA, queues and schedules"]),
        timed(torch.optim.SGD, "step", times["optimizer and its closure"]),
    ):
        step_time = time_host_step(experiment, NUM_SKIPPED)
    stages = {name: 1000 * statistics.fmean(each[NUM_SKIPPED:]) for name, each in times.items()}
    # Lightning's closure, which the optimizer calls, makes views, forward and backward.
    in_closure = ("views", "forward", "backward", "check of the gradients")
    optimizer_and_closure = stages.pop("optimizer and its closure")
    stages["optimizer"] = optimizer_and_closure - sum(stages[name] for name in in_closure)
    stages["everything else: loader, metrics rows, Lightning"] = 1000 * step_time - sum(
        stages.values()
    )
    return {"whole step": 1000 * step_time, **stages}


def main() -> None:
    columns = {"small backbone": profile(SMALL, 44), "ResNet-18": profile(RESNET, 12)}
    lines = [f"| stage | {' | '.join(f'{title}, ms' for title in columns)} |", "|---|---:|---:|"]
    for stage in next(iter(columns.values())):
        numbers = " | ".join(f"{column[stage]:.1f}" for column in columns.values())
        lines.append(f"| {stage} | {numbers} |")
    results = json.dumps({"machine": describe_machine(), "milliseconds": columns}, indent=1) + "\n"
    (RESULTS / "profile.json").write_text(results, encoding="utf-8")
    text = "\n".join(lines) + "\n"
    (RESULTS / "profile.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
