"""Read the stored configuration of a run, and compare it with a new one, key by key."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from ssl_host.config.auto_settings import auto_keys
from ssl_host.config.run_config import RunConfig
from ssl_host.config.values import Key, format_value
from ssl_host.errors import RunFolderError

ConfigValues = Mapping[str, Mapping[str, Any]]
"""Settings as ``{section: {key: value}}``, with values of JSON types."""

FREE_SETTINGS = {
    ("run", "dir"),
    ("run", "name"),
    ("loader", "num_workers"),
    ("loader", "cache_dir"),
    ("checkpoint", "every_minutes"),
    ("checkpoint", "every_epochs"),
    ("checkpoint", "keep"),
}
"""Settings that may change when a run is resumed, because they do not change its results."""

EVALUATION_KINDS = ("evaluator", "baseline")
"""Kinds of sections that ``ssl-host evaluate`` may replace."""
_STARTING_POINT = ("epochs", "continue_from", "init_from", "init_key", "init_prefix")
_STOPPING = ("stop_early", "patience")
FREE_SETTINGS_OF_CONTINUED_RUNS = {
    *FREE_SETTINGS,
    *(("run", key) for key in (*_STARTING_POINT, *_STOPPING)),
    ("checkpoint", "best"),
    *(("optimizer", key) for key in ("lr", "base_lr", "scale_lr")),
}
"""Settings that may change when a finished run is continued for more epochs in another folder."""
FREE_KINDS_OF_CONTINUED_RUNS = {
    "augmentation",
    "scheduler",
    "trainer",
    "evaluator",
    "baseline",
    "logger",
    "evaluate",
}
"""Kinds of sections that may change when a finished run is continued; a checkpoint fits them."""


def config_values(config: RunConfig) -> ConfigValues:
    """Return all settings of a configuration as ``{section: {key: value}}``, with JSON types.

    A value from an environment variable is kept as its reference, ``${env:NAME}``.
    ``[run] extends`` is left out, because the other sections already contain the values of the
    presets.
    """
    values: dict[str, dict[str, Any]] = to_jsonable_python(config.values(), fallback=str)
    values.get("run", {}).pop("extends", None)
    return values


def read_config_values(path: Path) -> ConfigValues:
    """Return all settings that are stored in the ``config.json`` of a run folder.

    Raises:
        RunFolderError: if the file is missing or damaged.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RunFolderError(
            f"{path}:{error.lineno}: not valid JSON ({error.msg}); use --fresh to start again"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(
            f"{path} cannot be read ({error}); use --fresh to start again"
        ) from None
    if not isinstance(values, dict) or not all(isinstance(v, dict) for v in values.values()):
        raise RunFolderError(f"{path} is not a JSON object of sections; use --fresh to start again")
    return values


def changed_keys(old: ConfigValues, new: ConfigValues) -> Iterator[Key]:
    """Yield the section and key of every setting that differs; a missing key counts as None."""
    for section in dict.fromkeys([*old, *new]):
        before, after = old.get(section, {}), new.get(section, {})
        for key in dict.fromkeys([*before, *after]):
            if before.get(key) != after.get(key):
                yield section, key


def compare_configs(
    stored: ConfigValues,
    config: RunConfig,
    free: Collection[Key] = FREE_SETTINGS,
    free_kinds: Collection[str] = (),
) -> tuple[list[str], dict[Key, Any]]:
    """Return a line for each changed setting, and the stored values to use for ``auto``.

    Args:
        stored: the settings with which the run was started.
        config: the new configuration.
        free: settings that are ignored.
        free_kinds: kinds of sections that are ignored, except for ``auto`` settings.

    Returns:
        A line ``[section] key: was X, is Y`` for each changed setting, and the stored values of
        ``auto`` settings that would now get a different value.
    """
    values, auto = config_values(config), auto_keys(config)
    changes: list[str] = []
    chosen: dict[Key, Any] = {}
    for section, key in changed_keys(stored, values):
        old = stored.get(section, {}).get(key)
        if (section, key) in free or _is_new_default(section, key, stored, config):
            continue
        if (section, key) in auto:
            chosen[section, key] = old
        elif not _is_free(section, config, free_kinds):
            new = values.get(section, {}).get(key)
            changes.append(f"[{section}] {key}: was {_text(old)}, is {_text(new)}")
    return changes, chosen


def _is_new_default(section: str, key: str, stored: ConfigValues, config: RunConfig) -> bool:
    """Return True if an older version stored the settings, which did not have this one.

    A stored configuration has all settings with their defaults, so that a missing one was unknown.
    """
    entry = config.entries.get((section, key))
    if entry is None or key in stored.get(section, {}):
        return False
    if section.startswith("baseline.") and not any(s.startswith("baseline.") for s in stored):
        return entry.origin.layer in ("default", "host default")
    is_known = section in stored or section in config.host
    return is_known and entry.origin.layer == "default"


def _is_free(section: str, config: RunConfig, free_kinds: Collection[str]) -> bool:
    """Return True if a section is of a free kind, or only components of free kinds use it.

    Evaluators that run during training are not free.
    """
    kind, _, instance = section.partition(".")
    if kind in free_kinds:
        is_used_in_training = kind == "evaluator" and config.evaluate.every_epochs is not None
        return not (is_used_in_training and instance in config.evaluate.evaluators)
    method: Any = config.components["method"].cls
    # Without a name, [data] and [backbone] are the run's; frozen networks are the method's.
    is_named = bool(instance) and kind in ("data", "backbone") and instance not in method.frozen
    return is_named and set(EVALUATION_KINDS) <= set(free_kinds)


def has_same_dataset(stored: ConfigValues, config: RunConfig) -> bool:
    """Return True if a stored run used the same data set with the same test split.

    This compares the settings of ``[data]`` except image_size, and ``[loader] holdout``.
    """
    values = config_values(config)
    return all(
        stored[section][key] == values[section][key]
        for section in ("data", "loader")
        for key in stored.get(section, {}).keys() & values.get(section, {}).keys()
        if (section, key) == ("loader", "holdout") or (section == "data" and key != "image_size")
    )


def _text(value: Any) -> str:
    """Return a value as INI text, or ``(unset)`` for None."""
    return "(unset)" if value is None else format_value(value)
