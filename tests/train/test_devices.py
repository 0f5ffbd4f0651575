"""Two devices and two nodes by the real command: gloo processes here, GPUs for whoever has them."""

import csv
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.conftest import as_ini, tiny
from tests.processes import close, has_rows, module, wait_until


def sections(name, **trainer):
    """With batch norm in backbone and heads, a queue and the probe, at float64."""
    return tiny(
        run={"name": name},
        method={"name": "nnclr", "queue_size": 40},
        trainer={"accelerator": "cpu", "precision": "64-true", **trainer},
        **{"head.predictor": {"hidden_dim": 16}},
    )


def outcome(folder):
    """Weights, rows and results."""
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
    # Every image is counted once: the figures are of the same numbers of images.
    assert two[2]["metrics"]["online.top1"] == one[2]["metrics"]["online.top1"]
    assert two[2]["images"] == one[2]["images"]


def on_two_nodes(folder, *options):
    """Exit status and standard error of ``run c.ini`` on each node, with the node's options."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = (
        f"torch.distributed.run --nnodes 2 --nproc-per-node 1 --master-addr 127.0.0.1 "
        f"--master-port {port} --node-rank {{}} -m ssl_host run c.ini {{}}"
    )
    started = [
        module(*launcher.format(rank, option).split(), cwd=folder)
        for rank, option in enumerate(options)
    ]
    for node in started:
        _, told = node.communicate(timeout=200)
        yield node.returncode, told


@pytest.mark.slow
def test_a_run_on_two_devices_or_two_nodes_is_the_run_on_one(ssl_host_process, tmp_path):
    """Seen to fail with batch norm left to each process, and with the probe's gradients not
    averaged.
    """
    for devices in (1, 2):
        text = as_ini(sections(f"on-{devices}", devices=devices))
        (tmp_path / "c.ini").write_text(text, encoding="utf-8")
        done = ssl_host("run", "c.ini")
        assert done.returncode == 0, done.stderr
    (tmp_path / "c.ini").write_text(as_ini(sections("nodes", num_nodes=2)), encoding="utf-8")
    for status, told in on_two_nodes(tmp_path, "", ""):
        assert status == 0, told
    one, two, nodes = (outcome(tmp_path / "runs" / name) for name in ("on-1", "on-2", "nodes"))
    assert_same(one, two)
    assert_same(one, nodes)


def children(pid):
    """Processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child) for child in found if b"ssl_host" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("victim", ["first", "second"])
def test_a_process_that_dies_ends_the_others_with_a_sentence(victim, tmp_path):
    config = sections("torn", devices=2)
    config["run"]["epochs"] = 4000
    # Checkpoints by minutes are written by several processes too.
    config["checkpoint"] = {"every_epochs": 4000, "every_minutes": 1e-9}
    (tmp_path / "c.ini").write_text(as_ini(config), encoding="utf-8")
    first = module("ssl_host", "run", "c.ini", cwd=tmp_path)
    rows = tmp_path / "runs" / "torn" / "metrics.csv"
    wait_until(lambda: has_rows(rows, 4), process=first)
    (second,) = children(first.pid)
    os.kill(first.pid if victim == "first" else second, signal.SIGKILL)
    wait_until(lambda: not alive(second) and first.poll() is not None, 60)
    told = " ".join(first.communicate(timeout=60)[1].split())
    survivor = 1 if victim == "first" else 0
    assert f"error: process {survivor} of 2 lost contact with another one in step " in told
    assert "is the last checkpoint; give the same command again" in told
    assert "Traceback" not in told
    if victim == "second":
        assert first.returncode == 1


@pytest.mark.slow
def test_every_process_keeps_what_the_run_was_begun_with(ssl_host, tmp_path):
    """Seen to fail: the first process alone read the folder, and the others trained in what their
    own machine would have chosen."""
    text = as_ini(sections("kept", devices=2, precision="auto"))
    (tmp_path / "c.ini").write_text(text, encoding="utf-8")
    assert ssl_host("run", "c.ini").returncode == 0
    folder = tmp_path / "runs" / "kept"
    (folder / "results.json").unlink()
    max(folder.glob("checkpoints/*.ckpt")).unlink()
    config = (folder / "config.ini").read_text(encoding="utf-8")
    chosen = re.sub(r"(?m)^precision = .*$", "precision = 64-true", config)
    (folder / "config.ini").write_text(chosen, encoding="utf-8")
    done = ssl_host("run", "c.ini")
    assert done.returncode == 0, done.stderr
    assert "cpu 64-true" in done.stderr


@pytest.mark.slow
def test_processes_that_would_train_in_different_ways_are_refused(tmp_path):
    """Seen to fail: they trained, each in its own precision, without a word."""
    (tmp_path / "c.ini").write_text(as_ini(sections("unlike", num_nodes=2)), encoding="utf-8")
    options = [f"-o trainer.precision={precision}" for precision in ("64-true", "32-true")]
    for status, told in on_two_nodes(tmp_path, *options):
        assert status != 0
        assert "[trainer] precision is 64-true in process 0 and 32-true in process 1" in told
