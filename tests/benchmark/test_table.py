"""The table, against means and spreads worked out by hand; its page in a real browser."""

import csv
import io
import shutil
import subprocess
from pathlib import Path

import pytest

from ssl_host.benchmark.runs import Finished
from ssl_host.benchmark.suite import Cell, Suite
from ssl_host.benchmark.table import as_csv, as_html, as_json, make_table, markdown


def finished(method, seed, knn, pixels=0.5, fault=""):
    cell = Cell(f"{method}-seed{seed}", {"method": method}, seed, None)
    metrics = {
        "knn.top1": knn,
        "random_init.knn.top1": 0.4 + 0.1 * seed,
        "pixels.knn.top1": pixels,
        "rankme": 30.0 + seed,
        "throughput.images_per_s": 1234.5,
    }
    return Finished(cell, None if fault else {"metrics": metrics, "wall_time_s": 60.0}, fault)


@pytest.fixture
def done():
    return [
        finished("a<b>", 0, 0.60),
        finished("a<b>", 1, 0.70),
        finished("b|c", 0, 0.90),
        finished("b|c", 1, 0.45),
        finished("lost", 0, 0.0, fault="no memory"),
        finished("lost", 1, 0.8),
    ]


@pytest.fixture
def suite(tmp_path, done):
    for name in ("a<b>-seed0", "lost-seed1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "backbone.safetensors").touch()
    cells = tuple(d.cell for d in done)
    return Suite("s", tmp_path, cells, 1, {"b|c": {"knn.top1": 0.913, "source": "arXiv:1"}})


def test_rows_are_means_and_sample_deviations(suite, done):
    text = markdown(make_table(suite, done))
    lines = text.splitlines()
    assert lines[0] == "| method | kNN | RankMe | images/s | seconds |"
    assert lines[2] == "| a&lt;b> | 65.0 ± 7.1 | 30.5 ± 0.7 | 1234 ± 0 | 60.0 ± 0.0 |"
    # 45 is below the pixels' 50, so the mean of 67.5 shows no learning.
    assert lines[3].startswith("| b\\|c | 67.5 ± 31.8 ↓ |")
    assert lines[4].startswith("| lost (without seed 0) | 80.0 |")
    # One baseline a seed, however many methods were measured beside it.
    assert lines[5].startswith("| random network | 45.0 ± 7.1 | – |")
    assert lines[6].startswith("| raw pixels | 50.0 ± 0.0 | – |")
    assert lines[7].startswith("| b\\|c (published) (arXiv:1) | 91.3 | – |")
    assert "- a<b>: [backbone 0](a%3Cb%3E-seed0/backbone.safetensors)" in lines


def test_csv_has_the_same_rows_with_columns_for_spreads(suite, done):
    rows = list(csv.DictReader(io.StringIO(as_csv(make_table(suite, done)))))
    assert [row["method"] for row in rows[:3]] == ["a<b>", "b|c", "lost"]
    assert (rows[0]["knn.top1"], rows[0]["knn.top1_std"]) == ("65", "7.07107")
    assert rows[2]["knn.top1_std"] == ""
    assert rows[0]["throughput.images_per_s_std"] == "0"  # no single seed: seen to fail as ""
    assert rows[0]["weights"] == "a<b>-seed0/backbone.safetensors"
    assert {row["kind"] for row in rows} == {"run", "baseline", "published"}


def test_json_holds_every_raw_figure_and_every_fault(suite, done):
    cells = as_json(suite, done)["cells"]
    assert cells[0]["results"]["metrics"]["knn.top1"] == 0.60
    assert (cells[4]["cell"], cells[4]["fault"]) == ("lost-seed0", "no memory")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_real_browser_sorts_the_page(suite, done, tmp_path):
    page = as_html(make_table(suite, done))
    assert "a<b>" not in page
    click = """<script>
      document.querySelectorAll("th")[1].click();
      const rows = [...document.querySelector("tbody").rows];
      document.title = rows.map((row) => row.cells[0].firstChild.textContent);
    </script></body>"""
    file = Path(tmp_path) / "table.html"
    file.write_text(page.replace("</body>", click), encoding="utf-8")
    shown = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in shown.stderr, shown.stderr
    title = shown.stdout.partition("<title>")[2].partition("</title>")[0]
    assert title.split(",") == [
        "lost",
        "b|c",
        "a&lt;b&gt;",
    ]
