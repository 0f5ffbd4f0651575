"""What surrounds training: the signals that ask for its end, and what Lightning says aloud."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ssl_host.errors import Preempted

OUTSIDE = (
    "asked to stop outside training: what was trained is written; give the same command again to "
    "go on"
)


class _AskedToStop(BaseException):
    """What the handler raises: not caught where the errors of a file or plugin are."""


@contextmanager
def _handled(handler: Callable[..., object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for name in ("SIGTERM", "SIGUSR1"):
        number = getattr(signal, name, None)
        if number is not None:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Turn SIGTERM and SLURM's SIGUSR1 into a flag that is read between steps.

    Raises:
        Preempted: at the end, when nobody has read it any more.
    """
    requested = threading.Event()
    with _handled(lambda *_: requested.set()):
        yield requested
    if requested.is_set():
        raise Preempted(OUTSIDE)


@contextmanager
def preemptible(told: str = OUTSIDE) -> Iterator[None]:
    """Before and after training, the same signals end the run where it stands.

    Nothing is lost by it: what was trained is in the last checkpoint, files are written beside and
    renamed, and rows beyond the checkpoint are dropped when the run goes on.

    Args:
        told: the message.

    Raises:
        Preempted: at a signal.
    """

    def stop(*_: object) -> None:
        raise _AskedToStop

    try:
        with _handled(stop):
            yield
    except _AskedToStop:
        raise Preempted(told) from None


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning's banners and advice on what is meant as it is."""
    names = ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.distributed")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
