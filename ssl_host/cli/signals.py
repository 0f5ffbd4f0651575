"""What asks a command to end before it has begun its work, and once it has ended it."""

from __future__ import annotations

import atexit
import os
import signal
from types import FrameType

from ssl_host.errors import Preempted
from ssl_host.train.signals import STOP_SIGNALS

TOLD = b"asked to stop: give the same command again to go on\n"


class ExitOnSignal:
    """Handlers of SIGTERM and SIGUSR1 for the seconds in which Python imports and tidies up.

    Nothing is done yet in the first of them and nothing left to do in the last, so that the process
    ends where it stands. While there is something to lose, the run has handlers of its own.

    Attributes:
        status: of the exit; that which means "start me again" until the command has its own.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.numbers = [getattr(signal, name) for name in STOP_SIGNALS if hasattr(signal, name)]
        for number in self.numbers:
            signal.signal(number, self._end)
        # Registered before all others it is called after them, when Python drops its handlers.
        atexit.register(self._ignore)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self.status is None:
            os.write(2, TOLD)
        os._exit(Preempted.exit_status if self.status is None else self.status)

    def _ignore(self) -> None:
        for number in self.numbers:
            signal.signal(number, signal.SIG_IGN)
