"""Report page: self-contained, escaped, without errors in a real browser."""

import re
import shutil

import pytest
from PIL import Image
from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.pipeline.run import run_config
from ssl_host.report.render import breakable
from tests.conftest import tiny
from tests.report.browser import open_page

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with HTML in the names of its classes and files."""
    base = tmp_path_factory.mktemp("evil")
    for k, name in enumerate((f"a{EVIL.replace('/', '')}", "b&<b>")):
        (base / "images" / name).mkdir(parents=True)
        for i in range(20):
            colour = (120 * k + i, 40, 90)
            Image.new("RGB", (18, 18), colour).save(base / "images" / name / f"{i}.png")
    (base / "images" / "b&<b>" / f"torn{EVIL.replace('/', '')}.jpg").write_bytes(b"x")
    config = tiny(run={"dir": base, "name": "evil <b>run</b>".replace("/", "")})
    config["data"] = {"name": "imagefolder", "root": base / "images", "image_size": 16}
    config["loader"] = {"cache_dir": base / "cache"}
    config["evaluator.knn"] = {"name": "knn"}
    catalog = Catalog()
    return run_config(resolve_sections(config, catalog), catalog, Console(quiet=True)).folder


def test_html_in_names_is_escaped(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert EVIL not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "evil <b>run" not in page


def test_page_loads_nothing_from_other_files(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", page)
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page


def test_page_has_all_sections(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    for heading in (
        "Figures and baselines",
        "Training",
        "Augmented views",
        "Nearest neighbours",
        "Map of the features",
        "Configuration",
        "Environment",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("<svg class=") >= 3
    assert "8 of 40" not in page  # the held-out note counts readable images
    assert "were held out, by class" in page


def test_breakable_names_break_between_words_but_not_in_numbers():
    assert breakable("few_label.10.top1") == "few_<wbr>label.10.<wbr>top1"
    assert breakable("[0.003, 1e-06]") == "[0.003, 1e-06]"
    assert breakable("a/<b>__c") == "a/&lt;b&gt;__<wbr>c"


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_page_in_a_browser_has_no_console_errors(folder, tmp_path):
    done = open_page(folder / "report.html", tmp_path)
    assert "CONSOLE" not in done.stderr, done.stderr
    assert "<h1>evil" in done.stdout
