"""Prepare the next batches in a background thread while the current step runs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")

DEPTH = 2
"""Largest number of batches in the queue. One would be enough; the second evens out disk delays."""


def prefetch(batches: Iterator[T]) -> Iterator[T]:
    """Yield the batches of an iterator in order; a background thread prepares them in advance.

    A checkpoint stores how many batches have been used for training, so batches that were still in
    the queue are made again after a resume.

    Raises:
        Exception: the iterator's own exception, raised after all earlier batches, if a batch
            cannot be made.
    """
    ready: queue.Queue[Any] = queue.Queue(DEPTH)
    stopped = threading.Event()

    def work() -> None:
        end: BaseException | None = None
        try:
            for batch in batches:
                if not _put(batch, ready, stopped):
                    return
        except BaseException as error:
            end = error
        _put(end, ready, stopped)

    thread = threading.Thread(target=work, name="ssl-host batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()


def _put(item: object, ready: queue.Queue[Any], stopped: threading.Event) -> bool:
    """Put an item into the queue once there is space; return False if the consumer has stopped."""
    while not stopped.is_set():
        try:
            ready.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
