"""A run that was stopped and resumed equals one that was not, bit by bit."""

import os
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from ssl_host.catalog.catalog import Catalog
from ssl_host.config.resolve import resolve_sections
from ssl_host.errors import Preempted, RunFolderError
from ssl_host.pipeline import run as pipeline
from ssl_host.run_folder.folder import RunFolder
from ssl_host.testing.interruption import StoppedError, stopped_after
from ssl_host.toolkit.console import make_console
from ssl_host.train.checkpoint import (
    list_checkpoints,
    load_latest_checkpoint,
    write_checkpoint,
)
from ssl_host.train.signals import graceful_shutdown, preemptible
from tests.conftest import as_ini, tiny
from tests.processes import Command, has_rows, start_python, wait_until

METHODS = ("simclr", "simsiam", "barlowtwins", "nnclr", "byol", "mocov2")


def sections(tmp_path, method, name):
    config = tiny(run={"name": name, "dir": tmp_path, "epochs": 3})
    config["method"] = {"name": method}
    if method in ("nnclr", "mocov2"):
        config["method"]["queue_size"] = 40
    if method in ("simsiam", "nnclr", "byol"):
        config["head.predictor"] = {"hidden_dim": 16}
    return config


def run(tmp_path, method, name, stop_after=None, **more):
    catalog = Catalog()
    config = resolve_sections({**sections(tmp_path, method, name), **more}, catalog)
    with nullcontext() if stop_after is None else stopped_after(stop_after):
        return pipeline.run_config(config, catalog, Console(quiet=True))


def weights_and_rows(folder):
    """Return everything that must be equal: weights and rows of metrics."""
    metrics = (folder / "metrics.csv").read_text(encoding="utf-8")
    return load_file(folder / "backbone.safetensors"), metrics


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stop_after", [4, 6, 7])
def test_resumed_run_ends_bit_equal(method, stop_after, tmp_path):
    """With three steps per epoch, stop within the second, at its end and early in the third."""
    uninterrupted = run(tmp_path, method, "whole")
    run(tmp_path, method, "stopped", stop_after)
    resumed = run(tmp_path, method, "stopped")
    expected, expected_rows = weights_and_rows(uninterrupted.folder)
    actual, rows = weights_and_rows(resumed.folder)
    assert all(torch.equal(expected[name], actual[name]) for name in expected)
    assert rows == expected_rows
    assert (
        resumed.results["metrics"]["online.top1"] == uninterrupted.results["metrics"]["online.top1"]
    )
    assert resumed.results["metrics"]["rankme"] == uninterrupted.results["metrics"]["rankme"]


@pytest.mark.parametrize("minutes", [10.0, 1e-9])
def test_run_resumed_several_times_ends_bit_equal(minutes, tmp_path):
    """With checkpoints at the end of each epoch, and after every step."""
    often = {"checkpoint": {"every_minutes": minutes}}
    uninterrupted = run(tmp_path, "byol", "whole", **often)
    for stop_after in (3, 1, 2, 2):
        run(tmp_path, "byol", "stopped", stop_after, **often)
    resumed = run(tmp_path, "byol", "stopped", **often)
    expected, actual = (
        weights_and_rows(uninterrupted.folder)[0],
        weights_and_rows(resumed.folder)[0],
    )
    assert all(torch.equal(expected[name], actual[name]) for name in expected)


def stop(*_, **__):
    raise StoppedError


def test_stop_during_evaluation_keeps_the_training(tmp_path, monkeypatch):
    uninterrupted = run(tmp_path, "simclr", "whole")
    monkeypatch.setattr(pipeline, "evaluate_network", stop)
    with pytest.raises(StoppedError):
        run(tmp_path, "simclr", "stopped")
    monkeypatch.undo()
    resumed = run(tmp_path, "simclr", "stopped")
    # Nothing is left to train, so the speed is that of the process that trained.
    trained = load_latest_checkpoint(tmp_path / "stopped" / "checkpoints")[0]["timer"]["trained_s"]
    assert resumed.results["metrics"]["throughput.images_per_s"] == pytest.approx(9 * 16 / trained)
    assert weights_and_rows(resumed.folder)[1] == weights_and_rows(uninterrupted.folder)[1]
    for name in ("online.top1", "rankme"):
        assert resumed.results["metrics"][name] == uninterrupted.results["metrics"][name]


def test_wall_time_counts_all_processes(tmp_path):
    run(tmp_path, "simclr", "stopped", 4)
    folder = tmp_path / "stopped" / "checkpoints"
    state, _ = load_latest_checkpoint(folder)
    assert state["timer"]["trained_s"] > state["timer"]["waited_s"] > 0
    slow = {"trained_s": 1000.0, "waited_s": 500.0}
    write_checkpoint(folder, state["step"], {**state, "timer": slow}, keep=2)
    resumed = run(tmp_path, "simclr", "stopped")
    assert 1000 < resumed.results["wall_time_s"] < 1100
    assert load_latest_checkpoint(folder)[0]["timer"]["trained_s"] > 1000
    metrics = resumed.results["metrics"]
    assert metrics["throughput.images_per_s"] == pytest.approx(9 * 16 / 1000, rel=0.1)
    assert metrics["throughput.data_wait_fraction"] == pytest.approx(0.5, abs=0.05)


def test_resume_skips_damaged_checkpoint_with_a_warning(tmp_path, capsys):
    uninterrupted = run(tmp_path, "simclr", "whole")
    run(tmp_path, "simclr", "stopped", 7)
    newest = list_checkpoints(tmp_path / "stopped" / "checkpoints")[-1]
    payload = bytearray(newest.read_bytes())
    payload[len(payload) // 2] ^= 1
    newest.write_bytes(payload)
    catalog = Catalog()
    config = resolve_sections(sections(tmp_path, "simclr", "stopped"), catalog)
    resumed = pipeline.run_config(config, catalog, make_console(force_terminal=False, width=200))
    assert f"{newest.name} is damaged: its checksum does not match" in capsys.readouterr().out
    expected, actual = (
        weights_and_rows(uninterrupted.folder)[0],
        weights_and_rows(resumed.folder)[0],
    )
    assert all(torch.equal(expected[name], actual[name]) for name in expected)


@pytest.mark.parametrize("micro_batches", [1, 8])
def test_sigterm_saves_a_checkpoint_and_exits_with_75(micro_batches, tmp_path):
    config = tiny(run={"epochs": 4000, "name": "long"}, checkpoint={"every_epochs": 4000})
    config["trainer"]["accumulate"] = micro_batches
    (tmp_path / "long.ini").write_text(as_ini(config), encoding="utf-8")
    process = Command("run", "long.ini", cwd=tmp_path)
    table = tmp_path / "runs" / "long" / "metrics.csv"
    wait_until(lambda: has_rows(table, 5), 90, process)
    process.send_signal(signal.SIGTERM)
    status, stderr = process.finish(60)
    assert status == Preempted.exit_status == 75, stderr
    assert "run the same command again to resume" in stderr
    assert len(list_checkpoints(tmp_path / "runs" / "long" / "checkpoints")) == 1


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_signal_outside_training_exits_with_75(name, tmp_path):
    config = tiny(run={"epochs": 1, "name": "long"})
    config["evaluator.linear"] = {"name": "linear", "epochs": 5000}
    (tmp_path / "long.ini").write_text(as_ini(config), encoding="utf-8")
    process = Command("run", "long.ini", cwd=tmp_path)
    wait_until((tmp_path / "runs" / "long" / "backbone.safetensors").exists, 90, process)
    time.sleep(1)
    process.send_signal(getattr(signal, name))
    status, stderr = process.finish(60)
    assert status == Preempted.exit_status, stderr
    assert "stopped by a signal outside training" in stderr


def handles_sigterm(process):
    """Return True if the process has a handler for SIGTERM."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1]
    return bool(int(mask, 16) & 1 << (signal.SIGTERM - 1))


@pytest.fixture
def long_run(tmp_path):
    """Write ``long.ini`` for a run that does not end by itself; return its table of metrics."""
    config = tiny(run={"epochs": 4000, "name": "long"}, checkpoint={"every_epochs": 4000})
    (tmp_path / "long.ini").write_text(as_ini(config), encoding="utf-8")
    return tmp_path / "runs" / "long" / "metrics.csv"


@pytest.mark.skipif(sys.platform != "linux", reason="reads handlers from /proc")
@pytest.mark.usefixtures("long_run")
def test_signal_during_imports_exits_with_75(tmp_path):
    process = start_python("-m", "ssl_host", "run", "long.ini", cwd=tmp_path)
    wait_until(lambda: handles_sigterm(process), 30)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == Preempted.exit_status
    assert "run the same command again to resume" in stderr


def test_repeated_signal_at_exit_keeps_status_75(long_run, tmp_path):
    process = start_python("-m", "ssl_host", "run", "long.ini", cwd=tmp_path)
    wait_until(lambda: has_rows(long_run, 5), 90)
    process.send_signal(signal.SIGTERM)
    while "the state after step" not in process.stderr.readline():
        pass
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    process.communicate()
    assert process.returncode == Preempted.exit_status


def test_ctrl_c_saves_a_checkpoint_and_exits_with_130(long_run, tmp_path):
    process = Command("run", "long.ini", cwd=tmp_path)
    wait_until(lambda: has_rows(long_run, 5), 90, process)
    process.send_signal(signal.SIGINT)
    status, stderr = process.finish(60)
    assert status == 130, stderr
    assert "interrupted; run the same command again" in stderr
    assert len(list_checkpoints(long_run.parent / "checkpoints")) == 1


def test_second_ctrl_c_interrupts_at_once():
    previous = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), graceful_shutdown() as requested:
        os.kill(os.getpid(), signal.SIGINT)
        assert requested.is_set()
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            raise SystemExit(1) from None  # as Lightning does
    assert signal.getsignal(signal.SIGINT) is previous


def test_signal_is_not_caught_as_an_exception():
    """Code that catches every Exception, such as a reader of files, does not catch it."""
    with pytest.raises(Preempted, match="outside training"), preemptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except Exception as error:
            raise AssertionError("the signal is caught as an Exception") from error


def test_run_folder_in_use_is_refused(tmp_path):
    with RunFolder(tmp_path / "whole"), pytest.raises(RunFolderError, match="in use by another"):
        run(tmp_path, "simclr", "whole")
    run(tmp_path, "simclr", "whole")  # the lock file remains, but not its lock
