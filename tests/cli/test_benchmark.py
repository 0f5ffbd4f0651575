"""``ssl-host benchmark`` as a process: cells, failures contained, going on, the table."""

import json
import signal

from ssl_host.run_folder.folder import RunFolder
from tests.processes import has_rows, module, wait_until

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


def test_a_cell_that_fails_takes_no_other_down(ssl_host, tmp_path):
    """Seen to fail with a fault whose words rich took for its markup, and told twice in full."""
    (tmp_path / "s.ini").write_text(SUITE, encoding="utf-8")
    broken = ("-o", "data.csv.file=[/x].csv", "-o", "data.csv.image_size=16")
    done = ssl_host("benchmark", "s.ini", "-o", "suite.seeds=0", *broken)
    assert done.returncode == 1
    assert "4 of 6 cells failed" in done.stderr
    assert done.stderr.count("/[/x].csv: no such file") == 2  # as they failed, not at the end too
    assert "FAILED: [data] " in done.stderr
    assert "  simclr-too_few-seed0: runs/s/cells/simclr-too_few-seed0.log\n" in (
        done.stderr.replace(f"{tmp_path}/", "")
    )
    assert "Traceback" not in done.stderr
    folder = tmp_path / "runs" / "s"
    assert (folder / "simclr-enough-seed0" / "results.json").exists()
    assert (folder / "simsiam-enough-seed0" / "backbone.safetensors").exists()
    table = (folder / "table.md").read_text(encoding="utf-8")
    assert table in done.stdout
    assert "| simclr (without seed 0) | too_few | – |" in table

    before = (folder / "simclr-enough-seed0" / "results.json").stat().st_mtime_ns
    (tmp_path / "s.ini").write_text(SUITE.replace("num_images = 8", "num_images = 24"), "utf-8")
    done = ssl_host("benchmark", "s.ini", "-o", "suite.seeds=0", "--json")
    assert done.returncode == 0, done.stderr
    assert before == (folder / "simclr-enough-seed0" / "results.json").stat().st_mtime_ns
    cells = json.loads(done.stdout)["cells"]
    assert {(cell["cell"], cell["fault"]) for cell in cells} == {
        (f"{m}-{d}-seed0", "") for m in ("simclr", "simsiam") for d in ("enough", "too_few")
    }


def test_a_failed_cell_leaves_one_json_document(ssl_host, tmp_path):
    """Seen to fail with the reason as a second document behind the summary."""
    (tmp_path / "s.ini").write_text(
        "[suite]\nmethods = simclr\n[data]\nname = csv\nfile = x.csv\nimage_size = 8\n", "utf-8"
    )
    done = ssl_host("benchmark", "s.ini", "--json")
    assert done.returncode == 1
    (cell,) = json.loads(done.stdout)["cells"]
    assert "x.csv: no such file" in cell["fault"]
    assert "error: 1 of 1 cells failed" in done.stderr


def test_the_cells_end_with_the_command_and_go_on_with_it(tmp_path):
    """Seen to fail: the cells went on without it, and the same command met them."""
    text = SUITE.replace("epochs = 1", "epochs = 4000")
    (tmp_path / "s.ini").write_text(text, encoding="utf-8")
    process = module("ssl_host", "benchmark", "s.ini", cwd=tmp_path)
    folder = tmp_path / "runs" / "s"
    tables = [folder / f"simclr-enough-seed{seed}" / "metrics.csv" for seed in (0, 1)]
    wait_until(lambda: all(has_rows(table, 5) for table in tables), 90, process)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 75, told
    assert "the cells that ran have ended too; give the same command again" in told
    for table in tables:
        assert list((table.parent / "checkpoints").glob("step-*.ckpt"))
        with RunFolder(table.parent):  # nobody is in it
            pass
    log = (folder / "cells" / "simclr-enough-seed0.log").read_text(encoding="utf-8")
    assert "is saved; give the same command again to resume" in log
    assert not (folder / "cells" / "simclr-too_few-seed0.log").exists()


def test_a_changed_suite_is_refused_before_anything_runs(ssl_host, tmp_path):
    """Seen to fail with every cell FAILED and a table of nothing in the place of the full one."""
    (tmp_path / "s.ini").write_text(SUITE, encoding="utf-8")
    words = ("benchmark", "s.ini", "-o", "suite.seeds=0", "-o", "suite.methods=simclr")
    words = (*words, "-o", "data.too_few.num_images=24")
    alone = ssl_host(*words, "-o", "suite.jobs=1", env={"OMP_NUM_THREADS": "2"})
    assert alone.returncode == 0, alone.stderr
    folder = tmp_path / "runs" / "s"
    files = ("table.md", "table.csv", "table.html", "benchmark.json")
    before = [(folder / name).read_bytes() for name in files]
    assert ssl_host(*words).returncode == 0  # by its jobs it is the same
    assert (folder / "table.md").read_bytes() == before[0]
    done = ssl_host(*words, "-o", "backbone.width=8")
    assert done.returncode == 2
    assert "simclr-enough-seed0, simclr-too_few-seed0: " in done.stderr
    assert "[backbone] width: was 4, is 8" in done.stderr
    assert "FAILED" not in done.stderr
    assert before == [(folder / name).read_bytes() for name in files]
    anew = ssl_host(*words, "-o", "backbone.width=8", "--fresh")
    assert anew.returncode == 0, anew.stderr
    assert (folder / "simclr-enough-seed0.old-1" / "results.json").exists()


def test_a_dry_run_builds_every_network_and_needs_no_data(ssl_host, tmp_path):
    text = "[suite]\nmethods = byol, mocov2\npreset = cifar10\nseeds = 0, 1\n"
    (tmp_path / "s.ini").write_text(text, encoding="utf-8")
    done = ssl_host("benchmark", "s.ini", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "byol-seed0",
        "mocov2-seed0",
    ]
    assert not (tmp_path / "runs").exists()


def test_the_table_alone_is_made_of_what_there_is(ssl_host, tmp_path):
    (tmp_path / "s.ini").write_text(SUITE, encoding="utf-8")
    done = ssl_host("benchmark", "s.ini", "--table")
    assert done.returncode == 0, done.stderr
    assert "without seed 0, 1" in done.stdout
