"""What surrounds training: the signals that ask for its end, and what Lightning says aloud."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ssl_host.errors import Preempted

OUTSIDE = (
    "asked to stop outside training: what was trained is written; give the same command again to "
    "go on"
)


ASKING = ("SIGTERM", "SIGUSR1")
"""What clusters send: the second is SLURM's, before the time is over."""


class _AskedToStop(BaseException):
    """What the handler raises: not caught where the errors of a file or plugin are."""


@contextmanager
def _handled(names: Sequence[str], handler: Callable[..., object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for name in names:
        number = getattr(signal, name, None)
        if number is not None:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def graceful_shutdown() -> Iterator[threading.Event]:
    """Turn SIGTERM, SLURM's SIGUSR1 and Ctrl-C into a flag that is read between steps.

    Raises:
        KeyboardInterrupt: after Ctrl-C, once the state is written; at the second one at once.
        Preempted: after the others; at the end, too, when nobody has read the flag any more.
    """
    requested, interrupted = threading.Event(), threading.Event()

    def interrupt(*_: object) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        requested.set()

    try:
        with (
            _handled(ASKING, lambda *_: requested.set()),
            _handled(("SIGINT",), interrupt),
        ):
            yield requested
        if requested.is_set():
            raise Preempted(OUTSIDE)
    except (Preempted, SystemExit):  # Lightning turns the second Ctrl-C into the end of the process
        if interrupted.is_set():
            raise KeyboardInterrupt from None
        raise


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
        with _handled(ASKING, stop):
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
