"""Conformance checks for evaluators."""

from __future__ import annotations

import math

import torch

from ssl_host.contracts.evaluation import Evaluation, Evaluator, FeatureBank, Features, find_figure
from ssl_host.testing.component_checks import check_recorded_reads, track_reads
from ssl_host.testing.outcome import CheckFailure, NotApplicable
from ssl_host.testing.target import CheckTarget

NUM_CLASSES = 4


def _features(count: int, seed: int, separable: bool) -> Features:
    """Return 12-dimensional features with labels: either well-separated classes or noise."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % NUM_CLASSES
    x = torch.randn(count, 12, generator=generator)
    centres = 6 * torch.randn(NUM_CLASSES, 12, generator=torch.Generator().manual_seed(9))
    return Features(x + centres[y] if separable else x, y)


def _bank(separable: bool = True, labels: bool = True) -> FeatureBank:
    """Return a feature bank with synthetic training and test features."""
    train, test = _features(240, 0, separable), _features(120, 1, separable)
    if not labels:
        train, test = Features(train.x), Features(test.x)
    return FeatureBank(
        train, test, NUM_CLASSES if labels else 0, view_pairs=lambda: (train.x, train.x)
    )


def _evaluator(target: CheckTarget) -> Evaluator:
    """Return the evaluator; raise NotApplicable if it needs a network."""
    evaluator: Evaluator = target.make()
    if evaluator.needs_encoder:
        raise NotApplicable("it trains the network itself; test it in a run")
    return evaluator


def _evaluate(target: CheckTarget, bank: FeatureBank) -> Evaluation:
    """Return the evaluation of a feature bank by a new instance of the evaluator.

    Raises:
        CheckFailure: when the evaluator does not return an Evaluation.
    """
    torch.manual_seed(0)
    evaluation = _evaluator(target).evaluate(bank)
    if not isinstance(evaluation, Evaluation):
        raise CheckFailure(
            f"evaluate returned {type(evaluation).__name__}",
            "the host reads metrics, artifacts and notes from an Evaluation",
            "return Evaluation({'top1': ...})",
        )
    return evaluation


def metrics_are_finite(target: CheckTarget) -> str:
    """Check that metrics are declared and finite, and that those in % range from 0 to 1."""
    metrics = _evaluate(target, _bank()).metrics
    declared = target.cls.figures
    for name, value in metrics.items():
        figure = find_figure(declared, name)
        if figure is None:
            raise CheckFailure(
                f"the metric '{name}' is not declared in figures (declared: "
                f"{', '.join(declared) or 'none'})",
                "reference pages and tables list the declared metrics",
                f'add "{name}": Figure("its meaning") to {target.cls.__qualname__}.figures',
            )
        if not math.isfinite(value) or (figure.unit == "%" and not 0 <= value <= 1):
            raise CheckFailure(
                f"the metric {name} is {value}",
                "results.json stores finite numbers, and tables print fractions as percentages",
                "return a finite float, and for the unit % a fraction such as hits / count",
            )
    return ", ".join(f"{name or target.name} {value:.3g}" for name, value in metrics.items())


def separates_classes(target: CheckTarget) -> str:
    """Check that accuracy is at least 80% on separable classes and near chance on noise."""
    separable = _evaluate(target, _bank()).metrics
    noise = _evaluate(target, _bank(separable=False)).metrics
    figures = {name: find_figure(target.cls.figures, name) for name in separable}
    accuracies = (n for n, f in figures.items() if f and f.unit == "%" and f.baseline)
    names = [name for name in accuracies if not name.endswith("_std")]
    if not names:
        raise NotApplicable(
            'no metric in `figures` is an accuracy, with unit="%" and baseline=True'
        )
    chance = 1 / NUM_CLASSES
    for name in names:
        if separable[name] < 0.8 or noise[name] > chance + 0.25:
            raise CheckFailure(
                f"{name} is {separable[name]:.2f} on separable classes and {noise[name]:.2f} on "
                f"noise, where chance is {chance:.2f}",
                "high accuracy on noise means that test labels leak",
                "fit on bank.train, evaluate on bank.test, and check that labels are not shifted",
            )
    return f"{separable[names[0]]:.2f} against {noise[names[0]]:.2f} on noise"


def no_test_leakage(target: CheckTarget) -> str:
    """Check that the artifacts an evaluator saves do not depend on the test labels."""
    bank = _bank()
    assert bank.test is not None
    assert bank.test.y is not None
    test = Features(bank.test.x, bank.test.y.flip(0))
    relabelled = FeatureBank(bank.train, test, NUM_CLASSES, view_pairs=bank.view_pairs)
    first, second = _evaluate(target, bank), _evaluate(target, relabelled)
    for stem, tensors in first.artifacts.items():
        for name, tensor in tensors.items():
            if not torch.equal(tensor, second.artifacts[stem][name]):
                raise CheckFailure(
                    f"{name} of {stem} depends on the test labels",
                    "selecting settings on the test split makes every metric too optimistic",
                    "select on a held-out fraction of bank.train",
                )
    return f"{len(first.artifacts)} artifacts"


def features_unchanged(target: CheckTarget) -> str:
    """Check that an evaluation is repeatable and does not modify the training features."""
    bank = _bank()
    before = bank.train.x.clone()
    first, second = _evaluate(target, bank), _evaluate(target, bank)
    if not torch.equal(bank.train.x, before):
        raise CheckFailure(
            "the features are changed in place",
            "all evaluators share the features",
            "work on a copy: x = bank.train.x.clone()",
        )
    if dict(first.metrics) != dict(second.metrics):
        raise CheckFailure(
            f"a second evaluation gives {dict(second.metrics)} instead of {dict(first.metrics)}",
            "`ssl-host evaluate` would contradict the run",
            "seed random numbers with bank.seed",
        )
    return ""


def works_without_labels(target: CheckTarget) -> str:
    """Check that an evaluator with needs_labels = False accepts features without labels."""
    if _evaluator(target).needs_labels:
        raise NotApplicable("needs_labels = True: the host skips it if there are no labels")
    return ", ".join(_evaluate(target, _bank(labels=False)).metrics)


def settings_declared(target: CheckTarget) -> str:
    """Check that the evaluator reads only settings that its Config declares."""
    settings, read, unknown = track_reads(target.make_settings())
    evaluator: Evaluator = target.make(settings)
    if not evaluator.needs_encoder:
        evaluator.evaluate(_bank())
    return check_recorded_reads(target, read, unknown, {"name"})
