"""The base class of each kind."""

from __future__ import annotations

from ssl_host.contracts.augmentation import Augmentation
from ssl_host.contracts.component import Component
from ssl_host.contracts.data import DataSource
from ssl_host.contracts.evaluation import Evaluator
from ssl_host.contracts.export import Exporter
from ssl_host.contracts.logging import Logger
from ssl_host.contracts.method import Method
from ssl_host.contracts.networks import Backbone, Head, Loss
from ssl_host.contracts.optimization import Optimizer, Scheduler

_BASES: tuple[type[Component], ...] = (
    Augmentation,
    Backbone,
    DataSource,
    Evaluator,
    Exporter,
    Head,
    Logger,
    Loss,
    Method,
    Optimizer,
    Scheduler,
)


def base_of(kind: str) -> type[Component]:
    """The class that components of a kind inherit from."""
    return next(base for base in _BASES if base.kind == kind)
