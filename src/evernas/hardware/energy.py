"""Energy of an inference: windows of calls between two readings of a sensor, idle power just before taken off.

Sensors count whole processor packages or boards, so what else runs there is in them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evernas.hardware.spread import Spread

LOOKS_S, PATIENCE_S = 0.1, 60.0
MOST_WAITS = 8
"""How often a network waits for a slow sensor's change: around the idle and around the work, each perhaps twice."""


class SensorError(Exception):
    """There is no figure to trust; the text says why."""


class RestartedError(SensorError):
    """A counter began anew between two readings; the next two may be good."""


class Sensor(Protocol):
    """Something that tells how much energy was used so far."""

    @property
    def name(self) -> str:
        """What stands in a measurement."""
        ...

    @property
    def slow(self) -> bool:
        """Whether its readings change now and then only, so that windows must begin and end where they do."""
        ...

    def read(self) -> Any:
        """Its reading now; SensorError if there is none."""
        ...

    def joules(self, before: Any, after: Any) -> float:
        """Energy between two readings; SensorError if they cannot be trusted."""
        ...


@dataclass(frozen=True)
class Energy:
    """Energy of one inference above idle in mJ, over several windows, and the idle power in W before each of them."""

    per_inference_mj: Spread
    idle_w: Spread
    sensor: str

    @classmethod
    def of(cls, windows: Sequence[Mapping[str, float]], sensor: str) -> Energy:
        """From each window's `mj` and `idle_w`. SensorError if a window shows no energy above idle."""
        if any(not window["mj"] > 0 for window in windows):
            raise SensorError(
                "The energy of the network cannot be told from the idle machine's: free the machine from other work, "
                "or raise benchmark.energy_seconds."
            )
        return cls(
            Spread.of([window["mj"] for window in windows]), Spread.of([window["idle_w"] for window in windows]), sensor
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Energy:
        """The inverse of dataclasses.asdict."""
        return cls(Spread.from_json(value["per_inference_mj"]), Spread.from_json(value["idle_w"]), str(value["sensor"]))


@dataclass(frozen=True)
class Meter:
    """Takes windows with a sensor. `clock` gives seconds; `rest` idles for so many."""

    sensor: Sensor
    seconds: float
    clock: Callable[[], float] = time.monotonic
    rest: Callable[[float], None] = time.sleep

    def idle_w(self) -> float:
        """Power of the machine while this process does nothing."""
        joules, lasted, _ = self._twice(lambda: self.rest(LOOKS_S if self.sensor.slow else self.seconds))
        return joules / lasted

    def window(self, call: Callable[[], object], idle_w: float) -> dict[str, float]:
        """Energy of one call above idle, in mJ, over one window of calls."""
        joules, lasted, calls = self._twice(call)
        return {"mj": 1000 * (joules - idle_w * lasted) / calls, "idle_w": idle_w}

    def _twice(self, work: Callable[[], object]) -> tuple[float, float, int]:
        """A window, taken once more if a counter began anew in it."""
        try:
            return self._once(work)
        except RestartedError:
            return self._once(work)

    def _once(self, work: Callable[[], object]) -> tuple[float, float, int]:
        """Joules and seconds of a window in which `work` is done again and again, and how often it was."""
        slow = self.sensor.slow
        before = self._changed(work)[0] if slow else self.sensor.read()
        start, calls = self.clock(), 0
        while calls == 0 or self.clock() - start < self.seconds:
            work()
            calls += 1
        after, more = self._changed(work) if slow else (self.sensor.read(), 0)
        return self.sensor.joules(before, after), self.clock() - start, calls + more

    def _changed(self, work: Callable[[], object]) -> tuple[Any, int]:
        """The first reading that is another than now's, and how often `work` was done until then."""
        now = self.sensor.read()
        looked = began = self.clock()
        calls = 0
        while self.clock() - began < PATIENCE_S:
            work()
            calls += 1
            if self.clock() - looked < LOOKS_S:
                continue
            found, looked = self.sensor.read(), self.clock()
            if found != now:
                return found, calls
        raise SensorError(f"The readings of {self.sensor.name} did not change in {PATIENCE_S:.0f} s: they are stale.")
