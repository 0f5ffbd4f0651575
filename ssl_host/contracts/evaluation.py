"""Evaluators: base class, input features, declared figures and results."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from ssl_host.contracts.component import Component


@dataclass(frozen=True)
class Features:
    """Features of a set of images.

    Attributes:
        x: N D, float32, on the CPU (memory-mapped where large).
        y: N, int64, or None without labels.
    """

    x: Tensor
    y: Tensor | None = None


@dataclass(frozen=True)
class FeatureBank:
    """Features of the training and held-out images, computed once for all evaluators.

    Attributes:
        train: the images that probes are trained on.
        test: held-out images; neither pretraining nor a probe has seen them. None if there are
            none.
        num_classes: 0 without labels.
        seed: the run's seed, for random draws.
        view_pairs: returns the features of two views of the same images, N D each; None for
            representations without a network (pixels).
        encoder: returns a new copy of the network (images to features B D); None likewise.
        train_images, test_images: uint8 N C H W, indexed by slices and tensors, for evaluators
            that train with augmentation; decoded when indexed if they do not fit in memory.
            None for representations without a network.
        eval_transform: uint8 B C H W (any size) to the network's normalised input, without
            randomness.
        train_transform: as `eval_transform` with a random crop and flip; takes
            (images, index, epoch).
    """

    train: Features
    test: Features | None
    num_classes: int = 0
    seed: int = 0
    view_pairs: Callable[[], tuple[Tensor, Tensor]] | None = None
    encoder: Callable[[], nn.Module] | None = None
    train_images: Any = None
    test_images: Any = None
    eval_transform: Callable[[Tensor], Tensor] | None = None
    train_transform: Callable[[Tensor, Tensor, int], Tensor] | None = None


@dataclass(frozen=True)
class Figure:
    """Declaration of a figure that is measured: its meaning, direction and unit.

    Attributes:
        description: the meaning, in one line.
        higher_is_better: None if neither direction is better, as for a learning rate.
        unit: shown after the value; with ``%`` the value is a fraction from 0 to 1 and is shown
            as per cent.
        baseline: True if the baselines are measured too and the figure is compared with them.
        headline: True if the figure is shown at the top of the report.
    """

    description: str
    higher_is_better: bool | None = True
    unit: str = ""
    baseline: bool = False
    headline: bool = False

    def format(self, value: float | None) -> str:
        """Return a value as text without its unit; a dash for None."""
        if value is None:
            return "–"
        return f"{100 * value:.2f}" if self.unit == "%" else f"{value:.4g}"


def find_figure(figures: Mapping[str, Figure], metric: str) -> Figure | None:
    """Return the declaration of a metric, or None if it is not declared.

    Args:
        figures: declarations by name; ``N`` as a component of a name matches any number, and a
            name without it has precedence.
    """
    if metric in figures:
        return figures[metric]
    pattern = re.sub(r"(?<![^.])\d+(?![^.])", "N", metric)
    return figures.get(pattern)


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluator.

    Attributes:
        metrics: by names without the evaluator's instance, fractions from 0 to 1
            (``{"top1": 0.9}`` becomes ``linear.top1``). An empty name becomes the name of the
            instance: ``{"": 41.2}`` becomes ``rankme``.
        artifacts: tensors to save, by file name without suffix (``linear`` becomes
            ``linear.safetensors``).
        notes: sentences for the report.
    """

    metrics: Mapping[str, float]
    artifacts: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Evaluator(Component):
    """Base class of evaluators, which measure the quality of a representation."""

    kind: ClassVar[str] = "evaluator"

    figures: ClassVar[Mapping[str, Figure]] = {}
    """Declarations of the metrics that :meth:`evaluate` returns, by name. ``N`` as a component of
    a name stands for any number (``N.top1``). ``NAME_std`` is the standard deviation of ``NAME``.
    Baselines, tables, reports and comparisons follow from these declarations."""
    needs_labels: ClassVar[bool] = True
    """Without labels the host skips the evaluator and adds the reason to the report."""
    needs_test: ClassVar[bool] = True
    """True if the evaluator needs a held-out split."""
    needs_encoder: ClassVar[bool] = False
    """True if it trains the network itself; such an evaluator has no pixel baselines."""
    has_baselines: bool = True
    """False if the baselines are not measured, whatever the figures declare."""

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        """Measure one representation; called for the trained network and for each baseline."""
        raise NotImplementedError(f"{type(self).__qualname__} has no evaluate")
