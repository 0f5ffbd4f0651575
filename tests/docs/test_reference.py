"""The reference is what the generator makes of today's code; the site builds without a warning."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("generator", ROOT / "docs/generate_reference.py")
generator = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(generator)


@pytest.fixture(scope="module")
def pages():
    return generator.pages()


def test_every_page_is_current(pages):
    """Seen to fail with a description changed; `make docs` writes them anew."""
    made = {str(p.relative_to(generator.HERE)) for p in generator.HERE.rglob("*.md")}
    assert made == set(pages)
    for name, text in pages.items():
        assert (generator.HERE / name).read_text(encoding="utf-8") == text, f"{name}: make docs"


def test_every_component_setting_and_metric_is_there(pages, catalog):
    for entry in catalog.entries():
        if entry.kind == "preset" or not entry.origin.distribution.startswith("ssl-"):
            continue
        page = pages[f"components/{entry.kind}.md"]
        assert f"\n## {entry.name}\n" in page
        cls = catalog.load(entry.kind, entry.name)
        assert all(f"`{name}`" in page for name in cls.Config.model_fields)
        if entry.kind == "evaluator":
            assert cls.metrics, f"{entry.name} declares no metrics"


def test_the_site_builds_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING -" not in done.stderr
    assert (tmp_path / "reference" / "hooks" / "index.html").exists()
