"""Power rails that the kernel's hwmon shows, as on Jetson boards: power is sampled and summed up to energy.

https://docs.kernel.org/hwmon/sysfs-interface.html, https://docs.kernel.org/hwmon/ina3221.html
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evernas.hardware.energy import SensorError
from evernas.hardware.sensors.files import text_of, whole_number

HWMON = Path("/sys/class/hwmon")
SAMPLED_EVERY_S = 0.005


@dataclass(frozen=True)
class Rail:
    """One rail: a file with its power in microwatts, or two with millivolts and milliamperes."""

    label: str
    power_uw: Path | None = None
    parts: tuple[Path, Path] | None = None

    def watts(self) -> float:
        """Its power now."""
        if self.power_uw is not None:
            return whole_number(self.power_uw, "number of microwatts") / 1e6
        assert self.parts is not None, "a rail has one or the other"
        millivolts, milliamperes = self.parts
        return whole_number(millivolts, "number of millivolts") * whole_number(milliamperes, "number of mA") / 1e6


@dataclass(frozen=True)
class Sampled:
    """Energy in joules since sampling began, and how often the power was another than before."""

    joules: float
    changes: int


@dataclass
class Rails:
    """The chosen rails of a chip, sampled by a thread from the first reading on, for as long as this process lives.

    A rail's samples are joined by straight lines. `clock` gives seconds.
    """

    chip: str
    rails: Sequence[Rail]
    clock: Callable[[], float] = time.monotonic
    _last: tuple[float, float] | None = None
    _sum: Sampled = Sampled(0.0, 0)
    _problem: SensorError | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def find(cls, chosen: str, root: Path = HWMON) -> Rails:
        """Of `CHIP/LABEL` or `CHIP/LABEL,LABEL`. SensorError with what there is for a chip or label that is missing.

        Which rails is not guessed: boards show one that feeds all others, and their sum would count twice. Each is
        read once; sampling, which costs time and power itself, begins with the first reading.
        """
        chip, _, wanted = chosen.partition("/")
        folders = [folder for folder in sorted(root.glob("hwmon*")) if text_of(folder / "name") == chip]
        if not folders:
            names = sorted({text_of(folder / "name") for folder in root.glob("hwmon*")})
            raise SensorError(f"There is no chip {chip!r} under {root}: there are {', '.join(names) or 'none'}.")
        known = {rail.label: rail for folder in folders for rail in _rails_of(folder)}
        labels = [label for label in wanted.split(",") if label]
        if not labels or not set(labels) <= set(known):
            raise SensorError(
                f"The chip {chip!r} has the rails {', '.join(sorted(known)) or 'none'}, not {wanted!r}: name those to "
                f"sum up, as hwmon:{chip}/{next(iter(sorted(known)), 'LABEL')}."
            )
        found = cls(chip, [known[label] for label in labels])
        found._watts()
        return found

    @property
    def name(self) -> str:
        """What stands in a measurement."""
        return f"hwmon {self.chip}, {', '.join(rail.label for rail in self.rails)}"

    @property
    def slow(self) -> bool:
        """Energy is summed up all the time."""
        return False

    def read(self) -> Sampled:
        """Energy up to now. SensorError if a sample could not be taken meanwhile."""
        began = self._last is None
        self.sample()
        if began:
            threading.Thread(target=self._go_on, name="power", daemon=True).start()
        if self._problem is not None:
            raise self._problem
        return self._sum

    def joules(self, before: Sampled, after: Sampled) -> float:
        """Energy between two readings. SensorError if the power was the same all the time: no real rail is."""
        if after.changes == before.changes:
            raise SensorError(f"The power of {self.name} did not change: its reading is stale.")
        return after.joules - before.joules

    def sample(self) -> None:
        """Take the power now, and add what was used since the sample before, if there is one."""
        with self._turn:
            try:
                watts = self._watts()
            except SensorError as problem:
                self._problem = problem
                return
            now = self.clock()
            then, before = self._last or (now, watts)
            self._sum = Sampled(
                self._sum.joules + (now - then) * (watts + before) / 2, self._sum.changes + (watts != before)
            )
            self._last = (now, watts)

    def _watts(self) -> float:
        return sum(rail.watts() for rail in self.rails)

    def _go_on(self) -> None:
        while self._problem is None:
            time.sleep(SAMPLED_EVERY_S)
            self.sample()


def _rails_of(folder: Path) -> list[Rail]:
    """The rails of one chip: those with a power of their own, else those with a voltage and a current."""
    powers = [(path, re.fullmatch(r"power(\d+)_input", path.name)) for path in sorted(folder.glob("power*_input"))]
    found = [Rail(_label(folder, f"power{match[1]}"), power_uw=path) for path, match in powers if match]
    if found:
        return found
    for current in sorted(folder.glob("curr*_input")):
        number = current.name.removeprefix("curr").removesuffix("_input")
        voltage = folder / f"in{number}_input"
        if voltage.exists():
            found.append(Rail(_label(folder, f"in{number}"), parts=(voltage, current)))
    return found


def _label(folder: Path, channel: str) -> str:
    path = folder / f"{channel}_label"
    return text_of(path) if path.exists() else channel
