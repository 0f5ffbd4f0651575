"""Build all components of a run from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ssl_host.augment.executor import ViewMaker
from ssl_host.components import build_section
from ssl_host.config.error_locations import locate_errors
from ssl_host.config.named_sections import named_section
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.augmentation import Augmentation
from ssl_host.contracts.baseline import Baseline
from ssl_host.contracts.batch import Plan
from ssl_host.contracts.data import DataSource
from ssl_host.contracts.evaluation import Evaluator
from ssl_host.contracts.logging import Logger
from ssl_host.contracts.method import Method
from ssl_host.contracts.networks import Backbone, Head
from ssl_host.contracts.optimization import Optimizer, Scheduler
from ssl_host.errors import DownloadError, PluginError, UserError
from ssl_host.preflight import (
    border_notes,
    check_evaluation,
    check_sizes,
    check_tokens,
    check_views,
    size_advice,
)


@dataclass(frozen=True)
class Experiment:
    """All components of a run, built and ready to use.

    Attributes:
        config: the configuration from which the components were built.
        plan: the length of the run and the size of its data.
        source: the data source.
        other_sources: the data sources ``[data.NAME]`` that evaluators use, keyed by NAME.
        views: object that applies the augmentation to a batch of images and returns the views.
        method: the SSL method, with its backbone, heads and loss.
        optimizer: the component that creates the torch optimizer.
        scheduler: the learning-rate scheduler.
        evaluators: the evaluators, keyed by instance name.
        baselines: the baselines, keyed by instance name.
        loggers: the loggers, keyed by instance name.
        notes: remarks for the log and the report, such as one on an ignored image border.
    """

    config: RunConfig
    plan: Plan
    source: DataSource
    other_sources: Mapping[str, DataSource]
    views: ViewMaker
    method: Method
    optimizer: Optimizer
    scheduler: Scheduler
    evaluators: Mapping[str, Evaluator]
    baselines: Mapping[str, Baseline]
    loggers: Mapping[str, Logger]
    notes: tuple[str, ...] = ()


def compose_data(config: RunConfig) -> tuple[DataSource, ViewMaker]:
    """Build the data source and the view maker, which do not need the method.

    Raises:
        PluginError: if a component cannot be built; the message names the distribution, the line
            and the cause.
        ConfigError: if the method does not accept the augmentation's number of views.
    """
    with locate_errors(config):
        return _compose_data(config)


def _compose_data(config: RunConfig) -> tuple[DataSource, ViewMaker]:
    """Return the data source and the view maker; see :func:`compose_data`."""
    source = _build_source(config, "data")
    augmentation = build_section(
        config, "augmentation", image_size=source.image_size, channels=source.channels
    )
    views = make_view_maker(augmentation, source)
    check_views(config, views)
    return source, views


def _build_source(config: RunConfig, section: str) -> DataSource:
    """Return the data source of a section, which skips the folders that the run writes to."""
    source: DataSource = build_section(config, section)
    cache = config.loader.cache_dir
    source.excluded = (config.run.dir, *(() if cache is None else (cache,)))
    return source


def _build_other_sources(config: RunConfig, source: DataSource) -> dict[str, DataSource]:
    """Return the data sources that evaluators name, keyed by the value of their setting ``data``.

    Raises:
        UserError: if the images of one do not have as many channels as those of ``[data]``.
    """
    names = dict.fromkeys(c.data for c in config.of_kind("evaluator") if c.data is not None)
    sources = {}
    for name in names:
        section = named_section("data", name)
        sources[name] = _build_source(config, section)
        if sources[name].channels != source.channels:
            raise UserError(
                f"[{section}] has images with {sources[name].channels} channels, but the network "
                f"is trained on those of [data], with {source.channels}; set num_channels or use "
                "another source"
            )
    return sources


def compose(
    config: RunConfig,
    data: tuple[DataSource, ViewMaker] | None = None,
    num_images: int | None = None,
) -> Experiment:
    """Build every component of a configuration; the initial weights depend only on the seed.

    Args:
        config: the configuration.
        data: the data source and the views, if they are built already.
        num_images: number of training images; None if they are not known, as in a check of the
            configuration. The plan of the method then has one step per epoch.

    Raises:
        PluginError: if a component cannot be built; the message names the distribution, the line
            and the cause.
        ConfigError: if the method does not accept the augmentation's number of views, or needs
            tokens and the backbone has none.
        UserError: if the backbone cannot process inputs of the image size or of a view size.
    """
    with locate_errors(config):
        return _compose(config, data or compose_data(config), num_images)


def _compose(
    config: RunConfig, data: tuple[DataSource, ViewMaker], num_images: int | None
) -> Experiment:
    """Return every component of a configuration; see :func:`compose`."""
    source, views = data
    check_evaluation(config)
    plan = make_run_plan(config, source, num_images)
    method = compose_method(config, plan)
    check_sizes(config, method.backbone, views)
    return Experiment(
        config=config,
        plan=plan,
        source=source,
        other_sources=_build_other_sources(config, source),
        views=views,
        method=method,
        optimizer=build_section(config, "optimizer"),
        scheduler=build_section(config, "scheduler"),
        evaluators=_build_instances(config, "evaluator"),
        baselines=_build_instances(config, "baseline"),
        loggers=_build_instances(config, "logger"),
        notes=border_notes(config, method.backbone, views),
    )


def _build_instances(config: RunConfig, kind: str) -> dict[str, Any]:
    """Return the components of a kind with any number of sections, keyed by instance name."""
    return {c.instance: build_section(config, c.section) for c in config.of_kind(kind)}


def make_run_plan(config: RunConfig, source: DataSource, num_images: int | None) -> Plan:
    """Return the plan for the method: length of the run, number and size of the images.

    If ``num_images`` is None, the plan has one step per epoch.
    """
    run = config.run
    images = run.batch_size if num_images is None else num_images
    return Plan(
        epochs=run.epochs,
        steps_per_epoch=max(1, images // run.batch_size),
        batch_size=run.batch_size,
        num_images=images,
        seed=run.seed,
        image_size=source.image_size,
        channels=source.channels,
        mean=tuple(source.mean),
        std=tuple(source.std),
        num_processes=config.trainer.num_processes,
    )


def compose_method(config: RunConfig, plan: Plan, backbone: Backbone | None = None) -> Method:
    """Build a method with its heads, loss and frozen networks, and the backbone if not given.

    Raises:
        PluginError: if a component cannot be built, or the method lists a head before the module
            that feeds it.
        ConfigError: if the method needs tokens and the backbone has none.
    """
    method_config = config.components["method"]
    cls: Any = method_config.cls
    frozen = _build_frozen_networks(config, plan)
    networks = {f"backbone.{name}": network for name, network in frozen.items()}
    torch.manual_seed(config.run.seed)
    if backbone is None:
        backbone = build_backbone(config, "backbone", plan, networks)
    check_tokens(config, backbone)
    networks["backbone"] = backbone
    widths = {"backbone": backbone.feature_dim}
    heads: dict[str, Head] = {}
    for name, feeder in cls.heads.items():
        if feeder not in widths:
            raise PluginError(
                f"{method_config.entry.describe()}: heads['{name}'] takes its input from "
                f"'{feeder}', which is not among {', '.join(widths)}; list a head after the one "
                "that feeds it"
            )
        section = f"head.{name}"
        heads[name] = build_section(config, section, networks, in_dim=widths[feeder])
        widths[name] = heads[name].output_dim
    loss = build_section(config, "loss", networks) if "loss" in config.components else None
    method: Method = build_section(
        config,
        "method",
        networks,
        backbone=backbone,
        heads=heads,
        loss=loss,
        frozen_networks=frozen,
        plan=plan,
    )
    return method


def build_backbone(
    config: RunConfig, section: str, plan: Plan, networks: Mapping[str, Backbone]
) -> Backbone:
    """Return a new backbone; if the image size does not fit, the error lists sizes that do."""
    sizes = {"in_channels": plan.channels, "image_size": plan.image_size}
    try:
        backbone: Backbone = build_section(config, section, networks, **sizes)
    except DownloadError:
        raise
    except UserError as error:
        advice = size_advice(config, section, plan.channels, plan.image_size)
        if advice:
            error.args = (f"{error}; [data] image_size = {plan.image_size} does not fit, {advice}",)
        raise
    return backbone


def _build_frozen_networks(config: RunConfig, plan: Plan) -> dict[str, Backbone]:
    """Return the method's frozen networks, keyed by name.

    The initial weights of the other networks do not depend on them.
    """
    method: Any = config.components["method"].cls
    if not method.frozen:
        return {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.run.seed)
        return {
            name: build_backbone(config, f"backbone.{name}", plan, {}) for name in method.frozen
        }


def make_view_maker(augmentation: Augmentation, source: DataSource) -> ViewMaker:
    """Return a view maker, which turns images of a source into views."""
    return ViewMaker(augmentation, image_size=source.image_size, mean=source.mean, std=source.std)


def count_parameters(config: RunConfig) -> int:
    """Build every component of a configuration and return the number of trainable parameters.

    This reads no images, so a configuration for a large machine can be checked on any machine.

    Raises:
        PluginError: if a component cannot be built; the message names the distribution, the line
            and the cause.
    """
    return num_trainable_parameters(compose(config).method)


def num_trainable_parameters(method: Method) -> int:
    """Return the number of parameters of a method that the optimizer updates."""
    return sum(parameter.numel() for _, parameter in method.trainable_parameters())
