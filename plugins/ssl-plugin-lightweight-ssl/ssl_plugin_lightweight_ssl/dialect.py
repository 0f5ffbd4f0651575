"""Recognition and translation of Lightweight-SSL configurations.

Keys before the first section, ``ssl_method`` among them, hold most settings, and values carry
their type (``0.1@float``). The folder of the file is the phase: ``pretrain`` or ``linear_eval``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ssl_host import (
    Catalog,
    ConfigError,
    ConfigLayer,
    ConfigValue,
    LiteralError,
    Problem,
    did_you_mean,
    parse_ini_layer,
    parse_value,
)
from ssl_plugin_lightweight_ssl.keys import FLAT, MOVED, WITHOUT_EFFECT, Key
from ssl_plugin_lightweight_ssl.translation import LINEAR, Translation
from ssl_plugin_lightweight_ssl.translators import TRANSLATORS

_EMPTY: dict[str, Any] = {"@int": 0, "@float": 0.0, "@list": [], "@dict": {}, "@tuple": ()}
"""Values of a type without a text, such as ``custom_ds_cfg = @dict``."""


def is_flat_config(text: str) -> bool:
    """Return True if a text is in the dialect: ``ssl_method`` is set before the first section."""
    before_sections = re.split(r"(?m)^\s*\[", text, maxsplit=1)[0]
    return bool(re.search(r"(?m)^ssl_method\s*=", before_sections))


def translate(path: Path, text: str, catalog: Catalog) -> ConfigLayer:
    """Translate a file of the dialect.

    Args:
        path: the file; its folder is the phase.
        text: its content.
        catalog: the installed methods, which decide what arguments have an effect.

    Raises:
        ConfigError: with every problem of the file.
    """
    values: dict[Key, ConfigValue] = {}
    problems = []
    for key, value in parse_ini_layer(text, path, default_section=FLAT).values.items():
        try:
            values[key] = ConfigValue(_parse(value.raw), value.origin)
        except LiteralError as error:
            problems.append(Problem(str(value.origin), f"{key[1]}: {error}"))
    # A method that cannot be parsed has been reported; nothing else makes sense without it.
    if (FLAT, "ssl_method") in values:
        translation = Translation(path, values, catalog)
        _translate_keys(translation)
        problems += translation.problems
    if problems:
        raise ConfigError(sorted(problems))
    return ConfigLayer("file", translation.values, file=str(path), notes=translation.notes)


def _parse(text: str) -> Any:
    """Convert text by its ``@type``; without one it is a number if possible, else text."""
    if text in _EMPTY:
        return _EMPTY[text]
    return parse_value(text, Any if "@" in text else int | float)


def _translate_keys(translation: Translation) -> None:
    method = translation.source[FLAT, "ssl_method"]
    if translation.is_linear:
        # Both phases of a method often have the same file name: give each its own run folder.
        translation.put("run", "name", f"{translation.path.stem}-{LINEAR}", method)
        translation.put("run", "epochs", 0, method)
        translation.put("evaluator.linear", "name", "linear", method)
    for key, value in translation.source.items():
        if key in TRANSLATORS:
            TRANSLATORS[key](translation, value)
        elif key in MOVED:
            section, setting = MOVED[key]
            if key[0] != "ssl_args" or translation.has_effect(key[1], value, section, setting):
                translation.put(section, setting, value.raw, value)
        elif key in WITHOUT_EFFECT:
            translation.note(value, f"{key[1]} has no effect: {WITHOUT_EFFECT[key]}")
        elif key[0] != "ssl_args" or translation.method_is_installed:
            _report_unknown(translation, key, value)
    if (FLAT, "dataset") not in translation.source:
        translation.problem(method, "dataset is missing; add one, such as dataset = cifar10@str")


def _report_unknown(translation: Translation, key: Key, value: ConfigValue) -> None:
    section, name = key
    known = [k for s, k in (*TRANSLATORS, *MOVED, *WITHOUT_EFFECT) if s == section]
    prefix = "" if section == FLAT else f"[{section}] "
    hint = did_you_mean(name, known)
    translation.problem(value, f"{prefix}{name}: unknown key of Lightweight-SSL{hint}")
