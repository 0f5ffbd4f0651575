"""Dry run: build a run and time a few training steps without writing any files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.compose import compose, compose_data, num_trainable_parameters
from ssl_host.config.auto_settings import cpu_has_bf16, resolve_auto
from ssl_host.config.error_locations import locate_errors
from ssl_host.config.run_config import RunConfig
from ssl_host.config.trainer_schema import TrainerSettings
from ssl_host.data.decoding import DecodedImages
from ssl_host.data.image_checks import check_images
from ssl_host.data.splits import num_probe_classes, open_splits
from ssl_host.data.store import array_of
from ssl_host.errors import NonFiniteError
from ssl_host.initial_weights import load_run_weights
from ssl_host.pipeline.continuation import describe_start, finished_run, prepare_continuation
from ssl_host.pipeline.cost_estimate import Alternative, Estimate
from ssl_host.pipeline.listing import ListingProgress
from ssl_host.pipeline.loading_time import measure_loading
from ssl_host.pipeline.network_weights import load_frozen_weights
from ssl_host.pipeline.other_images import check_evaluators, check_other_images
from ssl_host.pipeline.step_timing import StepTimer, first_micro_batch
from ssl_host.preflight import check_labels, config_warnings
from ssl_host.toolkit.cores import available_cores
from ssl_host.train.loop import make_plan

SLOW_STEP_S = 3.0
"""Time of a step in seconds above which alternative settings are not timed."""


def estimate_cost(
    config: RunConfig,
    catalog: Catalog,
    console: Console | None = None,
    *,
    alternatives: bool = True,
) -> Estimate:
    """Build a run, time a few training steps on one batch, and estimate the training time.

    Args:
        config: the configuration of the run.
        catalog: the catalog of installed components.
        console: the console on which progress is printed; None means no output.
        alternatives: True to time other ``[trainer]`` settings too.

    Returns:
        The size of the run and its estimated training time.

    Raises:
        UserError: if the input has an error that would prevent the run from starting.
        NonFiniteError: if the first loss is NaN.
    """
    with locate_errors(config):
        return _estimate(config, catalog, console, alternatives)


def _estimate(
    config: RunConfig, catalog: Catalog, console: Console | None, alternatives: bool
) -> Estimate:
    """Return the estimated cost of a run; raises as :func:`estimate_cost` does."""
    config = prepare_continuation(resolve_auto(config))
    catalog.call("config_resolved", config=config.values())
    source, views = compose_data(config)
    progress = None if console is None else ListingProgress(console)
    splits = open_splits(source, config.loader.holdout, progress)
    experiment = compose(config, (source, views), len(splits.train))
    method = experiment.method
    loaded, unloaded = load_frozen_weights(method, config, catalog)
    starts_from = None
    if config.run.init_from is not None:
        starts_from = load_run_weights(method.backbone, config.run, catalog)
    epochs, continued = config.run.epochs, finished_run(config)
    if continued is not None:
        starts_from = describe_start(continued.folder.path, continued.epochs, epochs)
        epochs -= continued.epochs
    plan = make_plan(config, len(splits.train))
    check_labels(config, method, splits.train.labels)
    skipped = [*check_evaluators(experiment, splits), *check_other_images(experiment)]
    raw = first_micro_batch(splits.train, plan, source.image_size)
    num_classes = num_probe_classes(splits.train.labels, splits.classes)
    steps = StepTimer(experiment, raw, plan, num_classes)
    array = array_of(splits.train)
    decoded = DecodedImages(splits.train, source.channels, source.image_size)
    steps.start_epoch(decoded if array is None else array)
    per_step = steps.seconds_per_step(config.trainer)
    if math.isnan(steps.losses[0]):
        raise NonFiniteError(
            "the loss of the first training step is NaN; check the settings of [method] and "
            "[loss], or set [trainer] precision = 32-true"
        )
    warnings, notes = check_images(splits.train, source)
    loading = measure_loading(experiment, splits)
    num_steps, share = epochs * plan.steps, plan.batch_size // plan.world_size
    loaded_per_step = loading.seconds_per_step(per_step, config.trainer, share)
    return Estimate(
        name=config.run.name,
        method=config.components["method"].name,
        backbone=config.components["backbone"].name,
        data=config.components["data"].name,
        train_images=len(splits.train),
        test_images=None if splits.test is None else len(splits.test),
        parameters=num_trainable_parameters(method),
        backbone_parameters=sum(p.numel() for p in method.backbone.parameters()),
        feature_dim=method.backbone.feature_dim,
        views=steps.shapes,
        steps_per_epoch=plan.steps,
        total_steps=num_steps,
        first_loss=steps.losses[0],
        seconds_per_step=per_step,
        images_per_s=config.run.batch_size / per_step,
        decode_ms=1000 * loading.decode_s,
        decoding=loading.describe(),
        packing_minutes=loading.packing_s / 60,
        loaded_seconds_per_step=loaded_per_step,
        training_minutes=(loading.packing_s + loaded_per_step * num_steps) / 60,
        starts_from=starts_from,
        notes=[*config.notes, *experiment.notes, *splits.notes, *loaded, *notes],
        warnings=[*config_warnings(config, method), *unloaded, *skipped, *warnings],
        alternatives=list(_alternatives(steps, config.trainer, per_step)) if alternatives else [],
    )


def _alternatives(
    steps: StepTimer, settings: TrainerSettings, per_step: float
) -> Iterator[Alternative]:
    """Yield the time of a step with each of several ``[trainer]`` settings changed.

    ``compile`` is not tried, because compiling takes longer than all other timings together, and
    bfloat16 not on processors that emulate it, where it is many times slower.
    """
    if per_step > SLOW_STEP_S:
        return
    on_cpu = settings.accelerator == "cpu"
    bf16 = ("bf16-mixed",) if not on_cpu or cpu_has_bf16() else ()
    others: dict[str, tuple[Any, ...]] = {
        "precision": ("32-true", *bf16, *(() if on_cpu else ("16-mixed",))),
        "channels_last": (False, True),
        "num_threads": (1, available_cores()) if on_cpu else (),
    }
    for setting, values in others.items():
        for value in dict.fromkeys(values):
            if value != getattr(settings, setting):
                changed = settings.model_copy(update={setting: value})
                yield Alternative(setting, value, steps.seconds_per_step(changed))
