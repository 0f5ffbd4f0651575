"""Add the file and line of a setting to errors that it causes later in the run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ssl_host.config.run_config import RunConfig
from ssl_host.config.values import ConfigOrigin
from ssl_host.errors import CheckpointError, ConfigError, PluginError, UserError

_SECTION = re.compile(r"\[([a-z_]+(?:\.[^\]\s]+)?)\]")
_COMPONENT = re.compile(r"(\w+) '([^']+)' \(")
_WORD = re.compile(r"(?<![\w/\\.~-])\w+(?![\w/\\-]|\.\w)")
"""Matches a word that is not part of a path or a file name, unlike ``root`` in ``/root/images``."""
_SETTING = re.compile(rf"{_SECTION.pattern} (\w+) = ([^\s;,:()]+)")
"""Matches a setting with its value in a message, such as ``[data] image_size = 32``."""
_QUOTED = re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"")


@contextmanager
def locate_errors(config: RunConfig, section: str = "") -> Iterator[None]:
    """Add the location of the setting at fault to errors raised in this context.

    The setting at fault is the one that the message names, such as ``[backbone] model``, or else
    the one whose value is a path in the message. If there is neither, the location is that of the
    section of the component that failed. If the message names several settings, the first one that
    is not from a preset is at fault, and the locations of the others are added after their values.

    Args:
        config: the configuration.
        section: the section of the only component that is used in the context; if empty, the error
            shows which component failed.

    Raises:
        UserError: the error raised in the context, with the location in front of its message.
        CheckpointError: the error raised in the context, in the same way.
    """
    try:
        yield
    except ConfigError:  # each problem already has a location
        raise
    except (UserError, CheckpointError) as error:
        location = "" if error.location else _location(config, error, section)
        if location:
            error.location = location
            error.args = (f"{location}: {_add_locations(config, str(error), location)}",)
        raise


@contextmanager
def name_section(section: str) -> Iterator[None]:
    """Put the name of a section in front of errors that name neither a section nor a location.

    Args:
        section: the section of the component that is used in the context.

    Raises:
        UserError: the error raised in the context, with ``[section]`` in front of its message.
    """
    try:
        yield
    except (ConfigError, PluginError):  # these say where the problem is
        raise
    except UserError as error:
        if not error.location and not _SECTION.match(str(error)):
            error.args = (f"[{section}] {error}",)
        raise


def _location(config: RunConfig, error: Exception, section: str) -> str:
    """Return ``file:line`` of the setting that caused an error, or an empty string."""
    message = str(error)
    section = section or _failed_section(config, error)
    parts = _SECTION.split(message)  # text, section, text, section, text ...
    mentioned = list(zip(parts[1::2], parts[2::2], strict=True))
    origins = [o for name, text in mentioned if (o := _key_origin(config, name, text))]
    candidates = (
        *map(str, sorted(origins, key=lambda origin: origin.layer.startswith("preset"))),
        _path_location(config, message),
        str(_key_origin(config, section, message) or ""),
        *(_section_location(config, name) for name, _ in mentioned),
        _section_location(config, section),
    )
    return next(filter(None, candidates), "")


def _failed_section(config: RunConfig, error: Exception) -> str:
    """Return the section of the component that failed, or an empty string if it is unknown."""
    settings = getattr(getattr(error, "component", None), "config", None)
    described = _COMPONENT.match(str(error))
    for section, component in config.components.items():
        is_described = described and described.groups() == (component.kind, component.name)
        if component.settings is settings or is_described:
            return section
    return ""


def _add_locations(config: RunConfig, message: str, location: str) -> str:
    """Return a message with the place of each setting whose value it names, except one."""

    def add(match: re.Match[str]) -> str:
        section, key, value = match.groups()
        entry = config.entries.get((section, key))
        if entry is None or not entry.origin.file or str(entry.value) != value:
            return match[0]
        return match[0] if str(entry.origin) == location else f"{match[0]} ({entry.origin})"

    return _SETTING.sub(add, message)


def _key_origin(config: RunConfig, section: str, text: str) -> ConfigOrigin | None:
    """Return the origin of the first setting of a section that a text mentions by its key.

    A key at the start of the text comes first, then keys in ``key = value``, then all others.
    Words in paths and in quoted text are ignored. The result is None if the text mentions no key
    that a file or an option sets.
    """
    text = _QUOTED.sub("''", text)
    words = _WORD.findall(text)
    assigned = re.findall(rf"{_WORD.pattern}(?=\s*=)", text)
    first = words[:1] if text.lstrip().startswith(tuple(words[:1])) else []
    for word in dict.fromkeys([*first, *assigned, *words]):
        entry = config.entries.get((section, word))
        if entry is not None and entry.origin.file:
            return entry.origin
    return None


def _path_location(config: RunConfig, text: str) -> str:
    """Return the location of the setting whose value is the longest path in a text.

    The result is an empty string if the text contains no path that a file or an option sets.
    """
    found = [
        (str(entry.value), str(entry.origin))
        for entry in config.entries.values()
        if isinstance(entry.value, Path) and entry.origin.file and str(entry.value) in text
    ]
    return max(found, key=lambda pair: len(pair[0]), default=("", ""))[1]


def _section_location(config: RunConfig, section: str) -> str:
    """Return the location of the first setting of a section that a file or an option sets.

    The result is an empty string if there is no such setting.
    """
    origins = [entry.origin for (s, _), entry in config.entries.items() if s == section]
    return next((str(origin) for origin in origins if origin.file), "")
