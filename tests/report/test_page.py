"""Report page: self-contained, escaped, without errors in a real browser."""

import json
import re
import shutil
from dataclasses import asdict

import pytest
from PIL import Image
from rich.console import Console

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_file, resolve_sections
from ssl_host.contracts.evaluation import Figure
from ssl_host.pipeline.run import run_config
from ssl_host.report.page import write_page
from ssl_host.report.ranking import rank_run
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
        "Metrics and baselines",
        "Training",
        "Augmented views",
        "Nearest neighbours",
        "2-D projection of the features",
        "Configuration",
        "Environment",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("<svg class=") >= 3
    assert "8 of 40" not in page  # the held-out note counts readable images
    assert "were held out, by class" in page


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_page_in_a_browser_has_no_console_errors(folder, tmp_path):
    done = open_page(folder / "report.html", tmp_path)
    assert "CONSOLE" not in done.stderr, done.stderr
    assert "<h1>evil" in done.stdout


def test_page_of_results_with_any_figures_shows_units_baselines_and_verdict(folder, tmp_path):
    results = json.loads((folder / "results.json").read_text("utf-8"))
    results["metrics"] = {
        "detect.error": 0.25,
        "pixels.detect.error": 0.5,
        "detect.distance": 3.0,
        "pixels.detect.distance": 2.0,
    }
    results["figures"] = {
        "detect.error": asdict(Figure("rate", False, unit="%", baseline=True, headline=True)),
        "detect.distance": asdict(Figure("mean", False, unit="px", baseline=True, headline=True)),
    }
    config = resolve_file(folder / "config.ini", (), Catalog())
    written = write_page(tmp_path, results, config, rank_run(tmp_path, results))
    page = re.sub(r"<wbr>", "", written.read_text("utf-8"))
    assert "25.00<small> %</small>" in page
    assert "-25.0 points from the best baseline" in page
    assert "+1 from the best baseline" in page
    assert re.search(r'detect\.distance, px</code></td>\s*<td class="number strong">3</td>', page)
    assert "No sign of learning in detect.distance" in page
