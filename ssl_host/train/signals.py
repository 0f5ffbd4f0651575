"""Handle signals that ask a run to stop, and silence Lightning's messages."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ssl_host.errors import Preempted

STOPPED_OUTSIDE_TRAINING = (
    "stopped by a signal outside training: trained weights are saved; run the same command again "
    "to resume"
)


STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
"""Signals that job schedulers send before they end a job; SLURM can send SIGUSR1.

Windows does not have SIGUSR1.
"""


class _StopRequested(BaseException):
    """Raised by a signal handler; it is not an Exception, so that plugins do not catch it."""


@contextmanager
def _signal_handler(numbers: Sequence[int], handler: Callable[..., object]) -> Iterator[None]:
    """Install a handler for signals within the context; outside the main thread, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old_handler in previous.items():
            signal.signal(number, old_handler)


@contextmanager
def graceful_shutdown() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM, SIGUSR1 and Ctrl-C set; training checks it between steps.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the state is saved; after a second Ctrl-C, at once.
        Preempted: after SIGTERM or SIGUSR1, even if the training ended before it checked the event.
    """
    requested, interrupted = threading.Event(), threading.Event()

    def interrupt(*_: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        requested.set()

    try:
        with (
            _signal_handler(STOP_SIGNALS, lambda *_: requested.set()),
            _signal_handler((signal.SIGINT,), interrupt),
        ):
            yield requested
        if requested.is_set():
            raise Preempted(STOPPED_OUTSIDE_TRAINING)
    except (Preempted, SystemExit):  # Lightning turns a second Ctrl-C into SystemExit
        if interrupted.is_set():
            raise KeyboardInterrupt from None
        raise


@contextmanager
def preemptible(message: str = STOPPED_OUTSIDE_TRAINING) -> Iterator[None]:
    """Raise Preempted as soon as a stop signal arrives, for code before or after training.

    No work is lost: the last checkpoint contains the training state, files are written atomically,
    and rows of metrics after the checkpoint are dropped when the run resumes.

    Args:
        message: the message of the exception.

    Raises:
        Preempted: if SIGTERM or SIGUSR1 arrives.
    """

    def stop(*_: object) -> None:
        raise _StopRequested

    try:
        with _signal_handler(STOP_SIGNALS, stop):
            yield
    except _StopRequested:
        raise Preempted(message) from None


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's banners and warnings within the context."""
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
