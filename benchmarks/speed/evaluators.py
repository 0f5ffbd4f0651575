"""Time of each evaluator that works on features, and of scikit-learn where it would be the choice.

    python benchmarks/speed/evaluators.py --rounds 1 --to benchmarks/results/evaluators.json

Prints a Markdown table of the median seconds of all rounds, and writes it next to the JSON file
with all seconds. Evaluators that need a network
(attentive, finetune, linear_grid, robustness) depend on its speed and are left out; of lidar, the
part after the network is timed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from comparison import describe_machine
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ssl_host
from ssl_host import FeatureBank, Features

EVALUATORS = (
    "knn",
    "linear",
    "few_label",
    "rankme",
    "alignment_uniformity",
    "clustering",
    "logistic",
    "retrieval",
    "alpha_req",
    "lidar",
)
INSTEAD = {
    "knn": "KNeighborsClassifier",
    "linear": "LogisticRegression, one C",
    "clustering": "KMeans, 10 starts",
    "logistic": "LogisticRegression, one C",
}
"""What one would use of scikit-learn instead of an evaluator."""
Work = Callable[[], object]


def make_bank(images: int, dim: int, classes: int) -> FeatureBank:
    """Return features of noisy classes: ``images`` for training and a fifth as many for tests."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, dim, generator=generator)

    def draw(count: int) -> Features:
        y = torch.arange(count) % classes
        return Features(centres[y] + 4 * torch.randn(count, dim, generator=generator), y)

    train, test = draw(images), draw(images // 5)
    first = train.x[:2048]
    pairs = first, first + 0.1 * torch.randn(first.shape, generator=generator)
    return FeatureBank(train, test, classes, view_pairs=lambda: pairs)


def evaluator_work(name: str, bank: FeatureBank) -> Work:
    """Return a function that runs an evaluator with its default settings."""
    if name == "lidar":
        from ssl_plugin_evaluators.lidar import lidar

        views = torch.randn(1000, 50, bank.train.x.shape[1])
        return lambda: lidar(views)
    evaluator = ssl_host.build("evaluator", name)
    return lambda: evaluator.evaluate(bank)


def scikit_learn_work(name: str, bank: FeatureBank) -> Work | None:
    """Return what one would write with scikit-learn instead of an evaluator; see ``INSTEAD``."""
    x, y = bank.train.x.numpy(), bank.train.y.numpy()
    xt, yt = bank.test.x.numpy(), bank.test.y.numpy()
    if name == "clustering":
        return lambda: KMeans(bank.num_classes, n_init=10).fit(x).predict(xt)
    if name in ("linear", "logistic"):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
        return lambda: model.fit(x, y).score(xt, yt)
    if name == "knn":
        knn = KNeighborsClassifier(200, metric="cosine")
        return lambda: knn.fit(x, y).score(xt, yt)
    return None


def time_in_turns(works: list[Work], rounds: int) -> list[list[float]]:
    """Return the seconds of each function in each round; all take turns."""
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for times, work in zip(seconds, works, strict=True):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return seconds


def table(results: dict[str, dict[str, list[float]]]) -> str:
    """Return the median seconds of each evaluator as a Markdown table."""
    lines = ["| evaluator | seconds | scikit-learn | seconds |", "|---|---:|---|---:|"]
    for name, seconds in results.items():
        cells = [f"{median(seconds['seconds']):.1f}", "–", "–"]
        if "scikit_learn" in seconds:
            cells[1:] = [INSTEAD[name], f"{median(seconds['scikit_learn']):.1f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=EVALUATORS, default=EVALUATORS)
    parser.add_argument("--to", type=Path, help="JSON file for all seconds")
    options = parser.parse_args()
    bank = make_bank(options.images, options.dim, options.classes)
    shape = f"{options.images:,} x {options.dim}, {options.classes} classes"
    results: dict[str, dict[str, list[float]]] = {}
    for name in options.only:
        other = scikit_learn_work(name, bank)
        works = [evaluator_work(name, bank), *([other] if other else [])]
        names = ("seconds", "scikit_learn")
        results[name] = dict(zip(names, time_in_turns(works, options.rounds), strict=False))
        print(f"{name}: {results[name]}", flush=True)
    print(table(results))
    if options.to:
        text = {"features": shape, "machine": describe_machine(), "seconds": results}
        options.to.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
        options.to.with_suffix(".md").write_text(table(results), encoding="utf-8")


if __name__ == "__main__":
    main()
