"""Python API: run a configuration, build one component, load a trained backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ssl_host.augment.executor import ViewMaker
from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.registry import Entry
from ssl_host.components import build_component
from ssl_host.compose import compose_method
from ssl_host.config.messages import validate_settings
from ssl_host.config.resolve import resolve_file, resolve_sections
from ssl_host.config.run_config import RunConfig
from ssl_host.contracts.batch import Plan
from ssl_host.contracts.data import IMAGENET_MEAN, IMAGENET_STD
from ssl_host.contracts.optimization import ParamGroup
from ssl_host.contracts.settings import Settings
from ssl_host.errors import ConfigError, Problem
from ssl_host.features import extract_features
from ssl_host.initial_weights import load_initial_weights
from ssl_host.pipeline.continuation import resolve_more_epochs
from ssl_host.pipeline.cost_estimate import Estimate
from ssl_host.pipeline.dry_run import estimate_cost
from ssl_host.pipeline.finished_runs import load_failed_step
from ssl_host.pipeline.run import run_config
from ssl_host.toolkit.console import make_console
from ssl_host.train.param_groups import make_optimizer, split_group
from ssl_host.weights import load_backbone

__all__ = [
    "Estimate",
    "build",
    "dry_run",
    "extract_features",
    "load_backbone",
    "load_failed_step",
    "load_initial_weights",
    "run",
]

Sections = Mapping[str, Mapping[str, Any]]


def run(
    config: str | Path | Sections,
    options: Sequence[str] = (),
    *,
    fresh: bool = False,
    quiet: bool = False,
    more_epochs: int | None = None,
) -> dict[str, Any]:
    """Run a configuration or resume its run, as ``ssl-host run`` does, and return the results.

    Args:
        config: path of an INI file, or a mapping of its sections: ``{"run": {"epochs": 10}, ...}``.
        options: overrides of the form ``section.key=value``, as after ``-o``.
        fresh: True to start from the beginning; the folder of an earlier run is renamed.
        quiet: True to hide the progress display.
        more_epochs: number of epochs by which to continue the finished run of this configuration,
            in the new run ``NAME-Eepochs`` with E epochs in all, as ``--more-epochs``; None to run
            the configuration itself.

    Returns:
        The contents of ``results.json``.

    Raises:
        UserError: when an argument or the configuration is invalid; the message says where
            the mistake is and how to fix it.
        RunError: when the run fails.
        Preempted: when a signal stops the run; the same call resumes it.
    """
    catalog = Catalog()
    resolve = partial(_resolve, config, catalog=catalog)
    resolved = resolve_more_epochs(resolve, options, more_epochs)
    console = make_console(quiet=quiet, stderr=True)
    return run_config(resolved, catalog, console, fresh).results


def dry_run(
    config: str | Path | Sections, options: Sequence[str] = (), *, alternatives: bool = False
) -> Estimate:
    """Build a run and time a few training steps, as ``ssl-host run --dry-run`` does.

    Nothing is written.

    Args:
        config: path of an INI file, or a mapping of its sections, as for :func:`run`.
        options: overrides of the form ``section.key=value``, as after ``-o``.
        alternatives: True to time other ``[trainer]`` settings too.

    Returns:
        The size of the run, its estimated time, and remarks about its settings and images.

    Raises:
        UserError: when the input has an error that would prevent the run from starting.
        NonFiniteError: when the first loss is NaN.
    """
    catalog = Catalog()
    resolved = _resolve(config, options, catalog)
    return estimate_cost(resolved, catalog, alternatives=alternatives)


def _resolve(config: str | Path | Sections, options: Sequence[str], catalog: Catalog) -> RunConfig:
    """Return the validated configuration of a file or of a mapping of sections."""
    if isinstance(config, Mapping):
        return resolve_sections(config, catalog, options)
    return resolve_file(Path(config), options, catalog)


def build(kind: str, name: str, **settings: Any) -> Any:
    """Build and return one component without a configuration file.

    Pass the component's settings and the build arguments of its kind as keyword arguments:

    * ``build("backbone", "small_conv", in_channels=3, image_size=32)``
    * ``build("head", "mlp", in_dim=256, output_dim=64)``
    * ``build("loss", "nt_xent", temperature=0.5)``
    * ``build("augmentation", "simclr", image_size=32)`` returns a callable that turns uint8
      images (B, C, H, W) into a list of views; ``mean`` and ``std`` default to ImageNet's;
    * ``build("method", "simsiam", backbone=backbone)`` builds the heads and the loss from the
      recipe; a dict changes a section of the recipe: ``loss={"name": "negative_cosine"}``;
      ``plan=Plan(epochs=10, ...)`` sets the length of the run and the number of images; the
      default plan has one epoch of one step;
    * ``build("optimizer", "lars", params=method, lr=0.1)`` returns a torch optimizer for a
      method, for any other module or for parameters; without ``params`` it returns the component.

    Args:
        kind: kind of the component, such as ``backbone``.
        name: registered name of the component.
        settings: settings and build arguments of the component, as in the examples.

    Raises:
        ConfigError: when a setting is unknown or invalid.
        PluginError: when no plugin provides the component, or when it cannot be built.
    """
    catalog = Catalog()
    cls = catalog.load(kind, name)
    entry = catalog.find(kind, name)
    special = {"augmentation": {*cls.build_args, "mean", "std"}, "method": {"backbone", "plan"}}
    names = special.get(kind, set(cls.build_args))
    build_args = {key: settings.pop(key) for key in list(settings) if key in names}
    if kind == "method":
        return _build_method(catalog, name, build_args, settings)
    config = validate_settings(cls.Config, settings, f"{kind} {name}")
    if kind == "augmentation":
        return _build_views(cls, config, entry, build_args)
    if kind == "optimizer":
        params = build_args.pop("params", None)
        optimizer = build_component(cls, config, entry, {})
        return optimizer if params is None else _torch_optimizer(optimizer, params)
    return build_component(cls, config, entry, build_args)


def _build_views(
    cls: Any, settings: Settings, entry: Entry, build_args: dict[str, Any]
) -> ViewMaker:
    """Build an augmentation and return a callable that turns uint8 images into views."""
    channels = int(build_args.get("channels", 3))
    default = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ((0.5,) * channels,) * 2
    mean, std = build_args.pop("mean", default[0]), build_args.pop("std", default[1])
    augmentation = build_component(cls, settings, entry, build_args)
    return ViewMaker(augmentation, image_size=augmentation.image_size, mean=mean, std=std)


def _build_method(
    catalog: Catalog, name: str, build_args: dict[str, Any], settings: Mapping[str, Any]
) -> Any:
    """Build a method for a backbone, with the heads and loss from its recipe and settings.

    Raises:
        ConfigError: when a setting is invalid or ``build_args`` does not contain a backbone.
    """
    backbone = build_args.get("backbone")
    sections: dict[str, dict[str, Any]] = {"method": {"name": name}}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            sections.setdefault(key, {}).update(value)
        else:
            sections["method"][key] = value
    sections.setdefault("data", {"name": "synthetic"})
    config = resolve_sections(sections, catalog)
    if backbone is None:
        raise ConfigError(
            [Problem(f"method {name}", "needs the argument backbone=... (a Backbone)")]
        )
    plan = build_args.get("plan") or Plan(
        channels=backbone.in_channels, image_size=backbone.image_size, batch_size=1, num_images=1
    )
    return compose_method(config, plan, backbone)


def _torch_optimizer(optimizer: Any, params: Any) -> Any:
    """Return a torch optimizer for a method, another module or an iterable of parameters.

    If the optimizer has a ``base_lr``, the learning rate is that for 256 images per step.
    """
    lr = optimizer.learning_rate(256)
    if hasattr(params, "param_groups"):
        return make_optimizer(params, optimizer, lr)
    named = list(getattr(params, "named_parameters", lambda: [("", p) for p in params])())
    return optimizer.create(split_group(ParamGroup("all", named), optimizer, lr))
