"""Finds plugins by their entry points and asks each, one by one, what it offers."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import importlib_metadata
import pluggy

from ssl_host import hookspecs
from ssl_host.catalog.registry import Entry, Plugin, PluginOrigin, error_location
from ssl_host.hookspecs import API_VERSION, PROJECT, REGISTRATION

BUILTIN = "builtin"
DISABLE_VARIABLE = "SSL_HOST_DISABLE"


def discover(blocked: Iterable[str] = ()) -> Iterator[tuple[Plugin, ModuleType | None]]:
    """Every entry point of the group, with its module where it could be loaded.

    Args:
        blocked: names of entry points or distributions that are not to be loaded, besides
            those in the environment variable ``SSL_HOST_DISABLE``.
    """
    refused = {_normal(name) for name in blocked}
    refused |= {_normal(n) for n in os.environ.get(DISABLE_VARIABLE, "").split(",") if n.strip()}
    points = importlib_metadata.entry_points(group=PROJECT)
    for point in sorted(points, key=lambda p: (p.name != BUILTIN, p.name)):
        origin = PluginOrigin(
            point.name,
            point.dist.metadata["Name"] if point.dist else "unknown",
            point.dist.version if point.dist else "unknown",
        )
        plugin = Plugin(origin, point.value)
        if {_normal(point.name), _normal(origin.distribution)} & refused:
            plugin.state, plugin.reason = "blocked", "blocked by -p no: or SSL_HOST_DISABLE"
            yield plugin, None
            continue
        yield plugin, _load(plugin, point.load)


def _load(plugin: Plugin, load: Callable[[], Any]) -> ModuleType | None:
    try:
        module = load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # contained: one plugin takes nothing else down
        _break(plugin, f"import failed: {type(error).__name__}: {error} ({error_location(error)})")
        return None
    if not isinstance(module, ModuleType):
        kind = type(module).__name__
        _break(plugin, f"entry point {plugin.module} is a {kind}, but must name a module")
        return None
    wanted = getattr(module, "ssl_host_api", 1)
    if not isinstance(wanted, int) or wanted > API_VERSION:
        _break(
            plugin,
            f"made for plugin API {wanted}, and this host has {API_VERSION}; "
            "upgrade the host: pip install --upgrade ssl-host",
        )
        return None
    if wanted < hookspecs.API_VERSION:
        _break(
            plugin,
            f"made for plugin API {wanted}, and this host needs {API_VERSION}; "
            f"upgrade the plugin: pip install --upgrade {plugin.origin.distribution}",
        )
        return None
    fault = _hook_fault(module)
    if fault:
        _break(plugin, fault)
        return None
    return module


def _break(plugin: Plugin, reason: str) -> None:
    plugin.state, plugin.reason = "broken", reason


def hook_names() -> dict[str, Callable[..., Any]]:
    """Every hook by its name."""
    return {
        name: function
        for name, function in vars(hookspecs).items()
        if callable(function) and hasattr(function, f"{PROJECT}_spec")
    }


def _hook_fault(module: ModuleType) -> str:
    """What is wrong with a module's hooks; empty when nothing is. pluggy lets some of it pass."""
    known = hook_names()
    for name, function in vars(module).items():
        if not hasattr(function, f"{PROJECT}_impl"):
            continue
        place = f"{inspect.getsourcefile(function)}:{function.__code__.co_firstlineno}"
        if name not in known:
            return (
                f"unknown hook {name} ({place}){did_you_mean(name, known)}; "
                f"hooks are {', '.join(sorted(known))}"
            )
        expected = list(inspect.signature(known[name]).parameters)
        extra = [p for p in inspect.signature(function).parameters if p not in expected]
        if extra:
            return (
                f"hook {name} takes {', '.join(extra)} ({place}), but is given only "
                f"{', '.join(expected)}; rename or drop the argument"
            )
    return ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing where nothing is near."""
    import difflib  # noqa: PLC0415 - only messages need it, and start-up is counted

    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def registrations(plugin: Plugin, module: ModuleType) -> tuple[list[Entry], list[Entry]]:
    """What a module registers: components, presets. A failing one is marked broken."""
    components: list[Entry] = []
    presets: list[Entry] = []

    def collector(kind: str, into: list[Entry]) -> Callable[..., None]:
        def register(name: str, reference: str, summary: str = "") -> None:
            if not (isinstance(name, str) and re.fullmatch(r"[a-z0-9][a-z0-9_./-]*", name)):
                raise ValueError(f"{name!r} is no name for a {kind}; use lower case, digits and _")
            if not (isinstance(reference, str) and ":" in reference):
                raise ValueError(f"{kind} {name!r}: {reference!r} is not of the form module:Object")
            into.append(Entry(kind, name, reference, summary, plugin.origin))

        return register

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module, plugin.origin.plugin)
    try:
        for kind, hook in REGISTRATION.items():
            getattr(manager.hook, hook.__name__)(register=collector(kind, components))
        manager.hook.register_presets(register=collector("preset", presets))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # contained, as above
        _break(
            plugin, f"registering failed: {type(error).__name__}: {error} ({error_location(error)})"
        )
        return [], []
    return components, presets


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
