"""Writes docs/reference from the code: ``make docs`` runs it, and a test holds it current."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

import ssl_host
from ssl_host import testing
from ssl_host.catalog.catalog import Catalog
from ssl_host.catalog.discovery import hook_specs
from ssl_host.cli.app import cli
from ssl_host.config.display import describe_settings
from ssl_host.config.schema import HOST_SECTIONS
from ssl_host.config.values import format_value
from ssl_host.contracts.kinds import KINDS
from ssl_host.evaluate.figures import HOST_FIGURES, metric_name
from ssl_host.report.summary import BASELINES
from ssl_host.run_folder.files import FILES
from ssl_host.testing.suite import checks_of

HERE = Path(__file__).parent / "reference"
MADE = "<!-- made by docs/generate_reference.py; do not edit -->\n\n"
OURS = "ssl-"
"""Distributions of this repository begin so; others that are installed are left out."""


def pages() -> dict[str, str]:
    """Every page by its path below docs/reference."""
    catalog = Catalog()
    found = {f"components/{kind}.md": _kind(catalog, kind) for kind in KINDS}
    found |= {
        "presets.md": _presets(catalog),
        "settings.md": _settings(),
        "hooks.md": _hooks(),
        "commands.md": _commands(),
        "metrics.md": _metrics(catalog),
        "files.md": _files(),
        "checks.md": _checks(),
        "python.md": _python(),
    }
    return {name: MADE + text.rstrip() + "\n" for name, text in found.items()}


def _kind(catalog: Catalog, kind: str) -> str:
    parts = [f"# Components: {kind}\n"]
    for entry in catalog.entries(kind):
        if not entry.origin.distribution.startswith(OURS):
            continue
        cls = catalog.load(kind, entry.name)
        parts.append(f"## {entry.name}\n\nFrom `{entry.origin.distribution}`: {entry.summary}.\n")
        parts.append(_prose(inspect.getdoc(cls) or "") + "\n")
        parts.append(_table(cls.Config))
        parts.append(_recipe(getattr(cls, "recipe", {})))
    return "\n".join(parts)


def _recipe(recipe: Mapping[str, Mapping[str, Any]]) -> str:
    """What a method or a data source gives where no INI says otherwise."""
    if not recipe:
        return ""
    lines = []
    for section, values in recipe.items():
        lines += [f"[{section}]", *(f"{k} = {format_value(v)}" for k, v in values.items()), ""]
    return "Its recipe:\n\n```text\n" + "\n".join(lines).rstrip() + "\n```\n"


def _table(schema: Any) -> str:
    rows = describe_settings(schema)
    if not rows:
        return "No settings of its own.\n"
    lines = ["| setting | type | default | bounds | meaning |", "|---|---|---|---|---|"]
    for row in rows:
        default = "required" if row["required"] else _code(row["default"])
        cells = (_code(row["name"]), row["type"], default, row["bounds"].strip())
        lines.append(f"| {' | '.join(_cell(c) for c in (*cells, row['description']))} |")
    return "\n".join(lines) + "\n"


def _presets(catalog: Catalog) -> str:
    lines = [
        "# Presets\n",
        "Named by `[run] extends`; a preset is an INI file that a plugin ships.\n",
    ]
    lines += ["| preset | for | from |", "|---|---|---|"]
    lines += [
        f"| `{e.name}` | {e.summary} | `{e.origin.distribution}` |"
        for e in catalog.entries("preset")
        if e.origin.distribution.startswith(OURS)
    ]
    return "\n".join(lines)


def _settings() -> str:
    parts = ["# The host's settings\n", "Components' settings are on their own pages.\n"]
    for name, schema in HOST_SECTIONS.items():
        parts += [f"## [{name}]\n", _prose(inspect.getdoc(schema) or "") + "\n", _table(schema)]
    return "\n".join(parts)


def _hooks() -> str:
    parts = ["# Hooks\n", "Marked `@ssl_host.hookimpl` in the module that the entry point names.\n"]
    for name, function in hook_specs().items():
        arguments = ", ".join(inspect.signature(function).parameters)
        parts += [f"## {name}({arguments})\n", _prose(inspect.getdoc(function) or "") + "\n"]
    return "\n".join(parts)


def _commands() -> str:
    parts = ["# Commands\n"]
    for path, command in _walk("ssl-host", cli):
        with click.Context(command, info_name=path, max_content_width=88) as context:
            parts.append(f"## {path}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def _walk(path: str, command: click.Command) -> Iterable[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            yield from _walk(f"{path} {name}", child)


def _metrics(catalog: Catalog) -> str:
    baselines = ", ".join(f"`{key}.` ({called})" for key, called in BASELINES.items())
    parts = [
        "# Metrics\n",
        "`results.json` holds them under `metrics`, accuracies as fractions from 0 to 1. A name "
        "begins with the evaluator's instance: `[evaluator.linear]` gives `linear.top1`. Beside "
        f"every accuracy stand its baselines: {baselines}, such as `pixels.knn.top1`.\n",
        "| metric | meaning |",
        "|---|---|",
    ]
    rows = {name: figure.description for name, figure in HOST_FIGURES.items()}
    for entry in catalog.entries("evaluator"):
        if entry.origin.distribution.startswith(OURS):
            for metric, figure in catalog.load("evaluator", entry.name).figures.items():
                rows[metric_name(entry.name, metric)] = figure.description
    parts += [f"| `{name}` | {meaning} |" for name, meaning in rows.items()]
    return "\n".join(parts)


def _files() -> str:
    lines = ["# A run's folder\n", "`runs/NAME/` holds:\n", "| file | what it is |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {what} |" for name, what in FILES.items())])


def _checks() -> str:
    parts = ["# Checks of the conformance kit\n"]
    parts.append("`ssl-host plugin check NAME` and `ssl_host.testing.conformance` make them.\n")
    shared = set.intersection(*(set(checks_of(kind)) for kind in KINDS))
    for kind in ("every kind", *KINDS):
        checks = checks_of("method" if kind == "every kind" else kind)
        chosen = {n: c for n, c in checks.items() if (n in shared) == (kind == "every kind")}
        parts += [f"## {kind}\n", "| check | promise |", "|---|---|"]
        parts += [f"| `{n}` | {inspect.getdoc(c)} |" for n, c in chosen.items()]
        parts.append("")
    return "\n".join(parts)


def _python() -> str:
    parts = ["# From Python\n"]
    for title, module in (("ssl_host", ssl_host), ("ssl_host.testing", testing)):
        parts += [f"## {title}\n"]
        for name in module.__all__:
            found = getattr(module, name)
            callable_ = inspect.isclass(found) or inspect.isfunction(found)
            text = inspect.getdoc(found) if callable_ else f"`{_plain(found)}`"
            if inspect.isclass(found) and found.__dict__.get("__doc__") is None:
                text = ""
            shown = "" if not callable_ else _signature(found)
            parts += [f"### {name}\n", shown, _prose(text or "") + "\n"]
            if inspect.isclass(found):
                parts += _members(found)
    return "\n".join(parts)


def _members(cls: type) -> Iterable[str]:
    """What a class's author sets, reads and overrides: documented attributes, public methods."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
    rows = []
    for node, after in zip(body, [*body[1:], None], strict=True):
        documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if documented and isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            kind = re.sub(r"^ClassVar\[(.*)\]$", r"\1", ast.unparse(node.annotation))
            text = _prose(inspect.cleandoc(str(after.value.value))).replace("\n", " ")
            value = f" = {ast.unparse(node.value)}" if node.value is not None else ""
            rows.append(f"| `{node.target.id}: {_cell(kind)}{_cell(value)}` | {_cell(text)} |")
    if rows:
        yield "\n".join(["| attribute | what it is |", "|---|---|", *rows]) + "\n"
    for node in body:
        text = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
        if text and isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            given = re.sub(r"^self(, )?", "", ast.unparse(node.args))
            result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            yield f"#### {cls.__name__}.{node.name}\n"
            yield f"```text\n{node.name}({given}){result}\n```\n"
            yield _prose(text) + "\n"


def _plain(found: Any) -> str:
    return repr(found) if isinstance(found, int | str) else f"a {type(found).__name__}"


def _signature(found: Any) -> str:
    try:
        text = str(inspect.signature(found))
    except (TypeError, ValueError):
        return ""
    text = re.sub(r" at 0x[0-9a-f]+", "", text.replace("'", ""))
    return f"```text\n{found.__name__}{text}\n```\n"


def _prose(text: str) -> str:
    """A docstring as Markdown: roles and double backticks as code, sections as bold words."""
    text = re.sub(r":\w+:`~?\.?([^`]+)`", r"`\1`", text).replace("``", "`")
    text = re.sub(r"^(Args|Returns|Raises|Attributes):$", r"**\1**\n", text, flags=re.MULTILINE)
    text = re.sub(r"::\n\n", ":\n\n", text)
    return re.sub(r"^    (\w[\w, ]*): ", r"- `\1`: ", text, flags=re.MULTILINE)


def _code(text: object) -> str:
    return f"`{text}`" if str(text) else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        file = HERE / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
