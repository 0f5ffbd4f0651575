"""Signals that ask a run to stop, and the messages of Lightning that are silenced."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ssl_host.errors import Preempted

STOPPED_OUTSIDE_TRAINING = (
    "stopped by a signal outside training: trained weights are saved; give the same command again "
    "to resume"
)


STOP_SIGNALS = ("SIGTERM", "SIGUSR1")
"""Signals that clusters send before they end a job; SLURM can send the second one."""


class _StopRequested(BaseException):
    """Raised by the handler; not an Exception, so that plugins and readers do not catch it."""


@contextmanager
def _handled(names: Sequence[str], handler: Callable[..., object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {}
    for name in names:
        number = getattr(signal, name, None)
        if number is not None:
            previous[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old_handler in previous.items():
            signal.signal(number, old_handler)


@contextmanager
def graceful_shutdown() -> Iterator[threading.Event]:
    """Turn SIGTERM, SLURM's SIGUSR1 and Ctrl-C into a flag that is read between steps.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the state is saved; at the second one, at once.
        Preempted: after the other signals; also at the end, if nothing read the flag any more.
    """
    requested, interrupted = threading.Event(), threading.Event()

    def interrupt(*_: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        requested.set()

    try:
        with (
            _handled(STOP_SIGNALS, lambda *_: requested.set()),
            _handled(("SIGINT",), interrupt),
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
    """End the run at once when a stop signal arrives before or after training.

    No work is lost: the last checkpoint holds the training, files are written atomically, and
    rows after the checkpoint are dropped when the run resumes.

    Args:
        message: of the exception.

    Raises:
        Preempted: at a signal.
    """

    def stop(*_: object) -> None:
        raise _StopRequested

    try:
        with _handled(STOP_SIGNALS, stop):
            yield
    except _StopRequested:
        raise Preempted(message) from None


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's banners and its warnings about intended behaviour."""
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
