"""SIGTERM, which a pod gets before it is taken away: a step ends at once, or as soon as its training can be kept."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from evernas.errors import EXIT_STOPPED, Interrupted


class Stopping:
    """Whether a step was asked to stop."""

    def __init__(self) -> None:
        self._asked = False
        self._deferred = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Within, SIGTERM ends what works by SystemExit; to be used in the main thread."""
        before = signal.signal(signal.SIGTERM, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    @contextmanager
    def deferred(self) -> Iterator[Callable[[], bool]]:
        """Within, it is only noted: what works asks whether it was, and then ends by Interrupted."""
        self._deferred = True
        try:
            yield lambda: self._asked
        except Interrupted:
            raise SystemExit(EXIT_STOPPED) from None
        finally:
            self._deferred = False
        if self._asked:
            raise SystemExit(EXIT_STOPPED)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if not self._deferred:
            raise SystemExit(EXIT_STOPPED)
