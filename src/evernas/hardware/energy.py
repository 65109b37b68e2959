"""Energy from Intel's RAPL counters in the kernel's powercap tree: reading, wrapping, and idle subtracted.

https://docs.kernel.org/power/powercap/powercap.html; the counters are of whole processor packages, so what else runs
there is in them. Only idle power from just before each window is taken off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evernas.hardware.spread import Spread


class SensorError(Exception):
    """There is no figure to trust; the text says why."""


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
class Rapl:
    """The processor packages of this machine: each zone's folder, and the count in microjoules at which it wraps."""

    ranges_uj: dict[Path, int]

    @classmethod
    def find(cls, root: Path) -> Rapl:
        """All package zones under `root`, each read once. SensorError if there is none or one cannot be read.

        Zones inside a package are part of it, and the platform's zone (psys) contains the packages: both are left out.
        """
        zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        packages = [zone for zone in zones if _text(zone / "name").startswith("package")]
        if not packages:
            raise SensorError(f"There is no energy sensor: {root} holds no zone of a processor package.")
        found = cls({zone: _count(zone / "max_energy_range_uj") for zone in packages})
        found.read()
        return found

    @property
    def name(self) -> str:
        """What stands in a measurement."""
        return f"RAPL, {', '.join(zone.name for zone in self.ranges_uj)}"

    def read(self) -> dict[Path, int]:
        """Each zone's counter in microjoules."""
        return {zone: _count(zone / "energy_uj") for zone in self.ranges_uj}

    def joules(self, before: Mapping[Path, int], after: Mapping[Path, int]) -> float:
        """Energy between two readings that lie less than one wrap apart. SensorError if a counter stood still."""
        total_uj = 0
        for zone, most in self.ranges_uj.items():
            used = after[zone] - before[zone]
            if used == 0:
                raise SensorError(f"The counter {zone / 'energy_uj'} did not change: its reading is stale.")
            total_uj += used if used > 0 else used + most
        return total_uj / 1e6


@dataclass(frozen=True)
class Meter:
    """Takes windows with a sensor. `clock` gives seconds; `rest` idles for so many."""

    sensor: Rapl
    seconds: float
    clock: Callable[[], float] = time.monotonic
    rest: Callable[[float], None] = time.sleep

    def idle_w(self) -> float:
        """Power of the machine while this process does nothing."""
        before, start = self.sensor.read(), self.clock()
        self.rest(self.seconds)
        return self.sensor.joules(before, self.sensor.read()) / (self.clock() - start)

    def window(self, call: Callable[[], object], idle_w: float) -> dict[str, float]:
        """Energy of one call above idle, in mJ, over one window of calls."""
        before, start, calls = self.sensor.read(), self.clock(), 0
        while calls == 0 or self.clock() - start < self.seconds:
            call()
            calls += 1
        lasted = self.clock() - start
        joules = self.sensor.joules(before, self.sensor.read())
        return {"mj": 1000 * (joules - idle_w * lasted) / calls, "idle_w": idle_w}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise SensorError(
            f"The energy sensor {path} cannot be read ({error.strerror}): give the user that measures the right to."
        ) from None


def _count(path: Path) -> int:
    text = _text(path)
    if not text.isdigit():
        raise SensorError(f"The energy sensor {path} says {text!r}, which is no count of microjoules.")
    return int(text)
