"""The reference pages match the code, and the site builds without a warning."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ssl_host
from ssl_host import testing

ROOT = Path(__file__).parents[2]
NUMBER = re.compile(r"[\d,]+(?= \|$)", re.MULTILINE)
PYTHON_PAGE = "python.md"  # mkdocstrings fills it when the site is built


def import_from_docs(name):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        return importlib.import_module(name)


@pytest.fixture(scope="module")
def generator():
    return import_from_docs("generate_reference")


@pytest.fixture(scope="module")
def pages(generator):
    return generator.pages()


def test_generated_pages_are_up_to_date(pages, generator):
    committed = {str(p.relative_to(generator.HERE)) for p in generator.HERE.rglob("*.md")}
    assert committed == {*pages, PYTHON_PAGE}
    for name, text in pages.items():
        assert (generator.HERE / name).read_text(encoding="utf-8") == text, f"{name}: make docs"


def test_component_pages_list_every_component_and_setting(pages, catalog):
    for entry in catalog.entries():
        if entry.kind == "preset" or not entry.origin.distribution.startswith("ssl-"):
            continue
        page = pages[f"components/{entry.kind}.md"]
        assert f"\n## {entry.name}\n" in page
        cls = catalog.load(entry.kind, entry.name)
        assert all(f"`{name}`" in page for name in cls.Config.model_fields)
        if entry.kind == "evaluator":
            assert cls.figures, f"{entry.name} declares no figures"


def test_python_page_lists_every_public_name_once(generator):
    text = (generator.HERE / PYTHON_PAGE).read_text(encoding="utf-8")
    listed = re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)
    public = [f"ssl_host.{name}" for name in ssl_host.__all__]
    # check_<kind> is check_component for one kind: the page names these functions in a sentence.
    checks = [name for name in testing.__all__ if re.fullmatch(r"check_(?!component)\w+", name)]
    public += [f"ssl_host.testing.{name}" for name in testing.__all__ if name not in checks]
    assert sorted(listed) == sorted(public)
    assert all(f"`{name}`" in text for name in checks)


def test_architecture_page_lists_packages_and_their_lines():
    line_counts = import_from_docs("line_counts")
    committed, current = (
        line_counts.TABLES.search(text)[0]
        for text in (line_counts.PAGE.read_text(encoding="utf-8"), line_counts.updated_page())
    )
    assert NUMBER.sub("", committed) == NUMBER.sub("", current), "make docs"
    counts = [
        [int(number.replace(",", "")) for number in NUMBER.findall(text)]
        for text in (committed, current)
    ]
    for before, now in zip(*counts, strict=True):
        assert abs(before - now) <= max(20, 0.1 * now), f"{before} lines are {now} now: make docs"


def test_site_builds_without_a_warning(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert "WARNING -" not in result.stderr
    assert (tmp_path / "reference" / "hooks" / "index.html").exists()
    page = (tmp_path / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    assert 'id="ssl_host.Method.step"' in page
