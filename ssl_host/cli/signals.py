"""Handle signals while a command starts or exits, when there is nothing to save."""

from __future__ import annotations

import atexit
import os
import signal
from types import FrameType

from ssl_host.errors import Preempted
from ssl_host.train.signals import STOP_SIGNALS

MESSAGE = b"stopped by a signal; run the same command again to resume\n"


class ExitOnSignal:
    """Ends the process on SIGTERM or SIGUSR1 while the command starts and while Python exits.

    At the start nothing has been computed yet, and at the end everything is saved, so the process
    exits at once. In between, the run installs its own handlers, which first write a checkpoint.

    Attributes:
        status: the exit status of the command, or None before it is known.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        for number in STOP_SIGNALS:
            signal.signal(number, self._exit)
        # atexit calls functions in reverse order. This one is registered first, so it runs last,
        # right before Python removes its signal handlers.
        atexit.register(self._ignore)

    def _exit(self, number: int, frame: FrameType | None) -> None:
        if self.status is None:
            os.write(2, MESSAGE)
        os._exit(Preempted.exit_status if self.status is None else self.status)

    def _ignore(self) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
