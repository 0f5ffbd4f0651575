"""The table of a suite: means and deviations calculated by hand, and its page in a browser."""

import csv
import io
import shutil
import subprocess

import pytest
from ssl_plugin_benchmark.output import describe_outcome, to_csv, to_html, to_json, to_markdown
from ssl_plugin_benchmark.published import PublishedResults
from ssl_plugin_benchmark.runs import RunOutcome
from ssl_plugin_benchmark.suite import Suite, SuiteRun
from ssl_plugin_benchmark.table import make_table

from ssl_host import Figure, FigureRow

ACCURACY = {"description": "", "higher_is_better": True, "unit": "%", "baseline": True}
FIGURES = {
    "knn.top1": {**ACCURACY, "headline": True},
    "knn.error": {**ACCURACY, "higher_is_better": False},
    "rankme": {"description": "", "baseline": False},
    "throughput.images_per_s": {"description": "", "baseline": False},
}
BASELINES = {"random_init": {"label": "random network"}, "pixels": {"label": "raw pixels"}}
TITLES = {
    "epochs": "epochs",
    "knn.top1": "kNN",
    "rankme": "RankMe",
    "throughput.images_per_s": "images/s",
    "wall_time_s": "seconds",
    "linear.top1": "linear",
}


def outcome(method, seed, knn, pixels=0.5, error=""):
    run = SuiteRun(f"{method}-seed{seed}", {"method": method}, seed, None)
    metrics = {
        "knn.top1": knn,
        "knn.error": 1 - knn,
        "random_init.knn.top1": 0.4 + 0.1 * seed,
        "pixels.knn.top1": pixels,
        "pixels.knn.error": 1 - pixels,
        "rankme": 30.0 + seed,
        "throughput.images_per_s": 1234.5,
    }
    results = {"metrics": metrics, "figures": FIGURES, "epochs": 24, "wall_time_s": 60.0}
    results["baselines"] = BASELINES
    return RunOutcome(run, None if error else results, error)


@pytest.fixture
def outcomes():
    return [
        outcome("a<b>", 0, 0.60),
        outcome("a<b>", 1, 0.70),
        outcome("b|c", 0, 0.90),
        outcome("b|c", 1, 0.45),
        outcome("lost", 0, 0.0, error="no memory"),
        outcome("lost", 1, 0.8),
    ]


@pytest.fixture
def suite(tmp_path, outcomes):
    for name in ("a<b>-seed0", "lost-seed1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "backbone.safetensors").touch()
    runs = tuple(outcome.run for outcome in outcomes)
    published = PublishedResults((FigureRow("knn.top1", 0.913, Figure("", unit="%")),), "arXiv:1")
    return Suite("s", tmp_path, runs, 1, TITLES, {"b|c": published})


def test_notes_of_runs_are_in_every_format(suite, outcomes):
    finished = [outcome for outcome in outcomes if outcome.results is not None]
    for each in finished:
        each.results["notes"] = ["held | out"]
    finished[1].results["notes"] = ["held | out", "few gray levels"]
    table = make_table(suite, outcomes)
    markdown, page = to_markdown(table), to_html(table)
    assert "- held \\| out\n" in markdown
    assert "- a&lt;b>-seed1: few gray levels\n" in markdown
    assert "<li>a&lt;b&gt;-seed1: few gray levels</li>" in page
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert rows[0]["note"] == "held | out; few gray levels"
    assert rows[2]["note"] == "without seed 0; held | out"


def test_rows_are_means_and_sample_deviations(suite, outcomes):
    lines = to_markdown(make_table(suite, outcomes)).splitlines()
    assert lines[0] == "| method | epochs | kNN | RankMe | images/s | seconds |"
    assert lines[2] == "| a&lt;b> | 24 | 65.0 ± 7.1 | 30.5 ± 0.7 | 1234 ± 0 | 60.0 ± 0.0 |"
    # 45 is below the 50 of the pixels, so the mean of 67.5 does not show learning.
    assert lines[3].startswith("| b\\|c | 24 | 67.5 ± 31.8 ↓ |")
    assert lines[4].startswith("| lost (without seed 0) | 24 | 80.0 |")
    # Each seed counts once, however many methods measured the baseline.
    assert lines[5].startswith("| random network | – | 45.0 ± 7.1 | – |")
    assert lines[6].startswith("| raw pixels | – | 50.0 ± 0.0 | – |")
    assert lines[7].startswith("| b\\|c (published) (arXiv:1) | – | 91.3 | – |")
    assert "- a<b>: [backbone 0](a%3Cb%3E-seed0/backbone.safetensors)" in lines


def test_baseline_that_only_some_runs_have_is_a_row(suite, outcomes):
    results = outcomes[2].results
    results["metrics"]["timm.knn.top1"] = 0.95
    results["baselines"] = {**BASELINES, "timm": {"label": "ResNet of timm"}}
    lines = to_markdown(make_table(suite, outcomes)).splitlines()
    assert lines[7].startswith("| ResNet of timm | – | 95.0 | – |")
    assert lines[3].startswith("| b\\|c | 24 | 67.5 ± 31.8 ↓ |")


def test_row_of_a_method_that_was_trained_with_labels_says_so(suite, outcomes):
    outcomes[0].results["uses_labels"] = True
    table = make_table(suite, outcomes)
    note = "trained with labels, not self-supervised"
    assert to_markdown(table).splitlines()[2].startswith(f"| a&lt;b> ({note}) |")
    assert to_html(table).count(note) == 1


def test_columns_by_default_are_all_declared_figures(suite, outcomes):
    suite = Suite("s", suite.folder, suite.runs, 1, {}, suite.published)
    lines = to_markdown(make_table(suite, outcomes)).splitlines()
    names = ["epochs", "knn.top1", "knn.error", "rankme", "throughput.images_per_s", "wall_time_s"]
    assert lines[0] == f"| method | {' | '.join(names)} |"


def test_figure_that_should_be_low_is_marked_if_it_is_above_its_baseline(suite, outcomes):
    suite = Suite("s", suite.folder, suite.runs, 1, {"knn.error": "error"}, {})
    lines = to_markdown(make_table(suite, outcomes)).splitlines()
    assert lines[2] == "| a&lt;b> | 35.0 ± 7.1 |"
    assert lines[3] == "| b\\|c | 32.5 ± 31.8 ↓ |"


def test_csv_has_the_same_rows_and_columns_for_deviations(suite, outcomes):
    rows = list(csv.DictReader(io.StringIO(to_csv(make_table(suite, outcomes)))))
    assert [row["method"] for row in rows[:3]] == ["a<b>", "b|c", "lost"]
    assert (rows[0]["knn.top1"], rows[0]["knn.top1_std"]) == ("65", "7.07107")
    assert rows[2]["knn.top1_std"] == ""
    assert rows[0]["throughput.images_per_s_std"] == "0"  # several seeds that agree
    assert rows[0]["weights"] == "a<b>-seed0/backbone.safetensors"
    assert {row["kind"] for row in rows} == {"run", "baseline", "published"}


def test_json_has_the_results_and_errors_of_all_runs(suite, outcomes):
    runs = to_json(make_table(suite, outcomes), outcomes)["runs"]
    assert runs[0]["results"]["metrics"]["knn.top1"] == 0.60
    assert (runs[4]["run"], runs[4]["error"]) == ("lost-seed0", "no memory")


def test_outcome_is_described_by_headlines_or_error(outcomes):
    assert describe_outcome(outcomes[0]) == "knn.top1 60.00, 60 s"
    assert describe_outcome(outcomes[4]) == "FAILED: no memory"


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_page_is_sorted_by_clicking_a_heading_in_a_browser(suite, outcomes, tmp_path):
    page = to_html(make_table(suite, outcomes))
    assert "a<b>" not in page
    click = """<script>
      document.querySelectorAll("th")[2].click();
      const rows = [...document.querySelector("tbody").rows];
      document.title = rows.map((row) => row.cells[0].firstChild.textContent);
    </script></body>"""
    file = tmp_path / "table.html"
    file.write_text(page.replace("</body>", click), encoding="utf-8")
    browser = subprocess.run(
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
    assert "CONSOLE" not in browser.stderr, browser.stderr
    title = browser.stdout.partition("<title>")[2].partition("</title>")[0]
    assert title.split(",") == ["lost", "b|c", "a&lt;b&gt;"]


def test_ranks_of_means_over_seeds_are_in_every_format(suite, outcomes):
    for each in outcomes:
        if each.results is not None:
            figures = {**FIGURES, "rankme": {**FIGURES["rankme"], "needs_labels": False}}
            each.results.update(figures=figures, method=each.run.combination["method"])
    table = make_table(suite, outcomes)
    (measure,) = table.ranking.measures
    assert measure.ranks == {"a<b>": 2, "b|c": 2, "lost": 1}
    markdown, page = to_markdown(table), to_html(table)
    assert "| a&lt;b> | 2= (30.5) |" in markdown
    assert "Warning: the runs differ in the method" in markdown
    assert "<td>2= (30.5)</td>" in page
    assert to_json(table, outcomes)["ranking"]["measures"][0]["ranks"] == measure.ranks


def test_suite_without_measures_without_labels_has_no_ranks(suite, outcomes):
    assert "without labels" not in to_markdown(make_table(suite, outcomes))
    assert "without labels" not in to_html(make_table(suite, outcomes))
