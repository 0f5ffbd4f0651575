"""Base class of evaluators, and records of their inputs, metrics and results."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from ssl_host.contracts.component import Component
from ssl_host.contracts.data import ImageDataset


@dataclass(frozen=True)
class Features:
    """Features and labels of a set of images.

    Attributes:
        x: the features, shape (N, D), float32, on the CPU (memory-mapped if large).
        y: the labels, shape (N,), int64; None if there are no labels.
    """

    x: Tensor
    y: Tensor | None = None


@dataclass(frozen=True)
class FeatureBank:
    """Features of training and held-out images, computed once for all evaluators.

    Attributes:
        train: features of the images on which evaluators train their classifiers.
        test: features of held-out images, which are not used in pretraining or to train
            classifiers; None if there are no held-out images.
        num_classes: number of classes; 0 if there are no labels.
        seed: seed of the run, for any random numbers that an evaluator draws.
        view_pairs: function that returns the features of two views of the same images, as two
            tensors (N, D); None for representations without a network, such as raw pixels.
        encoder: function that returns a new copy of the network that maps images to features
            (B, D); None for representations without a network.
        train_images: the images with the features :attr:`train`, for evaluators that train with
            augmentation: a uint8 array (N, C, H, W) that slices and tensors can index. Images
            that do not fit in memory are decoded when they are indexed. None for
            representations without a network, or if some images are unreadable.
        test_images: the images with the features :attr:`test`, in the same form.
        eval_transform: function that turns uint8 images (B, C, H, W) of any size into the
            network's normalised input, without randomness; None if :attr:`train_images` is None.
        train_transform: function that also applies a random crop and flip; it takes the images,
            their indices and the epoch.
        train_dataset: function that returns the images :attr:`train_images` as the data source
            opened them, in the same order: their names, files and original sizes. Use
            :func:`ssl_host.resize_to_square` for what lies on them, such as masks. None if
            :attr:`train_images` is None.
        test_dataset: the same for :attr:`test_images`.
        test_is_from_train: True if the held-out images are a part of the training images, as during
            training (``[evaluate] every_epochs``).
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
    train_dataset: Callable[[], ImageDataset] | None = None
    test_dataset: Callable[[], ImageDataset] | None = None
    test_is_from_train: bool = False


@dataclass(frozen=True)
class Figure:
    """Declaration of a metric: its meaning, its unit and whether higher is better.

    Attributes:
        description: meaning of the metric, in one line.
        higher_is_better: True if higher values are better, False if lower values are; None if
            neither, as for a learning rate.
        unit: unit to show after the value. With ``%``, the value is a fraction from 0 to 1 and is
            shown as a percentage.
        baseline: True if the metric is also measured for the baselines and compared with them.
        headline: True if the metric is shown at the top of the report.
        best_value: value that is best if ``higher_is_better`` is None, as 1 for an exponent that
            should be near 1; None if no value is. Rankings of runs, ``[checkpoint] best`` and
            ``[run] stop_early`` use it.
    """

    description: str
    higher_is_better: bool | None = True
    unit: str = ""
    baseline: bool = False
    headline: bool = False
    best_value: float | None = None

    def format(self, value: float | None) -> str:
        """Return a value of the metric as text without the unit, or a dash for None."""
        if value is None:
            return "–"
        return f"{100 * value:.2f}" if self.unit == "%" else f"{value:.4g}"

    def label(self, name: str) -> str:
        """Return the name of the metric with its unit, such as ``linear.top1, %``."""
        return f"{name}, {self.unit}" if self.unit else name

    def score(self, value: float) -> float | None:
        """Return a number that is higher for better values; None if no value is better."""
        if self.higher_is_better is not None:
            return value if self.higher_is_better else -value
        return None if self.best_value is None else -abs(value - self.best_value)


def metric_name(instance: str, metric: str) -> str:
    """Return the name of an evaluator's metric in ``results.json``, such as ``linear.top1``.

    Args:
        instance: name of the evaluator's section, such as ``linear``.
        metric: name of the metric; if it is empty, ``instance`` is returned.
    """
    return f"{instance}.{metric}" if metric else instance


def find_figure(figures: Mapping[str, Figure], metric: str) -> Figure | None:
    """Return the declaration of a metric, or None if it is not declared.

    Args:
        figures: declarations, keyed by metric name. ``N`` as a component of a name, as in
            ``N.top1``, matches any number; an exact name takes precedence.
        metric: name of the metric, such as ``10.top1``.
    """
    if metric in figures:
        return figures[metric]
    pattern = re.sub(r"(?<![^.])\d+(?![^.])", "N", metric)
    return figures.get(pattern)


@dataclass(frozen=True)
class Evaluation:
    """Result of an evaluator: metrics, tensors to save and notes.

    Attributes:
        metrics: values, keyed by metric name without the evaluator's instance name: the instance
            ``linear`` returns ``{"top1": 0.9}`` for ``linear.top1``. Percentages are fractions
            from 0 to 1. An empty name stands for the instance name: ``{"": 41.2}`` becomes
            ``rankme``.
        artifacts: tensors to save, keyed by file name without suffix and then by tensor name;
            ``linear`` becomes ``linear.safetensors``.
        notes: sentences to add to the report.
    """

    metrics: Mapping[str, float]
    artifacts: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Evaluator(Component):
    """Base class of evaluators, which measure the quality of a representation.

    A subclass declares its metrics in :attr:`figures` and returns them from :meth:`evaluate`.
    """

    kind: ClassVar[str] = "evaluator"

    figures: ClassVar[Mapping[str, Figure]] = {}
    """Declarations of the metrics that :meth:`evaluate` returns, keyed by name. ``N`` as a
    component of a name, as in ``N.top1``, matches any number. ``NAME_std`` is the standard
    deviation of ``NAME``. The host uses them for baselines, tables, reports and comparisons."""
    needs_labels: ClassVar[bool] = True
    """True if the evaluator needs labels; without labels the host skips it and says so."""
    uses_annotations: ClassVar[bool] = False
    """True if the evaluator reads labels or masks of its own. Then its metrics are not measures
    without labels, although :attr:`needs_labels` is False."""
    needs_test: ClassVar[bool] = True
    """True if the evaluator needs held-out images."""
    needs_encoder: ClassVar[bool] = False
    """True if the evaluator needs the network, not only its features; baselines without a network
    are skipped."""
    has_baselines: bool = True
    """False to measure no baselines, even for metrics that are declared with ``baseline=True``."""

    def check(self, train: ImageDataset, test: ImageDataset | None) -> None:
        """Check that the evaluator can measure these images, once before the first step.

        Read files other than the images here, such as annotations, so that missing ones are found
        before hours of training. By default nothing is checked. Some images may be unreadable.

        Args:
            train: the images on which evaluators train, as the data source opened them.
            test: the held-out images; None if there are none.

        Raises:
            UserError: if the images cannot be measured.
        """

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        """Return the metrics for one representation: the trained network or a baseline.

        Args:
            bank: features and labels of the representation, and access to its network and images.
        """
        raise NotImplementedError(f"{type(self).__qualname__} does not implement evaluate()")
