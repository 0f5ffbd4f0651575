"""Run all evaluators on a trained network and on its baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.config.error_locations import name_section
from ssl_host.contracts.evaluation import (
    Evaluation,
    Evaluator,
    FeatureBank,
    find_figure,
    metric_name,
)
from ssl_host.evaluate.banks import FeatureBankBuilder
from ssl_host.evaluate.representations import Representation, network_representation

TRAINED = ""
"""Name of the trained network among the representations; the other names are baselines."""

Report = Callable[[str], None]
"""Function that is called with the name of each measurement before it starts."""


@dataclass
class Measurement:
    """Results of all evaluators on the trained network and its baselines.

    Attributes:
        metrics: values of the metrics, keyed by names such as ``linear.top1``. The names of
            baseline metrics start with the name of the baseline, such as ``pixels.``.
        artifacts: tensors to save, keyed by file name without suffix.
        notes: sentences for the report, such as the reason why an evaluator was skipped.
        bank: features of the trained network, for the pictures in the report.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    artifacts: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    bank: FeatureBank | None = None

    def add(self, name: str, evaluation: Evaluation) -> None:
        """Add the results of one evaluator on the trained network.

        Args:
            name: name of the evaluator's section, such as ``linear``.
            evaluation: the results.
        """
        self.metrics |= {metric_name(name, k): value for k, value in evaluation.metrics.items()}
        self.artifacts |= {
            (stem if stem == name else f"{name}_{stem}"): tensors
            for stem, tensors in evaluation.artifacts.items()
        }
        self.notes += evaluation.notes

    def add_all(self, other: Measurement) -> None:
        """Add metrics, artifacts and notes that were measured on other images."""
        self.metrics |= other.metrics
        self.artifacts |= other.artifacts
        self.notes += other.notes


def measure(
    evaluators: Mapping[str, Evaluator],
    encoder: nn.Module,
    make_baselines: Callable[[], Mapping[str, Representation]],
    builder: FeatureBankBuilder,
    report: Report = lambda _: None,
    scratch: Path | None = None,
) -> Measurement:
    """Run all evaluators on a trained network and on baselines, and return the results.

    Args:
        evaluators: the evaluators, keyed by the names of their sections.
        encoder: the trained network.
        make_baselines: function that returns the representations by the baselines, keyed by the
            names of their sections. It is called if an evaluator measures baselines.
        builder: the images, and the transforms that make a network's input.
        report: function that is called with the name of each measurement before it starts.
        scratch: folder for features that do not fit in memory.
    """
    measurement = Measurement()
    usable = {}
    for name, evaluator in evaluators.items():
        reason = skip_reason(
            evaluator, builder.train.labels, builder.num_classes, builder.test is not None
        )
        if reason:
            measurement.notes.append(f"{name} was skipped: {reason}")
        else:
            usable[name] = evaluator
    compared = {name: evaluator for name, evaluator in usable.items() if evaluator.has_baselines}
    device = next(encoder.parameters()).device
    trained = network_representation(encoder, builder.eval_transform, device)
    baselines = make_baselines() if compared else {}
    report("features of the network" + (" and its baselines" if baselines else ""))
    banks = builder.build({TRAINED: trained, **baselines}, scratch)
    measurement.bank = banks.pop(TRAINED)
    for name, evaluator in usable.items():
        report(name)
        measurement.add(name, _evaluate(name, evaluator, measurement.bank))
    for baseline in list(banks):
        # Free each bank after it is measured, because it may be large.
        measurement.metrics |= _measure_baseline(baseline, compared, banks.pop(baseline), report)
    return measurement


def _measure_baseline(
    baseline: str, evaluators: Mapping[str, Evaluator], bank: FeatureBank, report: Report
) -> dict[str, float]:
    """Run the evaluators on a baseline and return the metrics declared with ``baseline=True``."""
    metrics = {}
    for name, evaluator in evaluators.items():
        if bank.encoder is None and evaluator.needs_encoder:
            continue
        report(f"{name} of the baseline {baseline}")
        for metric, value in _evaluate(name, evaluator, bank).metrics.items():
            figure = find_figure(evaluator.figures, metric)
            if figure is not None and figure.baseline:
                metrics[f"{baseline}.{metric_name(name, metric)}"] = value
    return metrics


def skip_reason(
    evaluator: Evaluator, labels: Tensor | None, num_classes: int, has_test: bool
) -> str:
    """Return the reason why an evaluator cannot run on some images; empty if it can.

    Args:
        evaluator: the evaluator.
        labels: the labels of the images on which evaluators train; None if there are none.
        num_classes: number of classes.
        has_test: True if there are held-out images.
    """
    if evaluator.needs_labels and labels is None:
        return "the images have no labels"
    if evaluator.needs_labels and num_classes < 2:
        return f"there is only {num_classes} class"
    if evaluator.needs_test and not has_test:
        return "there is no held-out split"
    return ""


def _evaluate(name: str, evaluator: Evaluator, bank: FeatureBank) -> Evaluation:
    """Return one evaluator's result, with seeded random numbers; an error names its plugin."""
    with (
        name_section(f"{evaluator.kind}.{name}"),
        attribute_errors(evaluator, f"while measuring '{name}'"),
        torch.random.fork_rng(devices=[]),
    ):
        torch.manual_seed(bank.seed)
        return evaluator.evaluate(bank)
