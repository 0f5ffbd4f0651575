"""One INI file as values with their lines."""

from __future__ import annotations

import re
from pathlib import Path

from iniconfig import IniConfig, ParseError

from ssl_host.config.values import ConfigOrigin, ConfigValue, Key
from ssl_host.errors import ConfigError, Problem

_COMMENT = re.compile(r"(^|\s)[#;].*$")
_LOOKS_LIKE_SECTION = re.compile(r"^\[[A-Za-z_][\w.]*$")
_LOOKS_LIKE_KEY = re.compile(r"^[A-Za-z_][\w.]*\s*=")


def read_ini(path: Path, layer: str) -> tuple[dict[Key, ConfigValue], dict[str, int]]:
    """Values and section lines of a file.

    Raises:
        ConfigError: when the file cannot be read; a syntax error hides what follows it, so it
            stands alone.
    """
    return parse_ini(read_config_text(path), str(path), layer)


def read_config_text(path: Path) -> str:
    """The text of a configuration file.

    Raises:
        ConfigError: when it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors write a mark at the start
    except FileNotFoundError:
        raise ConfigError([Problem(str(path), "no such file")]) from None
    except IsADirectoryError:
        raise ConfigError([Problem(str(path), "is a folder, not an INI file")]) from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
        raise ConfigError([Problem(str(path), message)]) from None
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}")]) from None


def parse_ini(
    text: str, path: str, layer: str, top: str | None = None
) -> tuple[dict[Key, ConfigValue], dict[str, int]]:
    """As :func:`read_ini`, of a text; ``path`` is for messages.

    Args:
        top: section of the keys that stand before the first one; without it they are an error.
    """
    above = 0 if top is None else 1
    try:
        parsed = IniConfig(path, data=text if top is None else f"[{top}]\n{text}")
    except ParseError as error:
        line = error.lineno - above
        given = [*(_COMMENT.sub("", part).rstrip() for part in text.splitlines()), ""]
        # What follows such a line belongs to the section before it, and fails there.
        line = next((n for n in range(line) if _LOOKS_LIKE_SECTION.match(given[n])), line)
        problem = Problem(f"{path}:{line + 1}", _explain(error.msg, given[line]))
        raise ConfigError([problem]) from None
    values: dict[Key, ConfigValue] = {}
    lines: dict[str, int] = {}
    problems = []
    for name, section in parsed.sections.items():
        lines[name] = (parsed.lineof(name) or above) - above
        for key, raw in section.items():
            line = (parsed.lineof(name, key) or above) - above
            first, *others = [_COMMENT.sub("", part).strip() for part in raw.split("\n")]
            swallowed = next((part for part in others if _LOOKS_LIKE_KEY.match(part)), None)
            if swallowed is not None:
                problems.append(
                    Problem(
                        f"{path}:{line}",
                        f"[{name}] {key}: the indented line '{swallowed}' below it was read as "
                        "part of its value; remove the indentation",
                    )
                )
                continue
            unclosed = next((part for part in others if _LOOKS_LIKE_SECTION.match(part)), None)
            if unclosed is not None:
                below = [_COMMENT.sub("", part).strip() for part in text.splitlines()[line:]]
                where = f"{path}:{line + 1 + below.index(unclosed)}"
                problems.append(Problem(where, _explain("", unclosed)))
                continue
            joined = " ".join([first, *others]).strip()
            values[name, key] = ConfigValue(joined, ConfigOrigin(layer, path, line), is_text=True)
    if problems:
        raise ConfigError(problems)
    return values, lines


def _explain(message: str, line: str) -> str:
    if line.startswith("[") and "]" not in line:
        return f"'{line}' lacks its closing ]"
    if message == "no section header defined":
        return (
            "a key before the first [section]; write `[run]` above it "
            "(older flat configs are recognised by their key ssl_method)"
        )
    if message.startswith("duplicate"):
        return f"{message}; keep one of the two"
    if message.startswith("unexpected line"):
        return f"{message}; expected `key = value` or `[section]`"
    if message.startswith("unexpected value continuation"):
        return "an indented line that belongs to no key; remove the indentation"
    return message
