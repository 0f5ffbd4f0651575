"""Table of all kinds of components. It does not import torch, so help and lists are fast."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ssl_host.contracts.component import Component


@dataclass(frozen=True)
class Kind:
    """Kind of component, such as ``loss``, with its base class and hook.

    Attributes:
        name: name of the kind in INI sections, messages and ``Component.kind``.
        module: name of the module in ``ssl_host.contracts`` that defines the base class.
        base: name of the base class, which ``ssl_host`` exports.
        hook: name of the hook that registers components of this kind.
        sections: number of INI sections for this kind in a configuration: ``one`` (``[kind]``),
            ``many`` (``[kind.instance]``) or ``none``.
        required: True if every run needs a section ``[kind]``, in its file or in a recipe.
        example: one-line summary of the example component that ``ssl-host plugin new`` generates.
    """

    name: str
    module: str
    base: str
    hook: str
    sections: Literal["one", "many", "none"]
    required: bool
    example: str

    def base_class(self) -> type[Component]:
        """Import and return the base class of components of this kind. This imports torch."""
        module = importlib.import_module(f"ssl_host.contracts.{self.module}")
        base: type[Component] = getattr(module, self.base)
        return base


_TABLE = (
    Kind(
        "data",
        module="data",
        base="DataSource",
        hook="register_data",
        sections="one",
        required=True,
        example="synthetic images of three textures",
    ),
    Kind(
        "method",
        module="method",
        base="Method",
        hook="register_methods",
        sections="one",
        required=True,
        example="alignment and uniformity on the sphere",
    ),
    Kind(
        "augmentation",
        module="augmentation",
        base="Augmentation",
        hook="register_augmentations",
        sections="one",
        required=True,
        example="one strong and one gentle view",
    ),
    Kind(
        "backbone",
        module="networks",
        base="Backbone",
        hook="register_backbones",
        sections="one",
        required=True,
        example="a residual network for small images",
    ),
    Kind(
        "head",
        module="networks",
        base="Head",
        hook="register_heads",
        sections="many",
        required=False,
        example="one linear layer and a normalisation",
    ),
    Kind(
        "loss",
        module="loss",
        base="Loss",
        hook="register_losses",
        sections="one",
        required=False,
        example="alignment and uniformity of two views",
    ),
    Kind(
        "optimizer",
        module="optimization",
        base="Optimizer",
        hook="register_optimizers",
        sections="one",
        required=True,
        example="RMSprop, through torch",
    ),
    Kind(
        "scheduler",
        module="optimization",
        base="Scheduler",
        hook="register_schedulers",
        sections="one",
        required=True,
        example="linear warm-up and linear decay",
    ),
    Kind(
        "evaluator",
        module="evaluation",
        base="Evaluator",
        hook="register_evaluators",
        sections="many",
        required=False,
        example="accuracy of the nearest class mean",
    ),
    Kind(
        "baseline",
        module="baseline",
        base="Baseline",
        hook="register_baselines",
        sections="many",
        required=False,
        example="histograms of gray levels",
    ),
    Kind(
        "logger",
        module="logging",
        base="Logger",
        hook="register_loggers",
        sections="many",
        required=False,
        example="one JSON object per logged step",
    ),
    Kind(
        "exporter",
        module="export",
        base="Exporter",
        hook="register_exporters",
        sections="none",
        required=False,
        example="weights as a NumPy .npz archive",
    ),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _TABLE}
"""All kinds, keyed by name, in the order of their sections in an INI file.

A new kind needs a row here, its base class and its checks in ``ssl_host.testing.suite``.
"""
