"""Intel's RAPL counters in the kernel's powercap tree: whole processor packages, and counters that wrap.

https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evernas.hardware.energy import SensorError
from evernas.hardware.sensors.files import text_of, whole_number


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
        packages = [zone for zone in zones if text_of(zone / "name").startswith("package")]
        if not packages:
            raise SensorError(f"There is no energy sensor: {root} holds no zone of a processor package.")
        found = cls({zone: _count(zone / "max_energy_range_uj") for zone in packages})
        found.read()
        return found

    @property
    def name(self) -> str:
        """What stands in a measurement."""
        return f"RAPL, {', '.join(zone.name for zone in self.ranges_uj)}"

    @property
    def slow(self) -> bool:
        """The counters run on all the time."""
        return False

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


def _count(path: Path) -> int:
    return whole_number(path, "count of microjoules")
