"""Tables of the packages and plugins, with their lines of code, in the architecture page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
TABLES = re.compile(r"(<!-- packages -->\n\n).*?(\n<!-- /packages -->)", re.DOTALL)
LAYERS = re.compile(r'type = "layers"\nlayers = \[\n(.*?)\n\]', re.DOTALL)
NOT_CORE = ("builtin", "testing", "scaffold")
"""Packages that a run does not need: built-in components, the kit, the templates."""


def layers() -> list[list[str]]:
    """Return the packages of each layer, the highest first, as import-linter checks them."""
    text = LAYERS.search((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    if text is None:
        raise ValueError("pyproject.toml has no import-linter contract of layers")
    return [re.findall(r"ssl_host\.(\w+)", line) for line in text[1].splitlines()]


def tables() -> str:
    """Return the table of the packages by layer and the table of the plugins, as Markdown."""
    host = ROOT / "ssl_host"
    lines = ["| layer | package | purpose | lines |", "|---:|---|---|---:|"]
    for number, names in enumerate(reversed(layers()), start=1):
        lines += [_row(host, name, str(number)) for name in names]
    lines.append(_row(host, "builtin", "plugin"))
    total = _count([host])
    core = total - _count(host / name for name in NOT_CORE)
    lines += [
        f"| | core | everything except {', '.join(f'`{name}`' for name in NOT_CORE)} | {core:,} |",
        f"| | `ssl_host` | everything above | {total:,} |",
        "",
        "| distribution | purpose | lines |",
        "|---|---|---:|",
    ]
    for folder in sorted((ROOT / "plugins").glob("ssl-plugin-*")):
        module = folder / folder.name.replace("-", "_")
        lines.append(f"| `{folder.name}` | {_purpose(module)} | {_count([module]):,} |")
    return "\n".join(lines) + "\n"


def updated_page() -> str:
    """Return the architecture page with today's tables."""
    text = PAGE.read_text(encoding="utf-8")
    return TABLES.sub(lambda match: f"{match[1]}{tables()}{match[2]}", text)


def _row(host: Path, name: str, layer: str) -> str:
    path = host / name if (host / name).is_dir() else host / f"{name}.py"
    return f"| {layer} | `{name}` | {_purpose(path)} | {_count([path]):,} |"


def _purpose(path: Path) -> str:
    """Return the first line of a module's docstring, without its full stop."""
    file = path / "__init__.py" if path.is_dir() else path
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.split("\n\n")[0].replace("\n", " ").replace("``", "`").rstrip(".")


def _count(paths: Iterable[Path]) -> int:
    """Return the number of lines of all Python files, with comments and docstrings."""
    files = (f for path in paths for f in ([path] if path.is_file() else path.rglob("*.py")))
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
