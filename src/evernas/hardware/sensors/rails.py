"""Power rails that the kernel's hwmon shows, as on Jetson boards: power is sampled and summed up to energy.

https://docs.kernel.org/hwmon/sysfs-interface.html, https://docs.kernel.org/hwmon/ina3221.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evernas.hardware.energy import SensorError
from evernas.hardware.sensors.files import text_of, whole_number
from evernas.hardware.sensors.sampling import Sampling

HWMON = Path("/sys/class/hwmon")


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


@dataclass(kw_only=True)
class Rails(Sampling):
    """The chosen rails of a chip."""

    chip: str
    rails: Sequence[Rail]

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
        found = cls(chip=chip, rails=[known[label] for label in labels])
        found.watts()
        return found

    @property
    def name(self) -> str:
        """What stands in a measurement."""
        return f"hwmon {self.chip}, {', '.join(rail.label for rail in self.rails)}"

    def watts(self) -> float:
        """The power of all chosen rails now."""
        return sum(rail.watts() for rail in self.rails)


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
