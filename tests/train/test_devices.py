"""Runs on two devices and two nodes with the real command, in gloo processes on the CPU."""

import csv
import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.conftest import as_ini, tiny
from tests.processes import close, has_rows, module, wait_until


def sections(name, **trainer):
    """A run in float64 with batch norm in backbone and heads, a queue and the probe."""
    return tiny(
        run={"name": name},
        method={"name": "nnclr", "queue_size": 40},
        trainer={"accelerator": "cpu", "precision": "64-true", **trainer},
        **{"head.predictor": {"hidden_dim": 16}},
    )


def outcome(folder):
    """Return weights, rows of metrics and results."""
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    results = json.loads((folder / "results.json").read_text())
    return load_file(folder / "backbone.safetensors"), rows, results


def assert_same(one, two):
    assert [row["step"] for row in two[1]] == [row["step"] for row in one[1]]
    for a, b in zip(one[1], two[1], strict=True):
        assert float(b["loss"]) == pytest.approx(float(a["loss"]), rel=1e-7)
        assert b["online_top1"] == a["online_top1"]
    for name, value in one[0].items():
        assert close(two[0][name].double(), value.double()), name
    # Every image is counted once, so the metrics are of the same number of images.
    assert two[2]["metrics"]["online.top1"] == one[2]["metrics"]["online.top1"]
    assert two[2]["images"] == one[2]["images"]


def run_on_two_nodes(folder, *options):
    """Yield exit status and standard error of ``run c.ini`` on each node, with its options."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = (
        f"torch.distributed.run --nnodes 2 --nproc-per-node 1 --master-addr 127.0.0.1 "
        f"--master-port {port} --node-rank {{}} -m ssl_host run c.ini {{}}"
    )
    nodes = [
        module(*launcher.format(rank, option).split(), cwd=folder)
        for rank, option in enumerate(options)
    ]
    for node in nodes:
        _, stderr = node.communicate(timeout=200)
        yield node.returncode, stderr


@pytest.mark.slow
def test_run_on_two_devices_or_nodes_equals_run_on_one(ssl_host_process, tmp_path):
    for devices in (1, 2):
        text = as_ini(sections(f"on-{devices}", devices=devices))
        (tmp_path / "c.ini").write_text(text, encoding="utf-8")
        done = ssl_host_process("run", "c.ini")
        assert done.returncode == 0, done.stderr
    (tmp_path / "c.ini").write_text(as_ini(sections("nodes", num_nodes=2)), encoding="utf-8")
    for status, stderr in run_on_two_nodes(tmp_path, "", ""):
        assert status == 0, stderr
    one, two, nodes = (outcome(tmp_path / "runs" / name) for name in ("on-1", "on-2", "nodes"))
    assert_same(one, two)
    assert_same(one, nodes)


def children(pid):
    """Return the ids of the ssl-host processes that a process has started."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child) for child in pids if b"ssl_host" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("victim", ["first", "second"])
def test_killed_process_ends_the_others_with_an_error(victim, tmp_path):
    config = sections("killed", devices=2)
    config["run"]["epochs"] = 4000
    # Checkpoints by time need the processes to agree as well.
    config["checkpoint"] = {"every_epochs": 4000, "every_minutes": 1e-9}
    (tmp_path / "c.ini").write_text(as_ini(config), encoding="utf-8")
    first = module("ssl_host", "run", "c.ini", cwd=tmp_path)
    rows = tmp_path / "runs" / "killed" / "metrics.csv"
    wait_until(lambda: has_rows(rows, 4), process=first)
    (second,) = children(first.pid)
    os.kill(first.pid if victim == "first" else second, signal.SIGKILL)
    wait_until(lambda: not alive(second) and first.poll() is not None, 60)
    stderr = " ".join(first.communicate(timeout=60)[1].split())
    survivor = 1 if victim == "first" else 0
    assert f"error: process {survivor} of 2 lost contact with another process in step " in stderr
    assert "The last checkpoint is step-" in stderr
    assert "Traceback" not in stderr
    if victim == "second":
        assert first.returncode == 1


@pytest.mark.slow
def test_resume_uses_stored_auto_values_in_every_process(ssl_host_process, tmp_path):
    text = as_ini(sections("stored", devices=2, precision="auto"))
    (tmp_path / "c.ini").write_text(text, encoding="utf-8")
    assert ssl_host_process("run", "c.ini").returncode == 0
    folder = tmp_path / "runs" / "stored"
    (folder / "results.json").unlink()
    max(folder.glob("checkpoints/*.ckpt")).unlink()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["trainer"]["precision"] = "64-true"
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    done = ssl_host_process("run", "c.ini")
    assert done.returncode == 0, done.stderr
    assert "cpu 64-true" in done.stderr


@pytest.mark.slow
def test_processes_with_different_precision_are_refused(tmp_path):
    (tmp_path / "c.ini").write_text(as_ini(sections("differ", num_nodes=2)), encoding="utf-8")
    options = [f"-o trainer.precision={precision}" for precision in ("64-true", "32-true")]
    for status, stderr in run_on_two_nodes(tmp_path, *options):
        assert status != 0
        assert "[trainer] precision is 64-true in process 0 and 32-true in process 1" in stderr
