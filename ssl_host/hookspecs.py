"""Specifications of all hooks: when each is called, its arguments and its return value.

A plugin is a module with functions marked ``@hookimpl`` and an entry point in the group
``ssl_host``. Importing the module must not import torch: registration hooks store references
such as ``"ssl_plugin_simsiam.method:SimSiam"``, which are imported when a run names them.

A plugin that implements a hook of a newer host marks it ``@hookimpl(optionalhook=True)``; older
hosts then ignore it. ``@hookimpl(specname="register_methods")`` implements a hook under a different
function name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from ssl_host.contracts.kinds import KINDS, Kind

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
"""Version of the plugin contract; a plugin declares its version as ``ssl_host_api``."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Decorator that marks a function of a plugin as the implementation of a hook."""


class Register(Protocol):
    """Type of the function that a registration hook receives, to register components."""

    def __call__(self, name: str, reference: str, summary: str = "") -> None:
        """Register a component.

        Args:
            name: name of the component in INI files.
            reference: ``module:Object``, imported when a run first needs it.
            summary: one-line description, shown in lists.
        """


class RegisterPreset(Protocol):
    """Type of the function that :func:`register_presets` receives, to register presets."""

    def __call__(self, name: str, resource: str, summary: str = "") -> None:
        """Register a preset.

        Args:
            name: ``method/data``, as ``[run] extends`` names it.
            resource: ``package:path/to/file.ini``, a file that the package ships.
            summary: one-line description, shown in lists.
        """


_REGISTRATION_DOC = """\
Called once, when the catalog is filled, to register subclasses of ``ssl_host.{base}``.

Args:
    register: called as ``register(name, "module:Object", summary="one-line description")``.
"""


def _registration_hook(kind: Kind) -> Callable[..., None]:
    """Return the specification of the hook in which plugins register components of a kind."""

    def register_components(register: Register) -> None:
        pass

    register_components.__name__ = register_components.__qualname__ = kind.hook
    register_components.__doc__ = _REGISTRATION_DOC.format(base=kind.base)
    return hookspec(register_components)


# One hook per kind: register_data, register_methods, register_augmentations, ...
globals().update({kind.hook: _registration_hook(kind) for kind in KINDS.values()})


@hookspec
def register_presets(register: RegisterPreset) -> None:
    """Called once, when the catalog is filled, to register INI files for ``[run] extends``.

    Args:
        register: called as ``register("nnclr/cifar10", "ssl_plugin_nnclr:presets/cifar10.ini")``.
    """


@hookspec
def register_commands(cli: CommandGroup) -> None:
    """Called when a command is not found or the help lists all commands, to add commands.

    Args:
        cli: the group ``ssl-host``, a :class:`click.Group`. Use ``@cli.command()``, or
            ``cli.subgroup("data", help="...").add_command(...)`` for ``ssl-host data ...``.
            Import heavy modules inside the commands.
    """


@hookspec(firstresult=True)
def find_config() -> Path | None:
    """Called by ``ssl-host run`` without the argument CONFIG, to find a configuration.

    Returns:
        The path of the configuration to run, for example from an environment variable, or None.
        The first result that is not None is used.
    """


@hookspec(firstresult=True)
def read_config(path: Path, text: str, catalog: Catalog) -> ConfigLayer | None:
    """Called when a configuration file is read, before ssl-host parses it as an INI file.

    Args:
        path: path of the file.
        text: content of the file.
        catalog: the installed components.

    Returns:
        The values in the file, or None if it is not in the dialect that the plugin reads. The
        first result that is not None is used. Raise ``ssl_host.ConfigError`` for mistakes in a
        file of the dialect.
    """


@hookspec(firstresult=True)
def check_config(
    path: Path, text: str, options: Sequence[str], catalog: Catalog
) -> Sequence[str] | None:
    """Called by ``ssl-host config check``, before the file is checked as a run configuration.

    Args:
        path: path of the file.
        text: content of the file.
        options: texts ``section.key=value``, as given with ``-o``.
        catalog: the installed components.

    Returns:
        Lines to print if the file is a valid configuration of the plugin's own kind; None if it is
        not of this kind. The first result that is not None is used. Raise
        ``ssl_host.ConfigError`` with all problems of an invalid file.
    """


@hookspec(firstresult=True)
def read_weights(path: Path) -> StoredWeights | None:
    """Called when ssl-host itself cannot load the file that ``[run] init_from`` names.

    Args:
        path: path of the file.

    Returns:
        The tensors and the possible mappings of their names to those of a network, or None if the
        file is not a checkpoint of a project that the plugin knows. The first result that is not
        None is used.
    """


@hookspec
def config_resolved(config: Mapping[str, Mapping[str, Any]]) -> None:
    """Called when a configuration is valid, before anything is built from it.

    Args:
        config: every value by section and key, read-only. Raise ``ssl_host.UserError`` to reject
            the configuration.
    """


@hookspec
def training_callbacks(run: Run) -> Sequence[Any]:  # type: ignore[empty-body]
    """Called once per process, before training begins.

    Args:
        run: record with the run's name, folder, seed and configuration.

    Returns:
        ``pytorch_lightning.Callback`` objects to add to the trainer, after those of other plugins.
    """


@hookspec
def run_finished(run: Run, results: Mapping[str, Any]) -> None:
    """Called once, in the first process, after ``results.json`` has been written.

    Args:
        run: record with the run's name, folder, seed and configuration.
        results: content of ``results.json``.
    """


@hookspec
def report_sections(  # type: ignore[empty-body]
    run: Run, results: Mapping[str, Any]
) -> Sequence[tuple[str, str]]:
    """Called when ``report.html`` is written.

    Args:
        run: record with the run's name, folder, seed and configuration.
        results: content of ``results.json``.

    Returns:
        Pairs of a title and an HTML fragment. The fragment is inserted without escaping: escape
        text that comes from other sources.
    """
