"""Going on after a stop cannot be told from never having stopped."""

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
from ssl_host.errors import Preempted
from ssl_host.pipeline import run as pipeline
from ssl_host.testing.interruption import StoppedError, stopped_after
from ssl_host.toolkit.console import make_console
from ssl_host.train.checkpoint import checkpoints, read_newest, write_checkpoint
from ssl_host.train.signals import graceful_shutdown, preemptible
from tests.conftest import as_ini, tiny
from tests.processes import has_rows, module, wait_until

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


def content(folder):
    """Everything that must be equal: weights, metrics, figures."""
    metrics = (folder / "metrics.csv").read_text(encoding="utf-8")
    return load_file(folder / "backbone.safetensors"), metrics


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stop_after", [4, 6, 7])
def test_a_run_that_stopped_ends_bit_equal(method, stop_after, tmp_path):
    """Three steps an epoch: stops within the second, at its last step, and early in the third.

    Seen to fail with the queue's features left out of the checkpoint (nnclr, mocov2) and with the
    optimizer's state not restored (all).
    """
    whole = run(tmp_path, method, "whole")
    run(tmp_path, method, "torn", stop_after)
    again = run(tmp_path, method, "torn")
    expected, expected_rows = content(whole.folder)
    found, rows = content(again.folder)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert rows == expected_rows
    assert again.results["metrics"]["online.top1"] == whole.results["metrics"]["online.top1"]
    assert again.results["metrics"]["rankme"] == whole.results["metrics"]["rankme"]


@pytest.mark.parametrize("minutes", [10.0, 1e-9])
def test_a_chain_of_stops_ends_bit_equal(minutes, tmp_path):
    """With checkpoints at the ends of epochs, and after every step.

    Seen to fail with a loader that began at the epoch's start, for the second.
    """
    often = {"checkpoint": {"every_minutes": minutes}}
    whole = run(tmp_path, "byol", "whole", **often)
    for stop_after in (3, 1, 2, 2):
        run(tmp_path, "byol", "torn", stop_after, **often)
    again = run(tmp_path, "byol", "torn", **often)
    expected, found = content(whole.folder)[0], content(again.folder)[0]
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_stop_in_the_evaluation_keeps_the_training(tmp_path, monkeypatch):
    whole = run(tmp_path, "simclr", "whole")
    monkeypatch.setattr(pipeline, "measure", lambda *a, **k: (_ for _ in ()).throw(StoppedError()))
    with pytest.raises(StoppedError):
        run(tmp_path, "simclr", "torn")
    monkeypatch.undo()
    again = run(tmp_path, "simclr", "torn")
    # Nothing was left to train: the speed is that of the process that did.
    trained = read_newest(tmp_path / "torn" / "checkpoints")[0]["clock"]["trained_s"]
    assert again.results["metrics"]["throughput.images_per_s"] == pytest.approx(9 * 16 / trained)
    assert content(again.folder)[1] == content(whole.folder)[1]
    for name in ("online.top1", "rankme"):
        assert again.results["metrics"][name] == whole.results["metrics"][name]


def test_the_time_of_a_run_is_that_of_all_its_processes(tmp_path):
    """Seen to fail with the last process's time alone."""
    run(tmp_path, "simclr", "torn", 4)
    folder = tmp_path / "torn" / "checkpoints"
    state, _ = read_newest(folder)
    assert state["clock"]["trained_s"] > state["clock"]["waited_s"] > 0
    slow = {"trained_s": 1000.0, "waited_s": 500.0}
    write_checkpoint(folder, state["step"], {**state, "clock": slow}, keep=2)
    again = run(tmp_path, "simclr", "torn")
    assert 1000 < again.results["wall_time_s"] < 1100
    assert read_newest(folder)[0]["clock"]["trained_s"] > 1000
    metrics = again.results["metrics"]
    assert metrics["throughput.images_per_s"] == pytest.approx(9 * 16 / 1000, rel=0.1)
    assert metrics["throughput.data_wait_fraction"] == pytest.approx(0.5, abs=0.05)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path, capsys):
    whole = run(tmp_path, "simclr", "whole")
    run(tmp_path, "simclr", "torn", 7)
    newest = checkpoints(tmp_path / "torn" / "checkpoints")[-1]
    payload = bytearray(newest.read_bytes())
    payload[len(payload) // 2] ^= 1
    newest.write_bytes(payload)
    catalog = Catalog()
    config = resolve_sections(sections(tmp_path, "simclr", "torn"), catalog)
    again = pipeline.run_config(config, catalog, make_console(force_terminal=False, width=200))
    assert f"{newest.name} is damaged: its checksum does not agree" in capsys.readouterr().out
    expected, found = content(whole.folder)[0], content(again.folder)[0]
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("parts", [1, 8])
def test_sigterm_finishes_the_step_writes_and_asks_to_be_started_again(parts, tmp_path):
    """Seen to fail, in parts, with Lightning's own handler beside: status 0 and no checkpoint."""
    config = tiny(run={"epochs": 4000, "name": "long"}, checkpoint={"every_epochs": 4000})
    config["trainer"]["accumulate"] = parts
    (tmp_path / "long.ini").write_text(as_ini(config), encoding="utf-8")
    process = module("ssl_host", "run", "long.ini", cwd=tmp_path)
    table = tmp_path / "runs" / "long" / "metrics.csv"
    wait_until(lambda: has_rows(table, 5), 90, process)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == Preempted.exit_status == 75
    assert "give the same command again to go on" in told
    assert len(checkpoints(tmp_path / "runs" / "long" / "checkpoints")) == 1


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_outside_training_asks_to_be_started_again_too(name, tmp_path):
    """Seen to fail with the signals left to Python: the process was killed, and not requeued."""
    config = tiny(run={"epochs": 1, "name": "long"})
    config["evaluator.linear"] = {"name": "linear", "epochs": 5000}
    (tmp_path / "long.ini").write_text(as_ini(config), encoding="utf-8")
    process = module("ssl_host", "run", "long.ini", cwd=tmp_path)
    wait_until((tmp_path / "runs" / "long" / "backbone.safetensors").exists, 90, process)
    time.sleep(1)
    process.send_signal(getattr(signal, name))
    _, told = process.communicate(timeout=60)
    assert process.returncode == Preempted.exit_status, told
    assert "asked to stop outside training" in told


def caught(process):
    """Whether SIGTERM is met by a handler of the process."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1]
    return bool(int(mask, 16) & 1 << (signal.SIGTERM - 1))


def begun(tmp_path, epochs=4000):
    config = tiny(run={"epochs": epochs, "name": "long"}, checkpoint={"every_epochs": 4000})
    (tmp_path / "long.ini").write_text(as_ini(config), encoding="utf-8")
    return module("ssl_host", "run", "long.ini", cwd=tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="handlers are read from /proc")
def test_a_signal_while_everything_is_imported_asks_to_be_started_again(tmp_path):
    """Seen to fail with handlers from the run on: status 143 in the first seconds."""
    process = begun(tmp_path)
    wait_until(lambda: caught(process), 30, process)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == Preempted.exit_status
    assert "run the same command again to resume" in told


def test_a_signal_again_while_the_process_ends_changes_nothing(tmp_path):
    """Seen to fail with Python's own handlers by then: status 143 in place of 75."""
    process = begun(tmp_path)
    table = tmp_path / "runs" / "long" / "metrics.csv"
    wait_until(lambda: has_rows(table, 5), 90, process)
    process.send_signal(signal.SIGTERM)
    while "the state after step" not in process.stderr.readline():
        pass
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    process.communicate()
    assert process.returncode == Preempted.exit_status


def test_ctrl_c_writes_a_checkpoint_and_says_how_to_go_on(tmp_path):
    """Seen to fail with Lightning's way: status 1, not a word, and no checkpoint."""
    process = begun(tmp_path)
    table = tmp_path / "runs" / "long" / "metrics.csv"
    wait_until(lambda: has_rows(table, 5), 90, process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; run the same command again" in told
    assert len(checkpoints(tmp_path / "runs" / "long" / "checkpoints")) == 1


def test_a_second_ctrl_c_ends_at_once():
    """Seen to fail with Lightning's SystemExit let through."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), graceful_shutdown() as requested:
        os.kill(os.getpid(), signal.SIGINT)
        assert requested.is_set()
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            raise SystemExit(1) from None  # as Lightning does
    assert signal.getsignal(signal.SIGINT) is before


def test_a_signal_is_not_taken_for_a_fault_of_what_is_being_done():
    """As while weights are read. Seen to fail with a signal that was an error like others."""
    with pytest.raises(Preempted, match="asked to stop outside training"), preemptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except Exception as error:
            raise AssertionError("taken for a fault of the file") from error


def test_two_processes_cannot_use_one_folder(tmp_path):
    from ssl_host.errors import RunFolderError
    from ssl_host.run_folder.folder import RunFolder

    with RunFolder(tmp_path / "whole"), pytest.raises(RunFolderError, match="in use by another"):
        run(tmp_path, "simclr", "whole")
    run(tmp_path, "simclr", "whole")  # a lock file that was left behind is not in the way
