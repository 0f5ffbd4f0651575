"""Prefetching keeps the batches and leaves no thread behind."""

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


def test_prefetch_keeps_the_order_and_ends_its_thread():
    assert [int(b.index) for b in prefetch(batches(7))] == list(range(7))
    assert not threads()


def test_prefetch_raises_error_after_the_batches_before_it():
    taken = []
    with pytest.raises(OSError, match="the disk is gone"):
        for batch in prefetch(batches(5, fails_at=3)):
            taken.append(int(batch.index))
    assert taken == [0, 1, 2]
    assert not threads()


def test_prefetch_closed_early_ends_its_thread():
    source = prefetch(batches(1000))
    next(source)
    source.close()
    assert not threads()


def test_prefetch_makes_next_batch_before_it_is_requested():
    made = threading.Event()

    def source():
        yield from batches(1)
        made.set()
        yield from batches(1)

    taken = prefetch(source())
    next(taken)
    assert made.wait(timeout=30)
    assert len(list(taken)) == 1
