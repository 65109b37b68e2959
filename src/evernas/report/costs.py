"""What networks cost, and how each cost is named and written wherever it is an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evernas.report.quantities import kilobytes, megabytes, millijoules, milliseconds
from evernas.result import DeviceResult, Point


@dataclass(frozen=True)
class Cost:
    """A cost: its name in a record and in a sentence, the unit of an axis, and how a figure of it is written."""

    key: str
    name: str
    unit: str
    write: Callable[[object], str]

    @property
    def axis(self) -> str:
        """The title of an axis."""
        return f"{self.name.capitalize()} in {self.unit}"


LATENCY = Cost("latency_ms", "latency", "ms", milliseconds)
SIZE = Cost("size_kb", "size", "kB", kilobytes)
MEMORY = Cost("peak_memory_mb", "peak memory", "MB", megabytes)
ENERGY = Cost("energy_mj", "energy", "mJ", millijoules)


def searched_for(device: DeviceResult) -> list[Cost]:
    """Latency and size, which are known of every architecture, and what else the search was told."""
    return [LATENCY, SIZE, *also_known([*device.points, *device.front])]


def also_known(points: Sequence[Point]) -> list[Cost]:
    """Memory and energy, where all of these points have them."""
    return [cost for cost in (MEMORY, ENERGY) if points and all(getattr(p, cost.key) is not None for p in points)]
