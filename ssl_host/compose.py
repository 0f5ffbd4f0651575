"""Settings and catalog to an experiment: the only place where parts are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ssl_host.augment.executor import ViewMaker
from ssl_host.catalog.registry import Entry, error_location
from ssl_host.config.run_config import ComponentConfig, RunConfig
from ssl_host.contracts.augmentation import Augmentation
from ssl_host.contracts.component import Component
from ssl_host.contracts.data import DataSource
from ssl_host.contracts.evaluation import Evaluator
from ssl_host.contracts.logging import Logger
from ssl_host.contracts.method import Method
from ssl_host.contracts.networks import Backbone, Head, Loss
from ssl_host.contracts.optimization import Optimizer, Scheduler
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, PluginError, Problem, SslHostError


@dataclass(frozen=True)
class Experiment:
    """Everything a run is made of, built and ready.

    Attributes:
        evaluators, loggers: by instance name.
    """

    config: RunConfig
    source: DataSource
    views: ViewMaker
    method: Method
    optimizer: Optimizer
    scheduler: Scheduler
    evaluators: Mapping[str, Evaluator]
    loggers: Mapping[str, Logger]


def compose(config: RunConfig) -> Experiment:
    """Build every part of a configuration. The weights are a function of ``[run] seed``.

    Raises:
        PluginError: when a component cannot be built; it names distribution, file and cause.
    """
    source: DataSource = make(config.components["data"])
    method = compose_method(config, source.channels, source.image_size)
    part = config.components["augmentation"]
    augmentation = make(part, image_size=source.image_size, channels=source.channels)
    views = view_maker(augmentation, source)
    _check_views(config, method, views)
    return Experiment(
        config=config,
        source=source,
        views=views,
        method=method,
        optimizer=make(config.components["optimizer"]),
        scheduler=make(config.components["scheduler"]),
        evaluators={part.instance: make(part) for part in config.of_kind("evaluator")},
        loggers={part.instance: make(part) for part in config.of_kind("logger")},
    )


def compose_method(
    config: RunConfig, in_channels: int, image_size: int, backbone: Backbone | None = None
) -> Method:
    """The method with its backbone, heads and loss."""
    torch.manual_seed(config.run.seed)
    if backbone is None:
        backbone = make(
            config.components["backbone"], in_channels=in_channels, image_size=image_size
        )
    part = config.components["method"]
    cls: Any = part.cls
    widths = {"backbone": backbone.feature_dim}
    heads: dict[str, Head] = {}
    for name, feeder in cls.heads.items():
        if feeder not in widths:
            raise PluginError(
                f"{part.entry.describe()}: heads['{name}'] is fed by '{feeder}', which is not "
                f"among {', '.join(widths)}; list a head after the one that feeds it"
            )
        heads[name] = make(config.components[f"head.{name}"], in_dim=widths[feeder])
        widths[name] = heads[name].output_dim
    loss: Loss | None = make(config.components["loss"]) if "loss" in config.components else None
    method: Method = make(part, backbone=backbone, heads=heads, loss=loss)
    return method


def view_maker(augmentation: Augmentation, source: DataSource) -> ViewMaker:
    """The executor of an augmentation for a source's images."""
    return ViewMaker(augmentation, image_size=source.image_size, mean=source.mean, std=source.std)


def make(part: ComponentConfig, **context: Any) -> Any:
    """Build one component, its faults contained."""
    return build_component(part.cls, part.settings, part.entry, context)


def build_component(
    cls: type[Component], settings: Settings, entry: Entry, context: Mapping[str, Any]
) -> Any:
    """Call a component's constructor.

    Raises:
        PluginError: when it raises; the message names the distribution and the line.
    """
    constructor: Any = cls
    try:
        made = constructor(settings, **context)
    except (SslHostError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise PluginError(
            f"{entry.describe()} could not be built: {type(error).__name__}: {error} "
            f"({error_location(error)}); its settings: "
            f"{', '.join(f'{k}={v!r}' for k, v in settings.model_dump().items()) or 'none'}"
        ) from error
    made.origin = str(entry.origin)
    return made


def _check_views(config: RunConfig, method: Method, views: ViewMaker) -> None:
    part = config.components["augmentation"]
    where = str(config.entries["augmentation", "name"].origin)
    if views.num_views < method.min_views:
        text = (
            f"[augmentation] {part.name} makes {views.num_views} views, and "
            f"{config.components['method'].name} needs at least {method.min_views}"
        )
        raise ConfigError([Problem(where, text)])
    if views.num_views > method.min_views and not method.supports_multicrop:
        text = (
            f"[augmentation] {part.name} makes {views.num_views} views, and method "
            f"{config.components['method'].name} takes {method.min_views}: it has no "
            "multi-crop form"
        )
        raise ConfigError([Problem(where, text)])


def count_parameters(config: RunConfig) -> int:
    """Return the number of trainable parameters; builds every component of a configuration.

    Reads no image, so it checks a configuration for a larger machine anywhere.

    Raises:
        PluginError: when a component cannot be built; it names distribution, file and cause.
    """
    method = compose(config).method
    return sum(parameter.numel() for _, parameter in method.trainable_parameters())
