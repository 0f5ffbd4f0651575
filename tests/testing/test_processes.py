"""Processes of the kit end cleanly: torch's threads are gone before the interpreter is."""

import sys
from multiprocessing.util import Finalize
from pathlib import Path

import pytest

from ssl_host.testing import run_distributed


def note_threads(folder):
    """Write down the names of the threads when the process ends."""
    import torch.distributed as dist

    note = Path(folder) / f"{dist.get_rank()}.txt"

    def write():
        tasks = Path("/proc/self/task").glob("*/comm")
        note.write_text("".join(task.read_text() for task in tasks), encoding="utf-8")

    Finalize(None, write, exitpriority=-100)


@pytest.mark.skipif(sys.platform != "linux", reason="names of threads are read from /proc")
def test_no_gloo_thread_outlives_the_group(tmp_path):
    run_distributed(note_threads, tmp_path)
    for rank in range(2):
        assert "gloo" not in (tmp_path / f"{rank}.txt").read_text(encoding="utf-8")
