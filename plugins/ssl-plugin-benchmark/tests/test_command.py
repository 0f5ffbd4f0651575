"""The command ``ssl-host benchmark``: failures, interruption, resuming and the table."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ssl_plugin_benchmark import check_config

from ssl_host import ConfigError, RunFolder

SUITE = """
[suite]
methods = simclr, simsiam
seeds = 0, 1
jobs = 2

[run]
epochs = 1
batch_size = 16

[data.enough]
name = synthetic
num_images = 32
num_test = 16
image_size = 16

[data.too_few]
name = synthetic
num_images = 8
num_test = 16
image_size = 16

[backbone]
width = 4
num_stages = 2

[evaluator.knn]
"""


def test_failed_run_does_not_affect_others_and_is_tried_again(ssl_host, tmp_path):
    (tmp_path / "s.ini").write_text(SUITE, encoding="utf-8")
    command = ("benchmark", "s.ini", "-o", "suite.methods=simclr", "-o", "suite.seeds=0")
    broken = ("-o", "data.csv.file=[/x].csv", "-o", "data.csv.image_size=16")
    done = ssl_host(*command, *broken)
    assert done.returncode == 1
    assert "2 of 3 runs failed" in done.stderr
    # Printed when the run fails, and not again at the end.
    assert done.stderr.count("/[/x].csv: no such file") == 1, done.stderr
    assert "[run] batch_size = 16 is more than the 8" in done.stderr
    assert "runs/s/logs/simclr-too_few-seed0.log\n" in done.stderr
    assert "Traceback" not in done.stderr
    folder = tmp_path / "runs" / "s"
    assert (folder / "simclr-enough-seed0" / "results.json").exists()
    assert (folder / "simclr-enough-seed0" / "backbone.safetensors").exists()
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert table in done.stdout
    assert "| simclr (without seed 0) | too_few | – |" in table

    before = (folder / "simclr-enough-seed0" / "results.json").stat().st_mtime_ns
    (tmp_path / "s.ini").write_text(SUITE.replace("num_images = 8", "num_images = 24"), "utf-8")
    done = ssl_host(*command, "--json")
    assert done.returncode == 0, done.stderr
    assert before == (folder / "simclr-enough-seed0" / "results.json").stat().st_mtime_ns
    runs = json.loads(done.stdout)["runs"]
    assert [(run["run"], run["error"]) for run in runs] == [
        ("simclr-enough-seed0", ""),
        ("simclr-too_few-seed0", ""),
    ]


def test_failed_run_with_json_prints_one_document(ssl_host, tmp_path):
    (tmp_path / "s.ini").write_text(
        "[suite]\nmethods = simclr\n[data]\nname = csv\nfile = x.csv\nimage_size = 8\n", "utf-8"
    )
    done = ssl_host("benchmark", "s.ini", "--json")
    assert done.returncode == 1
    (run,) = json.loads(done.stdout)["runs"]
    assert "x.csv: no such file" in run["error"]
    assert "1 of 1 runs failed" in done.stderr


def has_rows(table: Path, count: int) -> bool:
    """Return True if a ``metrics.csv`` has more than the given number of lines."""
    return table.exists() and table.read_text(encoding="utf-8").count("\n") > count


def test_sigterm_stops_the_runs_after_a_checkpoint(tmp_path):
    text = SUITE.replace("epochs = 1", "epochs = 4000")
    (tmp_path / "s.ini").write_text(text, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "ssl_host", "benchmark", "s.ini"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    folder = tmp_path / "runs" / "s"
    tables = [folder / f"simclr-enough-seed{seed}" / "metrics.csv" for seed in (0, 1)]
    deadline = time.monotonic() + 120
    while not all(has_rows(table, 5) for table in tables):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 75, stderr
    assert "the runs in progress have also stopped; run the same command again to resume" in stderr
    for table in tables:
        assert list((table.parent / "checkpoints").glob("step-*.ckpt"))
        with RunFolder(table.parent):  # raises if a process still uses it
            pass
    log = (folder / "logs" / "simclr-enough-seed0.log").read_text(encoding="utf-8")
    assert "same command" in log
    assert not (folder / "logs" / "simclr-too_few-seed0.log").exists()


def test_changed_suite_is_refused_before_anything_runs(ssl_host, tmp_path):
    (tmp_path / "s.ini").write_text(SUITE, encoding="utf-8")
    command = ("benchmark", "s.ini", "-o", "suite.seeds=0", "-o", "suite.methods=simclr")
    command = (*command, "-o", "data.too_few.num_images=24")
    alone = ssl_host(*command, "-o", "suite.jobs=1", env={"OMP_NUM_THREADS": "2"})
    assert alone.returncode == 0, alone.stderr
    folder = tmp_path / "runs" / "s"
    files = ("table.md", "table.csv", "table.html", "benchmark.json")
    before = [(folder / name).read_bytes() for name in files]
    assert ssl_host(*command).returncode == 0  # another number of jobs is not a change
    assert (folder / "table.md").read_bytes() == before[0]
    done = ssl_host(*command, "-o", "backbone.width=8")
    assert done.returncode == 2
    assert "simclr-enough-seed0, simclr-too_few-seed0: " in done.stderr
    assert "[backbone] width: was 4, is 8" in done.stderr
    assert "FAILED" not in done.stderr
    assert before == [(folder / name).read_bytes() for name in files]
    fresh = ssl_host(*command, "-o", "backbone.width=8", "--fresh")
    assert fresh.returncode == 0, fresh.stderr
    assert (folder / "simclr-enough-seed0.old-1" / "results.json").exists()


def test_dry_run_builds_one_network_per_combination_and_needs_no_data(invoke, tmp_path):
    text = "[suite]\nmethods = byol, mocov2\npreset = cifar10\nseeds = 0, 1\n"
    (tmp_path / "s.ini").write_text(text, encoding="utf-8")
    output = invoke("s.ini", "--dry-run")
    assert [line.split(":")[0] for line in output.splitlines()] == ["byol-seed0", "mocov2-seed0"]
    assert all(line.endswith(" parameters") for line in output.splitlines())
    assert not (tmp_path / "runs").exists()


def test_table_option_uses_finished_runs_only(invoke, tmp_path):
    (tmp_path / "s.ini").write_text(SUITE, encoding="utf-8")
    assert "without seed 0, 1" in invoke("s.ini", "--table")


def test_check_config_reports_a_valid_suite_and_skips_other_files(catalog, tmp_path):
    file = tmp_path / "s.ini"
    file.write_text(SUITE, encoding="utf-8")
    (line,) = check_config(file, SUITE, (), catalog)
    assert line == f"{file}: valid, 8 runs of suite 's'"
    text = SUITE.replace("[suite]", "[sweet]")
    assert check_config(file, text, (), catalog) is None
    with pytest.raises(ConfigError, match=r"s\.ini:8: \[run\] epochs"):
        file.write_text(SUITE.replace("epochs = 1", "epochs = x"), encoding="utf-8")
        check_config(file, SUITE, (), catalog)
