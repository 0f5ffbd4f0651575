"""Specifications of all hooks: when they are called, their arguments and return values.

A plugin is a module with functions marked ``@hookimpl`` and an entry point in the group
``ssl_host``. Importing the module must not import torch: registration hooks pass references
such as ``"ssl_plugin_simsiam.method:SimSiam"``, which are imported when a run uses them.

If only newer hosts have a hook, mark its implementation ``@hookimpl(optionalhook=True)``; older
hosts then ignore it. ``@hookimpl(specname="register_methods")`` marks a function that implements a
hook under a different name.
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
"""Version of the plugin contract; plugins declare the one they need as ``ssl_host_api``."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Decorator that marks a function of a plugin as the implementation of a hook."""


class Register(Protocol):
    """Type of the ``register`` function that a registration hook receives."""

    def __call__(self, name: str, reference: str, summary: str = "") -> None:
        """Register a component.

        Args:
            name: name of the component in INI files.
            reference: ``module:Object``, imported when a run first needs it.
            summary: one-line description, shown in lists.
        """


class RegisterPreset(Protocol):
    """Type of the ``register`` function that :func:`register_presets` receives."""

    def __call__(self, name: str, resource: str, summary: str = "") -> None:
        """Register a preset.

        Args:
            name: name of the preset for ``[run] extends``, such as ``nnclr/cifar10``.
            resource: ``package:path/to/file.ini``, a file in the installed package. With a folder,
                ``package:path``, each of its INI files becomes the preset ``name/<file name>``,
                described by its first comment line.
            summary: one-line description, shown in lists.
        """


_REGISTRATION_DOC = """\
Called once, when plugins are loaded, to register subclasses of ``ssl_host.{base}``.

Args:
    register: called as ``register(name, "module:Object", summary="one-line description")``.
"""


def _registration_hook(kind: Kind) -> Callable[..., None]:
    """Return the specification of the hook that registers components of a kind."""

    def register_components(register: Register) -> None:
        pass

    register_components.__name__ = register_components.__qualname__ = kind.hook
    register_components.__doc__ = _REGISTRATION_DOC.format(base=kind.base)
    return hookspec(register_components)


# One hook per kind: register_data, register_methods, register_augmentations, ...
globals().update({kind.hook: _registration_hook(kind) for kind in KINDS.values()})


@hookspec
def register_presets(register: RegisterPreset) -> None:
    """Called once, when plugins are loaded, to register INI files for ``[run] extends``.

    Args:
        register: called as ``register("nnclr/cifar10", "ssl_plugin_nnclr:presets/cifar10.ini")``,
            or as ``register("nnclr", "ssl_plugin_nnclr:presets")`` for all files of a folder.
    """


@hookspec
def register_commands(cli: CommandGroup) -> None:
    """Called to add commands, when a command is not found or the help lists all commands.

    Args:
        cli: the group ``ssl-host``, a :class:`click.Group`. Use ``@cli.command()``, or
            ``cli.subgroup("data", help="...").add_command(...)`` for ``ssl-host data ...``.
            Import heavy modules inside the commands.
    """


@hookspec(firstresult=True)
def find_config() -> Path | None:
    """Called to find a configuration when ``ssl-host run`` is given no CONFIG argument.

    Returns:
        The path of the configuration to run, taken for example from an environment variable, or
        None. The first result that is not None is used.
    """


@hookspec(firstresult=True)
def read_config(path: Path, text: str, catalog: Catalog) -> ConfigLayer | None:
    """Called when a configuration file is read, before ssl-host parses it as an INI file.

    Args:
        path: path of the file.
        text: contents of the file.
        catalog: the installed components.

    Returns:
        The values in the file, or None if it is not in the plugin's dialect. The first result
        that is not None is used. Raise ``ssl_host.ConfigError`` if a file in the dialect has
        mistakes.
    """


@hookspec(firstresult=True)
def check_config(
    path: Path, text: str, options: Sequence[str], catalog: Catalog
) -> Sequence[str] | None:
    """Called by ``ssl-host config check``, before the file is checked as a run configuration.

    Args:
        path: path of the file.
        text: contents of the file.
        options: overrides of the form ``section.key=value``, as given with ``-o``.
        catalog: the installed components.

    Returns:
        Lines to print if the file is a valid configuration in the plugin's own format; None if the
        file has a different format. The first result that is not None is used. Raise
        ``ssl_host.ConfigError`` with all problems if the file is invalid.
    """


@hookspec(firstresult=True)
def read_weights(path: Path) -> StoredWeights | None:
    """Called when ssl-host alone cannot decide which weights of ``[run] init_from`` to load.

    That is the case if ssl-host cannot read the file, if the tensors do not have its own names, if
    several networks in the file fit the backbone, or if ``init_key`` or ``init_prefix`` is set.

    Args:
        path: path of the file.

    Returns:
        The tensors and the naming schemes under which they may fit a network, or None if the file
        is not a checkpoint from a project that the plugin knows. The first result that is not
        None is used. If none of these naming schemes fits, ssl-host tries each of them with every
        prefix in the file.
    """


@hookspec
def config_resolved(config: Mapping[str, Mapping[str, Any]]) -> None:
    """Called once a configuration is known to be valid, before anything is built from it.

    Raise ``ssl_host.UserError`` to reject the configuration.

    Args:
        config: all values, keyed by section and then by key; read-only.
    """


@hookspec
def training_callbacks(run: Run) -> Sequence[Any]:  # type: ignore[empty-body]
    """Called once in each process of the run, before training begins.

    Args:
        run: record with the run's name, folder, seed and configuration.

    Returns:
        ``pytorch_lightning.Callback`` objects, which the trainer calls after the host's own.
    """


@hookspec
def run_finished(run: Run, results: Mapping[str, Any]) -> None:
    """Called once, in the process with rank 0, after ``results.json`` has been written.

    Args:
        run: record with the run's name, folder, seed and configuration.
        results: contents of ``results.json``.
    """


@hookspec
def report_sections(  # type: ignore[empty-body]
    run: Run, results: Mapping[str, Any]
) -> Sequence[tuple[str, str]]:
    """Called to add sections to ``report.html`` when it is written.

    Args:
        run: record with the run's name, folder, seed and configuration.
        results: contents of ``results.json``.

    Returns:
        A (title, HTML fragment) pair for each section. Fragments are inserted without changes:
        escape any text that you did not write yourself.
    """
