"""Suites that are changed after some of their runs have finished."""

import json

import pytest
from ssl_plugin_benchmark.benchmark import run_suite, tabulate_suite
from ssl_plugin_benchmark.runs import refuse_changed_runs
from ssl_plugin_benchmark.suite import Suite, read_suite

from ssl_host import RunFolder, RunFolderError

SUITE = """[suite]
methods = simclr
seeds = 0, 1
dir = out
columns = epochs, knn.top1

[run]
epochs = 1

[data]
name = synthetic

[evaluator.knn]
"""

FIGURES = {"knn.top1": {"description": "", "higher_is_better": True, "unit": "%", "baseline": True}}


@pytest.fixture
def suite(tmp_path, catalog):
    """Return a function that reads the suite with options."""
    (tmp_path / "s.ini").write_text(SUITE, encoding="utf-8")
    return lambda *options: read_suite(tmp_path / "s.ini", options, catalog)


def finish(suite: Suite, seed: int, knn: float) -> None:
    """Write the files of a finished run without training."""
    run = next(run for run in suite.runs if run.seed == seed)
    results = {
        **dict.fromkeys(("name", "method", "backbone", "data"), ""),
        **{"seed": seed, "epochs": 1, "wall_time_s": 1.0},
        **{"metrics": {"knn.top1": knn}, "figures": FIGURES},
    }
    with RunFolder(suite.folder / run.name) as folder:
        folder.claim(run.config)
        folder.write_json("results.json", results)


def first_row(suite: Suite) -> str:
    """Return the first row of the table of the finished runs."""
    tabulate_suite(suite)
    return (suite.folder / "table.md").read_text(encoding="utf-8").splitlines()[2]


def errors(suite: Suite) -> list[str]:
    """Return the errors of all runs; empty ones for runs with results."""
    runs = json.loads((suite.folder / "benchmark.json").read_text(encoding="utf-8"))["runs"]
    assert all((run["results"] is None) == bool(run["error"]) for run in runs)
    return [run["error"] for run in runs]


def test_table_contains_only_runs_with_the_current_configuration(suite):
    finish(suite(), 0, 0.2)
    changed = suite("run.batch_size=512")
    finish(changed, 1, 0.6)
    label = "simclr (without seed 0: different configuration)"
    assert first_row(changed).startswith(f"| {label} | 1 | 60.0 |")
    assert first_row(suite()).startswith(f"| {label.replace('0:', '1:')} | 1 | 20.0 |")
    kept, left_out = errors(changed)
    assert kept == ""
    assert "[run] batch_size: was 512, is 256" in left_out
    assert first_row(suite("suite.seeds=0, 1, 2")).startswith(
        "| simclr (without seed 2; without seed 1: different configuration) |"
    )


def test_automatic_choices_and_a_moved_folder_are_not_changes(suite, tmp_path):
    here = suite("trainer.precision=64-true", "loader.num_workers=3")
    finish(here, 0, 0.2)
    finish(suite(), 1, 0.6)
    (tmp_path / "out").rename(tmp_path / "moved")
    there = suite(f"suite.dir={tmp_path / 'moved'}", "suite.jobs=2", "loader.num_workers=4")
    assert first_row(there).startswith("| simclr | 1 | 40.0 ± 28.3 |")


def test_run_with_a_damaged_configuration_is_left_out_and_reported(suite):
    finish(suite(), 0, 0.2)
    finish(suite(), 1, 0.6)
    for file in (suite().folder / "simclr-seed0").glob("config.*"):
        file.write_text("[run\n", encoding="utf-8")
    assert first_row(suite()).startswith("| simclr (without seed 0) | 1 | 60.0 |")
    assert "simclr-seed0/config." in errors(suite())[0]


def test_changed_suite_is_refused_with_runs_keys_and_remedies(suite):
    finish(suite(), 1, 0.2)
    changed = suite("suite.seeds=0, 1, 2", "run.epochs=2", "evaluator.knn.k=5")
    with pytest.raises(RunFolderError) as caught:
        run_suite(changed)
    first, listed, remedy = str(caught.value).splitlines()
    assert str(changed.folder) in first
    assert listed.strip().startswith("simclr-seed1: ")
    assert "[run] epochs: was 1, is 2" in listed
    assert "[evaluator.knn] k: was (unset), is 5" in listed
    assert "-o suite.name=..." in remedy
    assert "--fresh" in remedy
    assert "run.name" not in remedy
    assert not (changed.folder / "logs").exists()
    for helps in ("suite.name=other", "suite.dir=elsewhere"):
        refuse_changed_runs(suite("run.epochs=2", helps))


def test_suite_folder_in_use_is_refused_with_the_suites_own_settings(suite):
    with (
        RunFolder(suite().folder),
        pytest.raises(RunFolderError, match=r"-o suite\.name="),
    ):
        tabulate_suite(suite())
