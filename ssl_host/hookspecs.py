"""Every hook of ssl-host: when it is called, its arguments, what it returns.

A plugin is a module with functions marked ``@hookimpl`` and an entry point in the group
``ssl_host``. Importing the module must not import torch: registration hooks store references
such as ``"ssl_plugin_simsiam.method:SimSiam"``, which are imported when a run names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    from ssl_host.catalog.catalog import Catalog
    from ssl_host.cli.groups import CommandGroup
    from ssl_host.config.layers import ConfigLayer
    from ssl_host.contracts.logging import Run
    from ssl_host.toolkit.checkpoint_keys import StoredWeights

PROJECT = "ssl_host"
"""Name of the pluggy project and of the entry-point group."""

API_VERSION = 1
"""Version of the plugin contract. A plugin states the one it was made for as ``ssl_host_api``."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    """The callback of the registration hooks."""

    def __call__(self, name: str, reference: str, summary: str = "") -> None:
        """Store a component.

        Args:
            name: how INI files call it.
            reference: ``module:Object``, imported when a run first needs it.
            summary: one line for lists.
        """


class RegisterPreset(Protocol):
    """The callback of :func:`register_presets`."""

    def __call__(self, name: str, resource: str, summary: str = "") -> None:
        """Store a preset.

        Args:
            name: ``method/data``, as ``[run] extends`` names it.
            resource: ``package:path/to/file.ini``, a file that the package ships.
            summary: one line for lists.
        """


@hookspec
def register_methods(register: Register) -> None:
    """Called once, when the catalog is filled; registers subclasses of ``ssl_host.Method``.

    Args:
        register: called as ``register(name, "module:Object", summary="one line")``.
    """


@hookspec
def register_augmentations(register: Register) -> None:
    """Called once, when the catalog is filled; registers subclasses of ``ssl_host.Augmentation``.

    Args:
        register: called as ``register(name, "module:Object", summary="one line")``.
    """


@hookspec
def register_backbones(register: Register) -> None:
    """Called once, when the catalog is filled; registers subclasses of ``ssl_host.Backbone``.

    Args:
        register: called as ``register(name, "module:Object", summary="one line")``.
    """


@hookspec
def register_heads(register: Register) -> None:
    """Called once, when the catalog is filled; registers subclasses of ``ssl_host.Head``.

    Args:
        register: called as ``register(name, "module:Object", summary="one line")``.
    """


@hookspec
def register_losses(register: Register) -> None:
    """Called once, when the catalog is filled; registers subclasses of ``ssl_host.Loss``.

    Args:
        register: called as ``register(name, "module:Object", summary="one line")``.
    """


@hookspec
def register_optimizers(register: Register) -> None:
    """Called once, when the catalog is filled; registers subclasses of ``ssl_host.Optimizer``.

    Args:
        register: called as ``register(name, "module:Object", summary="one line")``.
    """


@hookspec
def register_schedulers(register: Register) -> None:
    """Called once, when the catalog is filled; registers subclasses of ``ssl_host.Scheduler``.

    Args:
        register: called as ``register(name, "module:Object", summary="one line")``.
    """


@hookspec
def register_evaluators(register: Register) -> None:
    """Called once, when the catalog is filled; registers subclasses of ``ssl_host.Evaluator``.

    Args:
        register: called as ``register(name, "module:Object", summary="one line")``.
    """


@hookspec
def register_data(register: Register) -> None:
    """Called once, when the catalog is filled; registers subclasses of ``ssl_host.DataSource``.

    Args:
        register: called as ``register(name, "module:Object", summary="one line")``.
    """


@hookspec
def register_loggers(register: Register) -> None:
    """Called once, when the catalog is filled; registers subclasses of ``ssl_host.Logger``.

    Args:
        register: called as ``register(name, "module:Object", summary="one line")``.
    """


@hookspec
def register_exporters(register: Register) -> None:
    """Called once, when the catalog is filled; registers subclasses of ``ssl_host.Exporter``.

    Args:
        register: called as ``register(name, "module:Object", summary="one line")``.
    """


@hookspec
def register_presets(register: RegisterPreset) -> None:
    """Called once, when the catalog is filled; registers INI files for ``[run] extends``.

    Args:
        register: called as ``register("nnclr/cifar10", "ssl_plugin_nnclr:presets/cifar10.ini")``.
    """


@hookspec
def register_commands(cli: CommandGroup) -> None:
    """Called when a command is not found or the help lists all commands; adds commands.

    Args:
        cli: the group ``ssl-host``, a :class:`click.Group`. Use ``@cli.command()``, or
            ``cli.subgroup("data", help="...").add_command(...)`` for ``ssl-host data ...``.
            Import heavy modules inside the commands.
    """


@hookspec(firstresult=True)
def find_config() -> Path | None:
    """Called when ``ssl-host run`` is given no CONFIG argument.

    Returns:
        The configuration to run, for example from an environment variable, or None. The first
        answer is used.
    """


@hookspec(firstresult=True)
def read_config(path: Path, text: str, catalog: Catalog) -> ConfigLayer | None:
    """Called when a configuration file is read, before it is parsed as an INI file.

    Args:
        path: the file.
        text: its content.
        catalog: the installed components.

    Returns:
        The file's values translated from another dialect, or None if it is not in that dialect.
        The first answer is used. Raise ``ssl_host.ConfigError`` for a file that is in the dialect
        and wrong.
    """


@hookspec(firstresult=True)
def check_config(
    path: Path, text: str, options: Sequence[str], catalog: Catalog
) -> Sequence[str] | None:
    """Called by ``ssl-host config check`` before the file is checked as the configuration of a run.

    Args:
        path: the file.
        text: its content.
        options: ``section.key=value``, as given with ``-o``.
        catalog: the installed components.

    Returns:
        Lines to print if the file is of another kind and valid, or None if it is the configuration
        of a run. The first answer is used. Raise ``ssl_host.ConfigError`` with every problem.
    """


@hookspec(firstresult=True)
def read_weights(path: Path) -> StoredWeights | None:
    """Called when ``[run] init_from`` names a file, before it is read as weights of this project.

    Args:
        path: the file.

    Returns:
        Its tensors and the ways to map their names to those of a network, or None if it is not a
        checkpoint of the projects that the plugin knows. The first answer is used.
    """


@hookspec
def config_resolved(config: Mapping[str, Mapping[str, Any]]) -> None:
    """Called when a configuration is valid and before anything is built from it.

    Args:
        config: every value by section, read-only. Raise ``ssl_host.UserError`` to refuse it.
    """


@hookspec
def training_callbacks(run: Run) -> Sequence[Any]:  # type: ignore[empty-body]
    """Called once per process, before training begins.

    Args:
        run: name, folder, seed and configuration.

    Returns:
        ``pytorch_lightning.Callback`` objects to add to the trainer. Lists of all plugins are
        joined.
    """


@hookspec
def run_finished(run: Run, results: Mapping[str, Any]) -> None:
    """Called once, in the first process, after ``results.json`` has been written.

    Args:
        run: name, folder, seed and configuration.
        results: what ``results.json`` holds.
    """


@hookspec
def report_sections(  # type: ignore[empty-body]
    run: Run, results: Mapping[str, Any]
) -> Sequence[tuple[str, str]]:
    """Called when ``report.html`` is written.

    Args:
        run: name, folder, seed and configuration.
        results: what ``results.json`` holds.

    Returns:
        Pairs of a title and an HTML fragment, which is put in as it stands: escape what comes
        from elsewhere.
    """


REGISTRATION: Mapping[str, Callable[..., Any]] = {
    "augmentation": register_augmentations,
    "backbone": register_backbones,
    "data": register_data,
    "evaluator": register_evaluators,
    "exporter": register_exporters,
    "head": register_heads,
    "logger": register_loggers,
    "loss": register_losses,
    "method": register_methods,
    "optimizer": register_optimizers,
    "scheduler": register_schedulers,
}
"""The registration hook of each kind of component."""
