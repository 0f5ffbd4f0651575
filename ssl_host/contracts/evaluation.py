"""Evaluators and what they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from ssl_host.contracts.component import Component
from ssl_host.contracts.settings import Settings


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
    """Features of the probe's training images and of the held-out ones, taken once.

    Attributes:
        train: the probe's training images.
        test: held out; neither pretraining nor a probe has seen them. None where there are none.
        num_classes: 0 without labels.
        seed: the run's, for draws.
        view_pairs: makes the features of two views of the same images, N D each; None for
            representations that are no network's (pixels).
        encoder: makes a fresh copy of the network (images to features B D); None likewise.
        train_images, test_images: uint8 N C H W, indexed by slices and tensors, for evaluators
            that train with augmentation; decoded when indexed where they do not fit in memory.
            None for representations that are no network's.
        eval_transform: uint8 B C H W (any size) to the network's normalised input, without
            randomness.
        train_transform: the same with a random crop and flip; takes (images, index, epoch).
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
class Evaluation:
    """What an evaluator found.

    Attributes:
        metrics: flat names without the evaluator's own, accuracies from 0 to 1
            (``{"top1": 0.9}`` becomes ``linear.top1``). An empty name is the instance's alone:
            ``{"": 41.2}`` becomes ``rankme``.
        artifacts: tensors to keep, by file name without suffix (``linear`` becomes
            ``linear.safetensors``).
        notes: sentences for the report.
    """

    metrics: Mapping[str, float]
    artifacts: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Evaluator(Component):
    """Measures a representation."""

    kind: ClassVar[str] = "evaluator"

    metrics: ClassVar[Mapping[str, str]] = {}
    """What each metric of :meth:`evaluate` means; ``N`` in a name stands for any number. The
    reference pages are made of it."""
    needs_labels: ClassVar[bool] = True
    """Without labels the host leaves the evaluator out, and the report says why."""
    needs_test: ClassVar[bool] = True
    """Whether it needs a held-out split."""
    needs_encoder: ClassVar[bool] = False
    """Whether it trains the network itself; such an evaluator has no pixel baselines."""
    has_baselines: bool = True
    """Whether the host measures the baselines too and puts them beside the figures."""

    def __init__(self, config: Settings) -> None:
        self.config: Any = config
        self.setup()

    def evaluate(self, bank: FeatureBank) -> Evaluation:
        """Measure. Called once for the trained network and once for each baseline."""
        raise NotImplementedError(f"{type(self).__qualname__} has no evaluate")
