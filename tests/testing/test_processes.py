"""Tests of the processes that run_distributed starts."""

import os
import signal
import sys
import time
from multiprocessing.util import Finalize
from pathlib import Path

import pytest
import torch.distributed as dist

from ssl_host.testing import run_distributed


def write_thread_names(folder):
    """Write down the names of the threads when the process ends."""
    file = Path(folder) / f"{dist.get_rank()}.txt"

    def write():
        tasks = Path("/proc/self/task").glob("*/comm")
        file.write_text("".join(task.read_text() for task in tasks), encoding="utf-8")

    Finalize(None, write, exitpriority=-100)


@pytest.mark.skipif(sys.platform != "linux", reason="names of threads are read from /proc")
def test_run_distributed_leaves_no_gloo_thread(tmp_path):
    run_distributed(write_thread_names, tmp_path)
    for rank in range(2):
        assert "gloo" not in (tmp_path / f"{rank}.txt").read_text(encoding="utf-8")


def count_calls():
    """Return how often this process has called the function, and the state of its module."""
    count_calls.number = getattr(count_calls, "number", 0) + 1
    return count_calls.number, os.environ.get("SSL_HOST_TEST")


def test_run_distributed_keeps_no_state_between_calls(monkeypatch):
    assert run_distributed(count_calls) == [(1, None)] * 2
    monkeypatch.setenv("SSL_HOST_TEST", "new")
    assert run_distributed(count_calls) == [(1, "new")] * 2


def crash():
    if dist.get_rank() == 1:
        raise ValueError("no rows")
    dist.barrier()


def kill_itself():
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()


@pytest.mark.parametrize(("work", "message"), [(crash, "no rows"), (kill_itself, "SIGKILL")])
def test_run_distributed_after_a_crash_starts_new_processes(work, message):
    with pytest.raises(Exception, match=message):
        run_distributed(work)
    assert run_distributed(dist.get_rank) == [0, 1]


def hang():
    time.sleep(60)


def test_run_distributed_with_a_hanging_process_raises_timeout(monkeypatch):
    monkeypatch.setattr("ssl_host.testing.distributed.TIMEOUT", 2)
    with pytest.raises(TimeoutError, match="hang did not finish within 2 seconds"):
        run_distributed(hang)
    assert run_distributed(dist.get_rank) == [0, 1]
