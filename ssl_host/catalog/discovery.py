"""Find plugins by their entry points, and load and check each of them separately."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from types import ModuleType
from typing import TYPE_CHECKING, Any

import importlib_metadata
import pluggy

from ssl_host import hookspecs
from ssl_host.catalog.registry import Entry, Plugin, PluginOrigin, error_location
from ssl_host.contracts.kinds import KINDS
from ssl_host.hookspecs import API_VERSION, PROJECT

if TYPE_CHECKING:
    from importlib.abc import Traversable  # its module since Python 3.11 is not in 3.10

BUILTIN = "builtin"
DISABLE_VARIABLE = "SSL_HOST_DISABLE"


def discover(blocked: Iterable[str] = ()) -> Iterator[tuple[Plugin, ModuleType | None]]:
    """Yield each installed plugin with its module, or with None if it is blocked or broken.

    Args:
        blocked: names of entry points or distributions to skip, in addition to the names in the
            environment variable ``SSL_HOST_DISABLE``.
    """
    skipped = [*blocked, *os.environ.get(DISABLE_VARIABLE, "").split(",")]
    points = importlib_metadata.entry_points(group=PROJECT)
    for point in sorted(points, key=lambda p: (p.name != BUILTIN, p.name)):
        metadata = point.dist.metadata if point.dist else {}  # each access reads the file
        origin = PluginOrigin(
            point.name, metadata.get("Name", "unknown"), metadata.get("Version", "unknown")
        )
        plugin = Plugin(origin, point.value)
        if any(is_plugin_name(name, origin) for name in skipped):
            plugin.state, plugin.reason = "blocked", "disabled with -p no:NAME or SSL_HOST_DISABLE"
            yield plugin, None
            continue
        yield plugin, _load(plugin, point.load)


def _load(plugin: Plugin, load: Callable[[], Any]) -> ModuleType | None:
    """Import a plugin and return its module; on an error, mark it broken and return None."""
    try:
        module: ModuleType = load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a broken plugin must not stop the host or other plugins
        reason = f"import failed: {type(error).__name__}: {error} ({error_location(error)})"
        _mark_broken(plugin, reason)
        return None
    reason = _module_problem(plugin, module) or _hook_problem(module)
    if reason:
        _mark_broken(plugin, reason)
        return None
    return module


def _mark_broken(plugin: Plugin, reason: str) -> None:
    """Set the state of a plugin to ``broken`` and record the reason."""
    plugin.state, plugin.reason = "broken", reason


def _module_problem(plugin: Plugin, module: Any) -> str:
    """Return the reason why an entry point cannot be used as a plugin, or an empty string."""
    if not isinstance(module, ModuleType):
        name = type(module).__name__
        return f"entry point {plugin.module} is of type {name}, but must name a module"
    version = getattr(module, "ssl_host_api", 1)
    if not isinstance(version, int) or version > API_VERSION:
        return (
            f"made for plugin API {version}, but this host has {API_VERSION}; "
            "upgrade the host: pip install --upgrade ssl-host"
        )
    if version < API_VERSION:
        return (
            f"made for plugin API {version}, but this host needs {API_VERSION}; "
            f"upgrade the plugin: pip install --upgrade {plugin.origin.distribution}"
        )
    return ""


def hook_specs() -> dict[str, Callable[..., Any]]:
    """Return the specifications of all hooks, keyed by hook name."""
    return {
        name: function
        for name, function in vars(hookspecs).items()
        if callable(function) and hasattr(function, f"{PROJECT}_spec")
    }


def _hook_problem(module: ModuleType) -> str:
    """Return the first mistake in a module's hook implementations, or an empty string.

    An unknown hook that is marked ``optionalhook`` is not a mistake: a newer host may have it.
    """
    known = hook_specs()
    for attribute, function in vars(module).items():
        options = getattr(function, f"{PROJECT}_impl", None)
        if not isinstance(options, dict):
            continue
        name = options.get("specname") or attribute
        location = f"{inspect.getsourcefile(function)}:{function.__code__.co_firstlineno}"
        if name not in known:
            if options.get("optionalhook"):
                continue
            return (
                f"unknown hook {name} ({location}); the hooks are {', '.join(sorted(known))}"
                f"{did_you_mean(name, known)}"
            )
        expected = list(inspect.signature(known[name]).parameters)
        extra = [p for p in inspect.signature(function).parameters if p not in expected]
        if extra:
            return (
                f"the function for hook {name} takes {', '.join(extra)} ({location}), but the "
                f"hook passes {', '.join(expected) or 'nothing'}; rename or remove the argument"
            )
    return ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the most similar known name, or an empty string."""
    import difflib  # noqa: PLC0415 - only error messages need it; keep start-up fast

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def make_hook_manager() -> pluggy.PluginManager:
    """Return a pluggy manager that knows the hooks, but no plugin."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def collect_components(
    plugin: Plugin, module: ModuleType, manager: pluggy.PluginManager
) -> list[Entry]:
    """Return the components and presets that a plugin registers.

    If the plugin raises an error, it is marked broken and none of its components are registered.

    Args:
        plugin: the plugin.
        module: its module.
        manager: a manager without plugins; it has none afterwards either.
    """
    entries: list[Entry] = []

    def registration(kind: str) -> Callable[..., None]:
        """Return the ``register`` function that a plugin's hook receives for a kind."""

        def register(name: str, reference: str, summary: str = "") -> None:
            if not (isinstance(name, str) and re.fullmatch(r"[a-z0-9][a-z0-9_./-]*", name)):
                raise ValueError(
                    f"{kind} {name!r}: the name is invalid; start it with a-z or 0-9, and use only "
                    "a-z, 0-9, _, -, . and /"
                )
            if not (isinstance(reference, str) and ":" in reference):
                raise ValueError(f"{kind} {name!r}: {reference!r} is not of the form module:Object")
            entries.append(Entry(kind, name, reference, summary, plugin.origin))

        return register

    manager.register(module, plugin.origin.plugin)
    try:
        for kind in KINDS.values():
            getattr(manager.hook, kind.hook)(register=registration(kind.name))
        manager.hook.register_presets(register=_preset_registration(registration("preset")))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # see _load
        _mark_broken(
            plugin,
            f"registering failed: {type(error).__name__}: {error} "
            f"({error_location(error, module.__name__)})",
        )
        return []
    finally:
        manager.unregister(module)
    return entries


def _preset_registration(register: Callable[..., None]) -> Callable[..., None]:
    """Return a function that registers a preset, or all presets in a folder."""

    def register_preset(name: str, resource: str, summary: str = "") -> None:
        if not isinstance(resource, str) or resource.endswith(".ini") or ":" not in resource:
            register(name, resource, summary)
        else:
            folder = preset_file(resource)
            if folder is None or not folder.is_dir():
                raise ValueError(
                    f"preset {name!r}: there is no folder {resource!r}; write package:folder, with "
                    "the folder's path in the installed package"
                )
            for stem, file, first_line in _presets_in(folder, resource):
                register(f"{name}/{stem}", file, first_line)

    return register_preset


def preset_file(resource: str) -> Traversable | None:
    """Return the file or folder ``package:path``; None if there is no such package."""
    package, _, path = resource.partition(":")
    try:
        return resources.files(package).joinpath(path)
    except (ModuleNotFoundError, TypeError):  # TypeError: a module that is not a package
        return None


def _presets_in(folder: Traversable, resource: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, resource and first comment line of each INI file in a folder."""
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        stem, _, suffix = file.name.rpartition(".")
        if suffix == "ini":
            first_line = file.read_text(encoding="utf-8").partition("\n")[0]
            yield stem, f"{resource}/{file.name}", first_line.lstrip("# ")


def is_plugin_name(name: str, origin: PluginOrigin) -> bool:
    """Return True if a name is that of a plugin's entry point or distribution.

    Upper case, ``_`` and ``.`` do not count, as in the names of distributions.
    """
    return _normalise(name) in {_normalise(origin.plugin), _normalise(origin.distribution)}


def _normalise(name: str) -> str:
    """Return a distribution name in lower case, with ``-`` instead of ``_`` and ``.``."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
