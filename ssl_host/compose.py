"""Builds the components of a run from its configuration; no other module does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ssl_host.augment.executor import ViewMaker
from ssl_host.catalog.registry import Entry, error_location
from ssl_host.config.error_locations import locate_errors
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.augmentation import Augmentation
from ssl_host.contracts.component import Component
from ssl_host.contracts.data import DataSource
from ssl_host.contracts.evaluation import Evaluator
from ssl_host.contracts.logging import Logger
from ssl_host.contracts.method import Method
from ssl_host.contracts.networks import Backbone, Head, Loss
from ssl_host.contracts.optimization import Optimizer, Scheduler
from ssl_host.contracts.settings import Settings
from ssl_host.errors import PluginError, SslHostError, UserError
from ssl_host.preflight import border_notes, check_sizes, check_views, size_advice


@dataclass(frozen=True)
class Experiment:
    """Record of all components of a run, built and ready to use.

    Attributes:
        config: the configuration from which the components were built.
        source: the data source.
        views: object that applies the augmentation to a batch of images and returns the views.
        method: the SSL method, with its backbone, heads and loss.
        optimizer: the component that creates the torch optimizer.
        scheduler: the learning-rate scheduler.
        evaluators: the evaluators, keyed by instance name.
        loggers: the loggers, keyed by instance name.
        notes: remarks for the log and the report, such as a border of images that is not used.
    """

    config: RunConfig
    source: DataSource
    views: ViewMaker
    method: Method
    optimizer: Optimizer
    scheduler: Scheduler
    evaluators: Mapping[str, Evaluator]
    loggers: Mapping[str, Logger]
    notes: tuple[str, ...] = ()


def compose(config: RunConfig) -> Experiment:
    """Build every component of a configuration; the initial weights depend only on the seed.

    Raises:
        PluginError: if a component cannot be built; the message names the distribution, the line
            and the cause.
        ConfigError: if the method does not accept the augmentation's number of views.
    """
    with locate_errors(config):
        return _compose(config)


def _compose(config: RunConfig) -> Experiment:
    """Build every component of a configuration."""
    source: DataSource = _build(config, "data")
    method = compose_method(config, source.channels, source.image_size)
    augmentation = _build(
        config, "augmentation", image_size=source.image_size, channels=source.channels
    )
    views = view_maker(augmentation, source)
    check_views(config, method, views)
    check_sizes(config, method.backbone, views)
    return Experiment(
        config=config,
        source=source,
        views=views,
        method=method,
        optimizer=_build(config, "optimizer"),
        scheduler=_build(config, "scheduler"),
        evaluators={c.instance: _build(config, c.section) for c in config.of_kind("evaluator")},
        loggers={c.instance: _build(config, c.section) for c in config.of_kind("logger")},
        notes=border_notes(config, method.backbone, views),
    )


def compose_method(
    config: RunConfig, in_channels: int, image_size: int, backbone: Backbone | None = None
) -> Method:
    """Build a method with its heads and loss, and with its backbone if none is given.

    Raises:
        PluginError: if a component cannot be built, or the method lists a head before the module
            that feeds it.
    """
    torch.manual_seed(config.run.seed)
    if backbone is None:
        backbone = _build_backbone(config, in_channels, image_size)
    method_config = config.components["method"]
    cls: Any = method_config.cls
    widths = {"backbone": backbone.feature_dim}
    heads: dict[str, Head] = {}
    for name, feeder in cls.heads.items():
        if feeder not in widths:
            raise PluginError(
                f"{method_config.entry.describe()}: heads['{name}'] takes its input from "
                f"'{feeder}', which is not among {', '.join(widths)}; list a head after the one "
                "that feeds it"
            )
        heads[name] = _build(config, f"head.{name}", in_dim=widths[feeder])
        widths[name] = heads[name].output_dim
    loss: Loss | None = _build(config, "loss") if "loss" in config.components else None
    method: Method = _build(config, "method", backbone=backbone, heads=heads, loss=loss)
    return method


def view_maker(augmentation: Augmentation, source: DataSource) -> ViewMaker:
    """Return the object that turns a source's images into an augmentation's views."""
    return ViewMaker(augmentation, image_size=source.image_size, mean=source.mean, std=source.std)


def _build(config: RunConfig, section: str, **build_args: Any) -> Any:
    """Build the component that one section of the configuration describes."""
    component = config.components[section]
    with locate_errors(config, section):
        return build_component(component.cls, component.settings, component.entry, build_args)


def build_component(
    cls: type[Component], settings: Settings, entry: Entry, build_args: Mapping[str, Any]
) -> Any:
    """Build a component and record in ``origin`` which distribution it comes from.

    Args:
        cls: class of the component.
        settings: validated settings of the component.
        entry: registry entry of the component.
        build_args: keyword arguments that the constructor takes besides the settings, such as
            ``in_channels``.

    Raises:
        PluginError: if the constructor raises; the message names the distribution and the line
            that failed.
    """
    constructor: Any = cls
    try:
        component = constructor(settings, **build_args)
    except SslHostError:
        raise
    except Exception as error:
        raise PluginError(
            f"{entry.describe()} could not be built: {type(error).__name__}: {error} "
            f"({error_location(error)}); its settings: "
            f"{', '.join(f'{k}={v!r}' for k, v in settings.model_dump().items()) or 'none'}"
        ) from error
    component.origin = str(entry.origin)
    return component


def _build_backbone(config: RunConfig, in_channels: int, image_size: int) -> Backbone:
    """Build the backbone; if this fails because of the image size, the error lists others."""
    backbone: Backbone
    try:
        backbone = _build(config, "backbone", in_channels=in_channels, image_size=image_size)
    except UserError as error:
        advice = size_advice(config, in_channels, image_size)
        if advice:
            error.args = (f"{error}; [data] image_size = {image_size} does not fit: {advice}",)
        raise
    return backbone


def count_parameters(config: RunConfig) -> int:
    """Build every component of a configuration and return the number of trainable parameters.

    This reads no images, so any machine can check a configuration that is meant for a larger one.

    Raises:
        PluginError: if a component cannot be built; the message names the distribution, the line
            and the cause.
    """
    return num_trainable_parameters(compose(config).method)


def num_trainable_parameters(method: Method) -> int:
    """Return the number of parameters of a method that the optimizer updates."""
    return sum(parameter.numel() for _, parameter in method.trainable_parameters())
