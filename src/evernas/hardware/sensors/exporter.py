"""Energy counters that the node's own exporter gives away over HTTP, for pods that may not read RAPL themselves.

Prometheus' node-exporter (node_rapl_package_joules_total, read anew at each request) and Kepler (refreshed every few
seconds). Both count whole processor packages of the node that they run on: the address must be that node's.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from evernas.hardware.energy import RestartedError, SensorError
from evernas.hardware.sensors.asking import NoPageError, page

# Each family with what its labels must contain; the first that is there is taken. Others are parts of packages.
FAMILIES = (
    ("kepler_node_cpu_joules_total", 'zone="package"'),
    ("kepler_node_package_joules_total", ""),
    ("node_rapl_package_joules_total", ""),
)
LINE = re.compile(r"^(\w+)\{([^}]*)\}\s+(\S+)")
# Others of evernas's own hold keys, and an address goes to whoever stands behind it.
VARIABLE = re.compile(r"\$\{(EVERNAS_NODE_[A-Z0-9_]+)\}")


@dataclass(frozen=True)
class Exporter:
    """The counters behind an address, by family and labels. `address` is what is told of `url`: nothing is put in."""

    address: str
    url: str = field(repr=False)

    @classmethod
    def find(cls, address: str) -> Exporter:
        """At an address in which the node's own ${EVERNAS_NODE_...} are put in; read once.

        SensorError if there is no counter.
        """
        told = re.sub(r"//.*@", "//", address)
        if "$" in VARIABLE.sub("", address):
            raise SensorError(
                f"The address {told} names a variable that is not put in: write ${{EVERNAS_NODE_IP}}, the node's own "
                "address, or another that begins with EVERNAS_NODE_."
            )
        if any(name not in os.environ for name in VARIABLE.findall(address)):
            raise SensorError(f"The address {told} names a variable that is not set where the device is measured.")
        found = cls(told, VARIABLE.sub(lambda match: os.environ[match[1]], address))
        found.read()
        return found

    @property
    def name(self) -> str:
        """What stands in a measurement."""
        return f"exporter, {next(iter(self.read())).partition('{')[0]}"

    @property
    def slow(self) -> bool:
        """An exporter may refresh its counters every few seconds only."""
        return True

    def read(self) -> dict[str, float]:
        """Each package's counter in joules, by its name and labels."""
        counters: dict[str, dict[str, float]] = {}
        for line in self._text().splitlines():
            match = LINE.match(line)
            if match is None:
                continue
            for family, part in FAMILIES:
                if match[1] == family and part in match[2]:
                    counters.setdefault(family, {})[f"{family}{{{match[2]}}}"] = _joules(match[3], self.address)
        for family, _ in FAMILIES:
            if family in counters:
                return counters[family]
        raise SensorError(
            f"{self.address} tells of no energy: it has none of {', '.join(family for family, _ in FAMILIES)}. Is its "
            "RAPL collector on, and may it read?"
        )

    def joules(self, before: Mapping[str, float], after: Mapping[str, float]) -> float:
        """Energy between two readings. SensorError if a counter stood still; RestartedError if one began anew."""
        if set(before) != set(after):
            raise SensorError(f"{self.address} tells of other counters than a moment ago.")
        used = [after[counter] - before[counter] for counter in before]
        if any(joules < 0 for joules in used):
            # The exporter does not say at which count its source wraps.
            raise RestartedError(f"A counter of {self.address} began anew in the middle.")
        if sum(used) == 0:
            raise SensorError(f"The counters of {self.address} did not change: their reading is stale.")
        return sum(used)

    def _text(self) -> str:
        try:
            return page(self.url)
        except NoPageError as problem:
            raise SensorError(f"The exporter {self.address} {problem}.") from None


def _joules(text: str, address: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SensorError(f"The exporter {address} says {text[:40]!r}, which is no number of joules.")
    return value
