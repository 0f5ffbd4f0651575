"""Batches taken ahead are the same batches, and nothing is left behind."""

import threading

import pytest
import torch

from ssl_host.data.batches import RawBatch
from ssl_host.data.prefetch import prefetch


def batches(count, fails_at=None):
    for i in range(count):
        if i == fails_at:
            raise OSError("the disk is gone")
        yield RawBatch(torch.full((1, 1, 2, 2), i), torch.tensor([i]), None, 0)


def threads():
    return [t for t in threading.enumerate() if t.name == "ssl-host batches"]


def test_they_come_in_order_and_the_thread_ends():
    assert [int(b.index) for b in prefetch(batches(7))] == list(range(7))
    assert not threads()


def test_a_fault_is_raised_where_the_batch_was_awaited():
    """Seen to fail with faults kept in the thread: the epoch ended early, as if it were done."""
    taken = []
    with pytest.raises(OSError, match="the disk is gone"):
        for batch in prefetch(batches(5, fails_at=3)):
            taken.append(int(batch.index))
    assert taken == [0, 1, 2]
    assert not threads()


def test_whoever_stops_early_leaves_no_thread():
    """Seen to fail without the event: the thread waited for room for ever."""
    source = prefetch(batches(1000))
    next(source)
    source.close()
    assert not threads()


def test_the_next_batch_is_made_while_this_one_is_computed():
    made = threading.Event()

    def source():
        yield from batches(1)
        made.set()
        yield from batches(1)

    taken = prefetch(source())
    next(taken)
    assert made.wait(timeout=30)  # without being asked for
    assert len(list(taken)) == 1
