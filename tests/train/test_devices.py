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
from tests.processes import Command, close, has_rows, start_python, wait_until


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


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run_with_torchrun_on_two_nodes(folder):
    """Run ``c.ini`` on two nodes of one process and check that both succeed."""
    torchrun = (
        "-m torch.distributed.run --nnodes 2 --nproc-per-node 1 --master-addr 127.0.0.1 "
        f"--master-port {free_port()} --node-rank"
    ).split()
    nodes = [
        start_python(*torchrun, rank, "-m", "ssl_host", "run", "c.ini", cwd=folder) for rank in "01"
    ]
    for node in nodes:
        _, stderr = node.communicate(timeout=200)
        assert node.returncode == 0, stderr


@pytest.mark.slow
def test_run_on_two_devices_or_nodes_equals_run_on_one(ssl_host, tmp_path):
    for devices in (1, 2):
        text = as_ini(sections(f"on-{devices}", devices=devices))
        (tmp_path / f"on-{devices}.ini").write_text(text, encoding="utf-8")
    assert ssl_host("run", "on-1.ini").returncode == 0
    assert Command("run", "on-2.ini", cwd=tmp_path).finish()[0] == 0
    (tmp_path / "c.ini").write_text(as_ini(sections("nodes", num_nodes=2)), encoding="utf-8")
    run_with_torchrun_on_two_nodes(tmp_path)
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
    first = Command("run", "c.ini", cwd=tmp_path)
    rows = tmp_path / "runs" / "killed" / "metrics.csv"
    wait_until(lambda: has_rows(rows, 4), process=first)
    (second,) = children(first.pid)
    os.kill(first.pid if victim == "first" else second, signal.SIGKILL)
    wait_until(lambda: not alive(second) and first.poll() is not None, 60)
    status, stderr = first.finish(60)
    stderr = " ".join(stderr.split())
    survivor = 1 if victim == "first" else 0
    assert f"error: process {survivor} of 2 lost contact with another process in step " in stderr
    assert "The last checkpoint is step-" in stderr
    assert "Traceback" not in stderr
    if victim == "second":
        assert status == 1


@pytest.mark.slow
def test_resume_uses_stored_auto_values_in_every_process(tmp_path):
    text = as_ini(sections("stored", devices=2, precision="auto"))
    (tmp_path / "c.ini").write_text(text, encoding="utf-8")
    assert Command("run", "c.ini", cwd=tmp_path).finish()[0] == 0
    folder = tmp_path / "runs" / "stored"
    (folder / "results.json").unlink()
    max(folder.glob("checkpoints/*.ckpt")).unlink()
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["trainer"]["precision"] = "64-true"
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    status, stderr = Command("run", "c.ini", cwd=tmp_path).finish()
    assert status == 0, stderr
    assert "cpu 64-true" in stderr


@pytest.mark.slow
def test_processes_with_different_precision_are_refused(tmp_path):
    (tmp_path / "c.ini").write_text(as_ini(sections("differ", num_nodes=2)), encoding="utf-8")
    shared = {"TORCHELASTIC_RUN_ID": "none", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    nodes = [
        start_python(
            *("-m", "ssl_host", "run", "c.ini", "-o", f"trainer.precision={precision}"),
            cwd=tmp_path,
            # As torchrun starts them.
            environment={**shared, **address, "RANK": rank, "GROUP_RANK": rank},
        )
        for rank, precision in (("0", "64-true"), ("1", "32-true"))
    ]
    for node in nodes:
        _, stderr = node.communicate(timeout=200)
        assert node.returncode != 0
        assert "[trainer] precision is 64-true in process 0 and 32-true in process 1" in stderr
