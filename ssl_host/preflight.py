"""Check a composed run before its first step: views, labels, image sizes and settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ssl_host.augment.executor import ViewMaker
from ssl_host.catalog.discovery import did_you_mean
from ssl_host.catalog.plugin_errors import attribute_errors
from ssl_host.config.run_config import ComponentConfig, RunConfig
from ssl_host.contracts.evaluation import Figure, find_figure, metric_name
from ssl_host.contracts.method import Method
from ssl_host.contracts.networks import Backbone
from ssl_host.errors import ConfigError, DataError, Problem, UserError
from ssl_host.toolkit.image_sizes import (
    fit_of_backbone,
    fit_of_new_backbone,
    fitting_sizes,
    size_error,
    unseen_border,
)
from ssl_host.toolkit.plurals import pluralize


def check_views(config: RunConfig, views: ViewMaker) -> None:
    """Raise ConfigError if the method does not accept the augmentation's number of views."""
    method: Any = config.components["method"].cls
    count, key = pluralize(views.num_views, "view"), "name"
    if views.num_global < method.min_views:
        # Small views of multi-crop are no substitute for full-size ones.
        count = pluralize(views.num_global, "full-size view")
        key = "num_views" if ("augmentation", "num_views") in config.entries else "name"
        expected = f"needs at least {method.min_views}"
    elif views.num_views > method.min_views and not method.supports_multicrop:
        expected = (
            f"takes exactly {method.min_views}, because the method does not support multi-crop"
        )
    else:
        return
    text = (
        f"[augmentation] {config.components['augmentation'].name} makes {count}, but method "
        f"{config.components['method'].name} {expected}; change the number of views in "
        "[augmentation]"
    )
    raise ConfigError([Problem(str(config.entries["augmentation", key].origin), text)])


def check_evaluation(config: RunConfig) -> None:
    """Raise ConfigError if the evaluation during training names what the run does not have."""
    settings, problems = config.evaluate, []
    evaluators: dict[str, Any] = {c.instance: c for c in config.of_kind("evaluator")}

    def add(section: str, key: str, text: str) -> None:
        origin = config.entries[section, key].origin
        value = config.entries[section, key].value
        value = ", ".join(value) if isinstance(value, tuple) else value
        problems.append(Problem(str(origin), f"[{section}] {key} = {value}: {text}"))

    for name in settings.evaluators if settings.every_epochs is not None else ():
        if name not in evaluators:
            usable = [n for n, component in evaluators.items() if component.data is None]
            text = f"there is no section [evaluator.{name}]; add it, or name one of "
            text += f"{', '.join(usable)}{did_you_mean(name, usable)}"
            add("evaluate", "evaluators", text)
        elif evaluators[name].data is not None:
            text = f"[evaluator.{name}] has its own data, but only training images can be used"
            add("evaluate", "evaluators", text)
    for (section, key), metric in config.watched_metrics().items():
        text = "it is measured during training; set [evaluate] every_epochs"
        if settings.every_epochs is not None:
            text = _problem_of_watched(metric, evaluators, settings.evaluators)
        if text:
            add(section, key, text)
    if problems:
        raise ConfigError(problems)


def _problem_of_watched(
    metric: str, evaluators: Mapping[str, ComponentConfig], used: Sequence[str]
) -> str:
    """Return why a metric cannot decide on anything; empty if it can.

    Args:
        metric: name of the metric.
        evaluators: all evaluators of the configuration, keyed by name.
        used: names of the evaluators that run during training.
    """
    figures = [_figure_of(evaluators.get(name), metric) for name in used]
    figure = next(filter(None, figures), None)
    if figure is not None:
        is_ordered = figure.score(0.0) is not None
        text = "neither high nor low values of it are better, and it has no best value; "
        return "" if is_ordered else f"{text}name another metric"
    for name, component in evaluators.items():
        other = None if component.data else _figure_of(component, metric)
        if other is not None and other.score(0.0) is not None:
            return f"add {name}, which measures it, to [evaluate] evaluators"
    known = [m for name in used for m in _metrics_of(evaluators.get(name))]
    text = "it is not a metric of [evaluate] evaluators, which measure "
    return text + (", ".join(known) or "none") + did_you_mean(metric, known)


def _figure_of(component: ComponentConfig | None, metric: str) -> Figure | None:
    """Return an evaluator's declaration of a metric, such as ``knn.top1``; None without one."""
    if component is None or not f"{metric}.".startswith(f"{component.instance}."):
        return None
    cls: Any = component.cls
    return find_figure(cls.figures, metric[len(component.instance) + 1 :])


def _metrics_of(component: ComponentConfig | None) -> list[str]:
    """Return the names of an evaluator's metrics that declare which values are better."""
    if component is None:
        return []
    cls: Any = component.cls
    return [
        metric_name(component.instance, name)
        for name, figure in cls.figures.items()
        if figure.score(0.0) is not None
    ]


def check_tokens(config: RunConfig, backbone: Backbone) -> None:
    """Raise ConfigError if the method needs tokens and the backbone has no patches."""
    method: Any = config.components["method"].cls
    if not method.needs_tokens or backbone.patch_size is not None:
        return
    name = config.components["backbone"].name
    text = (
        f"[backbone] {name} has no patches to leave out or mask, which method "
        f"{config.components['method'].name} needs; use a vision transformer, such as name = timm, "
        "model = vit_tiny_patch16_224"
    )
    raise ConfigError([Problem(str(config.entries["backbone", "name"].origin), text)])


def check_labels(config: RunConfig, method: Method, labels: Tensor | None) -> None:
    """Raise DataError if a method needs labels and the training images have none."""
    if method.uses_labels and (labels is None or not bool((labels >= 0).any())):
        paths = [
            f"{key} = {entry.value}"
            for (section, key), entry in config.entries.items()
            if section == "data" and isinstance(entry.value, Path)
        ]
        origin = f" ({', '.join(paths)})" if paths else ""
        raise DataError(
            f"[method] {config.components['method'].name} uses labels, but the training images of "
            f"[data] {config.components['data'].name}{origin} have none; use images with labels, "
            "or a method that does not need them"
        )


def check_sizes(config: RunConfig, backbone: Backbone, views: ViewMaker) -> None:
    """Raise UserError if the backbone cannot process inputs of the image size or a view size."""
    name = config.components["backbone"].name
    model = getattr(backbone.config, "model", None)
    described = f"backbone {name}" if model is None else f"backbone {name} (model = {model})"
    for size in dict.fromkeys([views.image_size, *views.view_sizes]):
        error = size_error(backbone, size)
        if error is None:
            continue
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        if size == views.image_size:
            advice = size_advice(config, "backbone", backbone.in_channels, size)
            text = (
                f"[data] image_size = {size}: the {described} cannot process images of this size "
                f"({reason})"
            )
        else:
            sizes = fitting_sizes(lambda other: fit_of_backbone(backbone, other), size)
            advice = f"sizes that fit are {', '.join(map(str, sizes))}" if sizes else ""
            text = (
                f"[augmentation] {config.components['augmentation'].name} makes views of {size} "
                f"pixels, which the {described} cannot process ({reason})"
            )
        # If no size fits, the size is not the cause; the first step will report the error.
        if advice:
            raise UserError(f"{text}; {advice}")


def size_advice(config: RunConfig, section: str, in_channels: int, image_size: int) -> str:
    """Return the end of a message that lists image sizes that a backbone supports.

    Args:
        config: the configuration.
        section: the section of the backbone.
        in_channels: number of channels of the images.
        image_size: the size that cannot be used, in pixels.

    Returns:
        Text such as "sizes that fit are 28, 32, 64", or an empty string if no size is found.
    """
    component = config.components[section]
    constructor: Any = component.cls

    def build(size: int) -> Backbone:
        backbone: Backbone = constructor(
            component.settings, in_channels=in_channels, image_size=size
        )
        return backbone

    sizes = fitting_sizes(lambda size: fit_of_new_backbone(build, size), image_size)
    return f"sizes that fit are {', '.join(map(str, sizes))}" if sizes else ""


def border_notes(config: RunConfig, backbone: Backbone, views: ViewMaker) -> tuple[str, ...]:
    """Return a note for each view size at which the backbone ignores a border of the image."""
    notes = []
    for size in dict.fromkeys([views.image_size, *views.view_sizes]):
        border = unseen_border(backbone, size)
        if border is not None:
            smaller, larger = border.fitting
            lines = f"{border.pixels} rows and columns" if border.pixels > 1 else "row and column"
            notes.append(
                f"the backbone {config.components['backbone'].name} ignores the last "
                f"{lines} of images of {size} pixels; sizes that it uses completely are {smaller} "
                f"and {larger}"
            )
    return tuple(notes)


def config_warnings(config: RunConfig, method: Method) -> list[str]:
    """Return the method's warnings about its settings, and those about the length of the run."""
    with attribute_errors(method, "in config_warnings"):
        warnings = list(method.config_warnings(config.trainer.num_processes))
    return [*warnings, *_warmup_warnings(config), *_evaluation_warnings(config)]


def _warmup_warnings(config: RunConfig) -> Iterator[str]:
    """Yield a warning if the learning rate rises for more than half of the run."""
    entry = config.entries.get(("scheduler", "warmup_epochs"))
    epochs = config.run.epochs
    if entry is None or not epochs or 2 * entry.value <= epochs:
        return
    fraction = "the whole run" if entry.value >= epochs else "more than half of the run"
    yield (
        f"[scheduler] warmup_epochs = {entry.value:g} ({entry.origin}): the warm-up covers "
        f"{fraction} of {pluralize(epochs, 'epoch')}; use a shorter warm-up or more [run] epochs"
    )


def _evaluation_warnings(config: RunConfig) -> Iterator[str]:
    """Yield a warning if the run is too short for ``[evaluate] every_epochs`` or ``patience``."""
    every, epochs, patience = config.evaluate.every_epochs, config.run.epochs, config.run.patience
    if every is None or not epochs:
        return
    origin = config.entries["evaluate", "every_epochs"].origin
    start = f"[evaluate] every_epochs = {every} ({origin}): a run of {pluralize(epochs, 'epoch')}"
    if every > epochs:
        yield f"{start} is evaluated only after the last epoch; use a smaller value"
    elif config.run.stop_early is not None and every * (patience + 1) >= epochs:
        yield (
            f"{start} cannot stop early with [run] patience = {patience}; use a smaller value of "
            "either"
        )
