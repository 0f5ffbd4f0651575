"""Batches made ready while the step before them is computed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")

DEPTH = 2
"""Batches that wait at most: one more than is needed evens out what the disk does."""


def prefetch(batches: Iterator[T]) -> Iterator[T]:
    """The same batches in the same order, taken by a thread of their own.

    What training has consumed is the only position that counts: batches that were ready when the
    process ended are made again.

    Raises:
        Exception: whatever making a batch raised, in its turn.
    """
    ready: queue.Queue[Any] = queue.Queue(DEPTH)
    ended = threading.Event()

    def work() -> None:
        last: BaseException | None = None
        try:
            for batch in batches:
                if not _handed_over(batch, ready, ended):
                    return
        except BaseException as error:
            last = error
        _handed_over(last, ready, ended)

    thread = threading.Thread(target=work, name="ssl-host batches", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        ended.set()
        thread.join()


def _handed_over(item: object, to: queue.Queue[Any], ended: threading.Event) -> bool:
    """Whether there was room before nobody waited any more."""
    while not ended.is_set():
        try:
            to.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
