"""Evaluators and loggers."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from ssl_host.contracts.evaluation import Evaluation, Evaluator, FeatureBank, Features
from ssl_host.contracts.logging import Logger, Run
from ssl_host.errors import UserError
from ssl_host.testing.component_checks import judge_reading, watched
from ssl_host.testing.outcome import CheckFailure, NotApplicable
from ssl_host.testing.target import CheckTarget

CLASSES = 4


# -- evaluators -----------------------------------------------------------------------------


def _features(count: int, seed: int, informative: bool) -> Features:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % CLASSES
    x = torch.randn(count, 12, generator=generator)
    centres = 6 * torch.randn(CLASSES, 12, generator=torch.Generator().manual_seed(9))
    return Features(x + centres[y] if informative else x, y)


def _bank(informative: bool = True, labels: bool = True) -> FeatureBank:
    train, test = _features(240, 0, informative), _features(120, 1, informative)
    if not labels:
        train, test = Features(train.x), Features(test.x)
    return FeatureBank(train, test, CLASSES if labels else 0, view_pairs=lambda: (train.x, train.x))


def _evaluator(target: CheckTarget) -> Evaluator:
    made: Evaluator = target.make()
    if made.needs_encoder:
        raise NotApplicable("it trains the network itself; run it by an INI file")
    return made


def _evaluate(target: CheckTarget, bank: FeatureBank) -> Evaluation:
    torch.manual_seed(0)
    found = _evaluator(target).evaluate(bank)
    if not isinstance(found, Evaluation):
        raise CheckFailure(
            f"evaluate returned {type(found).__name__}",
            "the host reads metrics, artifacts and notes from an Evaluation",
            "return Evaluation({'top1': ...})",
        )
    return found


def metrics_are_finite(target: CheckTarget) -> str:
    """Metrics are finite numbers, accuracies fractions from 0 to 1."""
    metrics = _evaluate(target, _bank()).metrics
    declared = target.cls.metrics
    for name, value in metrics.items():
        if declared and not any(re.fullmatch(_pattern(known), name) for known in declared):
            raise CheckFailure(
                f"the metric '{name}' is not among the declared {', '.join(declared)}",
                "reference pages and tables are made of what is declared",
                f"add it to {target.cls.__qualname__}.metrics with what it means",
            )
        accuracy = name.rpartition(".")[2].startswith("top")
        if not math.isfinite(value) or (accuracy and not 0 <= value <= 1):
            raise CheckFailure(
                f"{name} is {value}",
                "results.json holds finite numbers, and tables print fractions as per cent",
                "return float(hits / count)",
            )
    return ", ".join(f"{name or target.name} {value:.3g}" for name, value in metrics.items())


def _pattern(declared: str) -> str:
    """N as a part of a name is any number."""
    return r"\.".join(r"\d+" if part == "N" else re.escape(part) for part in declared.split("."))


def separates_classes(target: CheckTarget) -> str:
    """Separate classes are found, and noise is not."""
    good = _evaluate(target, _bank()).metrics
    bad = _evaluate(target, _bank(informative=False)).metrics
    names = [name for name in good if name.rpartition(".")[2] == "top1"]
    if not names:
        raise NotApplicable("it gives no accuracy (a metric named top1)")
    chance = 1 / CLASSES
    for name in names:
        if good[name] < 0.8 or bad[name] > chance + 0.25:
            raise CheckFailure(
                f"{name} is {good[name]:.2f} on separate classes and {bad[name]:.2f} on noise, "
                f"where chance is {chance:.2f}",
                "a figure that noise reaches is no figure: test labels leak, perhaps",
                "fit on bank.train, count on bank.test, and check that labels are not shifted",
            )
    return f"{good[names[0]]:.2f} against {bad[names[0]]:.2f} on noise"


def no_test_leakage(target: CheckTarget) -> str:
    """Other test labels change figures, but nothing that was fitted or chosen."""
    bank = _bank()
    assert bank.test is not None
    assert bank.test.y is not None
    other = FeatureBank(
        bank.train, Features(bank.test.x, bank.test.y.flip(0)), CLASSES, view_pairs=bank.view_pairs
    )
    first, second = _evaluate(target, bank), _evaluate(target, other)
    for stem, tensors in first.artifacts.items():
        for name, tensor in tensors.items():
            if not torch.equal(tensor, second.artifacts[stem][name]):
                raise CheckFailure(
                    f"{name} of {stem} depends on the test labels",
                    "a rate or an epoch that is picked on the test split flatters every figure",
                    "choose on a part of bank.train that is held out for it",
                )
    return f"{len(first.artifacts)} artifacts"


def features_unchanged(target: CheckTarget) -> str:
    """Features are as they were, and a second evaluation gives the same."""
    bank = _bank()
    before = bank.train.x.clone()
    first, second = _evaluate(target, bank), _evaluate(target, bank)
    if not torch.equal(bank.train.x, before):
        raise CheckFailure(
            "the features have been changed in place",
            "all evaluators share them",
            "work on a copy: x = bank.train.x.clone()",
        )
    if dict(first.metrics) != dict(second.metrics):
        raise CheckFailure(
            f"a second evaluation gives {dict(second.metrics)} after {dict(first.metrics)}",
            "`ssl-host evaluate` would contradict the run",
            "seed draws with bank.seed",
        )
    return ""


def works_without_labels(target: CheckTarget) -> str:
    """An evaluator that says it needs no labels needs none."""
    if _evaluator(target).needs_labels:
        raise NotApplicable("needs_labels = True: the host leaves it out where there are none")
    return ", ".join(_evaluate(target, _bank(labels=False)).metrics) or "rankme"


# -- loggers --------------------------------------------------------------------------------


def logs_a_run(target: CheckTarget) -> str:
    """It starts, takes rows with new names and odd values, goes on after a resume, and ends."""
    rows: list[Mapping[str, float]] = [
        {"loss": 1.0, "learning_rate": 0.1},
        {"loss": float("nan"), "online_top1": 0.5},
        {"loss": 1e30},
    ]
    with tempfile.TemporaryDirectory() as folder:
        run = Run("näme", Path(folder), 0, {"run": {"name": "näme"}})
        for resumed in (0, 2):
            logger = target.make()
            _start(logger, Run(run.name, run.folder, run.seed, run.config, resumed))
            for step, row in enumerate(rows, resumed + 1):
                logger.log(step, row)
            logger.flush()
            logger.finish({"metrics": {"knn.top1": 0.5}} if resumed else None)
        left = sorted(p.name for p in Path(folder).rglob("*") if p.is_file())
    return f"wrote {', '.join(left[:3])}" if left else "wrote nothing into the run's folder"


def _start(logger: Logger, run: Run) -> None:
    """A logger that cannot begin here, such as for want of an account, is not judged."""
    try:
        logger.start(run)
    except UserError as error:
        raise NotApplicable(f"{error}; its settings: -o logger.KEY=VALUE") from None


def settings_declared(target: CheckTarget) -> str:
    """Nothing is read that Config does not declare."""
    settings, read, unknown = watched(target.make_settings())
    made = target.make(settings)
    if target.kind == "evaluator" and not made.needs_encoder:
        made.evaluate(_bank())
    elif target.kind == "logger":
        with tempfile.TemporaryDirectory() as folder:
            _start(made, Run("name", Path(folder), 0, {}))
            made.log(1, {"loss": 1.0})
            made.finish(None)
    return judge_reading(target, read, unknown, {"name"})
