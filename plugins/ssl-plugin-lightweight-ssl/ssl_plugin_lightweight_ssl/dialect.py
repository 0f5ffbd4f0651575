"""Detect Lightweight-SSL configurations and translate them for ssl-host.

Most settings, such as ``ssl_method``, are keys before the first section, and values include their
type (``0.1@float``). The name of the file's folder is the phase: ``pretrain`` or ``linear_eval``.
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

_TYPED_COMMENT = re.compile(r"@(int|float|str|bool|list|dict|tuple)\s*$")
"""Comment that ends in a type, which shows that it is really a part of the value."""

_EMPTY: dict[str, Any] = {"@int": 0, "@float": 0.0, "@list": [], "@dict": {}, "@tuple": ()}
"""Values of keys whose text is only a type, as in ``custom_ds_cfg = @dict``."""


def is_flat_config(text: str) -> bool:
    """Return True for a Lightweight-SSL file: ``ssl_method`` is set before the first section."""
    before_sections = re.split(r"(?m)^\s*\[", text, maxsplit=1)[0]
    return bool(re.search(r"(?m)^ssl_method\s*=", before_sections))


def translate(path: Path, text: str, catalog: Catalog) -> ConfigLayer:
    """Return a Lightweight-SSL configuration as a configuration layer of ssl-host.

    Args:
        path: path of the file; the name of its folder is the phase.
        text: content of the file.
        catalog: the installed components; they determine which arguments have an effect.

    Raises:
        ConfigError: if the file is invalid; the message lists every problem.
    """
    values: dict[Key, ConfigValue] = {}
    problems = []
    for key, value in parse_ini_layer(text, path, default_section=FLAT).values.items():
        if _TYPED_COMMENT.search(value.comment) and "@" not in value.raw:
            comment = value.comment.strip()
            message = f"{key[1]}: {comment!r} is read as a comment; put the text before @ in quotes"
            problems.append(Problem(str(value.origin), message))
            continue
        try:
            # After quotes or a type, a comment is not part of the value.
            is_complete = value.is_quoted or "@" in value.raw
            comment = "" if is_complete else value.comment
            values[key] = ConfigValue(_parse(value.raw), value.origin, comment=comment)
        except LiteralError as error:
            problems.append(Problem(str(value.origin), f"{key[1]}: {error}"))
    # An invalid method is already reported, and nothing else can be translated without it.
    if (FLAT, "ssl_method") in values:
        translation = Translation(path, values, catalog)
        _translate_keys(translation)
        problems += translation.problems
    if problems:
        raise ConfigError(sorted(problems))
    return ConfigLayer("file", translation.values, file=str(path), notes=translation.notes)


def _parse(text: str) -> Any:
    """Convert text to its ``@type``; without a type, to a number if possible."""
    if text in _EMPTY:
        return _EMPTY[text]
    return parse_value(text, Any if "@" in text else int | float)


def _translate_keys(translation: Translation) -> None:
    """Translate every key; add notes about keys without effect and problems for unknown keys."""
    method = translation.source[FLAT, "ssl_method"]
    if translation.is_linear:
        # The files of both phases often have the same name; use a separate run folder for each.
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
    """Add a problem for an unknown key; the message suggests a similar known key."""
    section, name = key
    known = [k for s, k in (*TRANSLATORS, *MOVED, *WITHOUT_EFFECT) if s == section]
    prefix = "" if section == FLAT else f"[{section}] "
    hint = did_you_mean(name, known)
    translation.problem(value, f"{prefix}{name}: unknown key of Lightweight-SSL{hint}")
