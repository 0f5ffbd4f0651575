"""A suite that was changed after some of its cells had run."""

import json

import pytest

from ssl_host.benchmark.run import run_suite, table_of
from ssl_host.benchmark.runs import refuse_changed
from ssl_host.benchmark.suite import Suite, read_suite
from ssl_host.config.auto_settings import resolve_auto
from ssl_host.errors import RunFolderError
from ssl_host.run_folder.folder import RunFolder
from ssl_host.toolkit.console import make_console

SUITE = """[suite]
methods = simclr
seeds = 0, 1
dir = out

[run]
epochs = 1

[data]
name = synthetic

[evaluator.knn]
"""


@pytest.fixture
def suite(tmp_path, catalog):
    """Reads the suite, with options."""
    (tmp_path / "s.ini").write_text(SUITE, encoding="utf-8")
    return lambda *options: read_suite(tmp_path / "s.ini", options, catalog)


def finish(suite: Suite, seed: int, knn: float) -> None:
    """Leaves what a finished cell would leave, without the training."""
    cell = next(cell for cell in suite.cells if cell.seed == seed)
    words = dict.fromkeys(("name", "method", "backbone", "data"), "")
    figures = {"seed": seed, "epochs": 1, "metrics": {"knn.top1": knn}, "wall_time_s": 1.0}
    with RunFolder(suite.folder / cell.name) as folder:
        folder.claim(resolve_auto(cell.config))
        folder.write_json("results.json", {**words, **figures})


def first_line(suite: Suite) -> str:
    """The first row of the table that is made of what there is."""
    table_of(suite)
    return (suite.folder / "table.md").read_text(encoding="utf-8").splitlines()[2]


def test_the_table_has_only_what_ran_with_the_configuration_of_now(suite):
    """Seen to fail with the mean of both."""
    finish(suite(), 0, 0.2)
    changed = suite("run.batch_size=512")
    finish(changed, 1, 0.6)
    told = "simclr (without seed 0: of another configuration)"
    assert first_line(changed).startswith(f"| {told} | 1 | 60.0 |")
    assert first_line(suite()).startswith(f"| {told.replace('0:', '1:')} | 1 | 20.0 |")
    cells = json.loads((changed.folder / "benchmark.json").read_text(encoding="utf-8"))["cells"]
    assert [(cell["results"] is None, cell["fault"]) for cell in cells] == [
        (False, ""),
        (True, "of another configuration: [run] batch_size: was 512, is 256"),
    ]
    assert first_line(suite("suite.seeds=0, 1, 2")).startswith(
        "| simclr (without seed 2; without seed 1: of another configuration) |"
    )


def test_what_a_machine_chose_and_where_the_folder_lies_is_no_change(suite, tmp_path):
    """Seen to fail with every ``auto`` taken for a change."""
    here = suite("trainer.precision=64-true", "loader.num_workers=3")
    finish(here, 0, 0.2)
    finish(suite(), 1, 0.6)
    (tmp_path / "out").rename(tmp_path / "moved")
    there = suite(f"suite.dir={tmp_path / 'moved'}", "suite.jobs=2", "loader.num_workers=4")
    assert first_line(there).startswith("| simclr | 1 | 40.0 ± 28.3 |")


def test_a_cell_whose_configuration_is_damaged_is_left_out_and_told(suite):
    """Seen to fail with its figures in the table."""
    finish(suite(), 0, 0.2)
    finish(suite(), 1, 0.6)
    (suite().folder / "simclr-seed0" / "config.json").write_text("{", encoding="utf-8")
    assert first_line(suite()).startswith("| simclr (without seed 0) | 1 | 60.0 |")
    cells = json.loads((suite().folder / "benchmark.json").read_text(encoding="utf-8"))["cells"]
    assert "simclr-seed0/config.json:1: " in cells[0]["fault"]


def test_a_changed_suite_names_cells_and_keys_and_what_helps(suite):
    """Seen to fail with cells that were started, and remedies for a single run."""
    finish(suite(), 1, 0.2)
    changed = suite("suite.seeds=0, 1, 2", "run.epochs=2", "evaluator.knn.k=5")
    with pytest.raises(RunFolderError) as caught:
        run_suite(changed, make_console(quiet=True))
    head, listed, remedy = str(caught.value).splitlines()
    assert head.startswith(f"{changed.folder} holds runs ")
    assert listed.strip() == (
        "simclr-seed1: of another configuration: [run] epochs: was 1, is 2; "
        "[evaluator.knn] k: was (unset), is 5"
    )
    assert "-o suite.name=..." in remedy
    assert "--fresh" in remedy
    assert "run.name" not in remedy
    assert not (changed.folder / "cells").exists()
    for helps in ("suite.name=other", "suite.dir=elsewhere"):
        refuse_changed(suite("run.epochs=2", helps))


def test_a_suite_in_use_is_told_by_the_suites_own_settings(suite):
    """Seen to fail with ``-o run.name``, which a suite refuses."""
    with (
        RunFolder(suite().folder),
        pytest.raises(RunFolderError, match=r"give this suite another name with -o suite\.name"),
    ):
        table_of(suite())
