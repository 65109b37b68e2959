"""Who is to blame when a measuring process ends: it says which network it has at hand, and for how long it may."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

AGAIN = 0.1
"""After which share of the patience an alarm is set anew."""


class Watch:
    """Ends the process when one stage on one network lasts too long, even inside the runtime's own code."""

    def __init__(self, current: Path, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = os.open(current, os.O_WRONLY | os.O_CREAT, 0o600)
        self._patience_s = patience_s
        self._clock = clock
        self._parent = os.getppid()

    def on(self, digest: str) -> None:
        """A stage on this network begins. The alarm's default action ends the process; no handler could run in time."""
        if os.getppid() != self._parent:
            raise SystemExit("the process that asked for this measurement is gone")
        os.pwrite(self._file, digest.encode(), 0)
        signal.setitimer(signal.ITIMER_REAL, self._patience_s)

    def over(self, digest: str, call: Callable[[], object]) -> Callable[[], None]:
        """`call`, to be made again and again for as long as something else takes: patience is for each one alone.

        The alarm is set anew now and then only, since a system call at each would be measured along.
        """
        self.on(digest)
        began = self._clock()

        def watched() -> None:
            nonlocal began
            if self._clock() - began > self._patience_s * AGAIN:
                self.on(digest)
                began = self._clock()
            call()

        return watched

    def by_another(self) -> None:
        """The network stays at hand, but in a process that has an alarm of its own."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def inherited(self) -> None:
        """From now on this is another process, begun by the one that had the watch."""
        self._parent = os.getppid()

    def off(self) -> None:
        """No network is at hand."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.ftruncate(self._file, 0)
