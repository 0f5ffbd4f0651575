"""Read INI files and keep the line number of each value."""

from __future__ import annotations

import re
from pathlib import Path

from iniconfig import IniConfig, ParseError

from ssl_host.catalog.official import official_distribution
from ssl_host.config.quoting import QuoteError, strip_comment, unquote
from ssl_host.config.values import ConfigOrigin, ConfigValue, Key
from ssl_host.errors import ConfigError, Problem

_UNCLOSED_SECTION = re.compile(r"^\[[A-Za-z_][\w.]*$")
_KEY = re.compile(r"^[A-Za-z_][\w.]*\s*=")


def read_config_text(path: Path) -> str:
    """Return the text of a configuration file, which must be UTF-8.

    Raises:
        ConfigError: if the file cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except FileNotFoundError:
        is_preset_name = not path.is_absolute() and not path.suffix and len(path.parts) == 2
        hint = ""
        if is_preset_name:
            hint = f"; to use a preset, write a file with [run] extends = {path}"
        raise ConfigError([Problem(str(path), f"no such file{hint}")]) from None
    except IsADirectoryError:
        raise ConfigError([Problem(str(path), "is a folder, not an INI file")]) from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
        raise ConfigError([Problem(str(path), message)]) from None
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}")]) from None


def parse_ini(
    text: str, path: str, layer: str, default_section: str | None = None
) -> tuple[dict[Key, ConfigValue], dict[str, int]]:
    """Parse the text of an INI file and return its values and the lines of its section headers.

    Args:
        text: the text of the file.
        path: the path of the file, for error messages.
        layer: the name of the layer, which is stored in the origin of each value.
        default_section: the section for keys before the first section header; if None, such keys
            are an error.

    Returns:
        The values, keyed by section and key; and the line number of each header, keyed by section.

    Raises:
        ConfigError: if the text cannot be parsed.
    """
    # Adding a header for the default section shifts all lines by one.
    shift = 0 if default_section is None else 1
    header = "" if default_section is None else f"[{default_section}]\n"
    try:
        parsed = IniConfig(path, data=header + text)
    except ParseError as error:
        raise ConfigError([_syntax_problem(text, path, error, error.lineno - shift)]) from None
    values: dict[Key, ConfigValue] = {}
    section_lines: dict[str, int] = {}
    problems = []
    for section, settings in parsed.sections.items():
        section_lines[section] = (parsed.lineof(section) or shift) - shift
        for key, raw in settings.items():
            line = (parsed.lineof(section, key) or shift) - shift
            first, *others = raw.split("\n")
            continued = [strip_comment(part, first) for part in others]
            name = f"[{section}] {key}"
            problem = _continuation_problem(text, path, line, name, continued)
            if problem is not None:
                problems.append(problem)
                continue
            try:
                value, is_quoted = unquote(" ".join([strip_comment(first), *continued]).strip())
            except QuoteError as error:
                problems.append(Problem(f"{path}:{line}", f"{name}: {error}"))
                continue
            comment = "" if others else first[len(strip_comment(first)) :]
            origin = ConfigOrigin(layer, path, line)
            values[section, key] = ConfigValue(value, origin, True, is_quoted, comment)
    if problems:
        raise ConfigError(problems)
    return values, section_lines


def _syntax_problem(text: str, path: str, error: ParseError, index: int) -> Problem:
    """Return the problem to report for a syntax error in line ``index``, counted from 0."""
    lines = [*(strip_comment(line) for line in text.splitlines()), ""]
    # Parsing fails only at a line below an unclosed header, so report the header instead.
    index = next((n for n in range(index) if _UNCLOSED_SECTION.match(lines[n])), index)
    return Problem(f"{path}:{index + 1}", _syntax_message(error.msg, lines[index]))


def _continuation_problem(
    text: str, path: str, line: int, name: str, continued: list[str]
) -> Problem | None:
    """Return a problem if an indented key or header was read as part of a value, or None.

    Args:
        text: the text of the file.
        path: the path of the file, for the message.
        line: the line of the key above the indented lines, from 1.
        name: the section and key, for the message.
        continued: the indented lines, without comments.
    """
    for part in continued:
        if _KEY.match(part):
            message = (
                f"{name}: the indented line '{part}' below it was read as part of its value; "
                "remove the indentation"
            )
            return Problem(f"{path}:{line}", message)
    for part in continued:
        if _UNCLOSED_SECTION.match(part):
            below = [strip_comment(other) for other in text.splitlines()[line:]]
            return Problem(f"{path}:{line + 1 + below.index(part)}", _syntax_message("", part))
    return None


def _syntax_message(message: str, line: str) -> str:
    """Return the parser's message for a line, with advice on how to fix it."""
    if line.startswith("[") and "]" not in line:
        return f"'{line}' has no closing ]"
    if message == "no section header defined":
        return (
            "this key is before the first [section]; write `[run]` above it, or, for a flat file "
            f"with values such as 100@int, pip install {official_distribution('dialect', 'flat')}"
        )
    if message.startswith("duplicate"):
        return f"{message}; keep one of the two"
    if message.startswith("unexpected line"):
        return f"{message}; expected `key = value` or `[section]`"
    if message.startswith("unexpected value continuation"):
        return "the indented line does not belong to a key; remove the indentation"
    return message
