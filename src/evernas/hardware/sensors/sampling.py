"""Power that a thread samples and sums up to energy, for sensors that count none."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from evernas.hardware.energy import SensorError


@dataclass(frozen=True)
class Sampled:
    """Energy in joules since sampling began, how often the power was another than before, and for how long it was."""

    joules: float = 0.0
    changes: int = 0
    seconds: float = 0.0


@dataclass(kw_only=True)
class Sampling(ABC):
    """Power, sampled by a thread from the first reading on, for as long as this process lives.

    Samples are joined by straight lines. `clock` gives seconds.
    """

    clock: Callable[[], float] = time.monotonic
    every_s: float = 0.005
    _last: tuple[float, float] | None = None
    _sum: Sampled = Sampled()
    _problem: SensorError | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    @abstractmethod
    def name(self) -> str:
        """What stands in a measurement."""

    @abstractmethod
    def watts(self) -> float:
        """The power now; SensorError if it cannot be read."""

    @property
    def slow(self) -> bool:
        """Energy is summed up all the time."""
        return False

    def read(self) -> Sampled:
        """Energy up to now. SensorError if a sample could not be taken meanwhile."""
        began = self._last is None
        self.sample()
        found = self._sum
        if began:
            threading.Thread(target=self._go_on, name="power", daemon=True).start()
        if self._problem is not None:
            raise self._problem
        return found

    def joules(self, before: Sampled, after: Sampled) -> float:
        """Energy between two readings. SensorError if the power was the same all the time: no real one is."""
        if after.changes == before.changes:
            raise SensorError(f"The power of {self.name} did not change: its reading is stale.")
        return after.joules - before.joules

    def sample(self) -> None:
        """Take the power now, and add what was used since the sample before, if there is one."""
        with self._turn:
            try:
                watts = self.watts()
            except SensorError as problem:
                self._problem = problem
                return
            now = self.clock()
            then, before = self._last or (now, watts)
            self._sum = Sampled(
                self._sum.joules + (now - then) * (watts + before) / 2,
                self._sum.changes + (watts != before),
                self._sum.seconds + now - then,
            )
            self._last = (now, watts)

    def _go_on(self) -> None:
        while self._problem is None:
            time.sleep(self.every_s)
            self.sample()
