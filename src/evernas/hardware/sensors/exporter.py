"""Energy counters that the node's own exporter gives away over HTTP, for pods that may not read RAPL themselves.

Prometheus' node-exporter (node_rapl_package_joules_total, read anew at each request) and Kepler (refreshed every few
seconds). Both count whole processor packages of the node that they run on: the address must be that node's.
"""

from __future__ import annotations

import math
import os
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from urllib.error import HTTPError, URLError

from evernas.hardware.energy import RestartedError, SensorError

# Each family with what its labels must contain; the first that is there is taken. Others are parts of packages.
FAMILIES = (
    ("kepler_node_cpu_joules_total", 'zone="package"'),
    ("kepler_node_package_joules_total", ""),
    ("node_rapl_package_joules_total", ""),
)
TIMEOUT_S = 5.0
MOST_BYTES = 16_000_000
LINE = re.compile(r"^(\w+)\{([^}]*)\}\s+(\S+)")


@dataclass(frozen=True)
class Exporter:
    """The counters behind an address, by family and labels."""

    url: str

    @classmethod
    def find(cls, address: str) -> Exporter:
        """At an address in which ${VARIABLES} are expanded; read once. SensorError if there is no counter."""
        url = os.path.expandvars(address)
        if "$" in url:
            raise SensorError(f"The address {address} names a variable that is not set where the device is measured.")
        found = cls(url)
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
                    counters.setdefault(family, {})[f"{family}{{{match[2]}}}"] = _joules(match[3], self.url)
        for family, _ in FAMILIES:
            if family in counters:
                return counters[family]
        raise SensorError(
            f"{self.url} tells of no energy: it has none of {', '.join(family for family, _ in FAMILIES)}. Is its RAPL "
            "collector on, and may it read?"
        )

    def joules(self, before: Mapping[str, float], after: Mapping[str, float]) -> float:
        """Energy between two readings. SensorError if a counter stood still; RestartedError if one began anew."""
        if set(before) != set(after):
            raise SensorError(f"{self.url} tells of other counters than a moment ago.")
        used = [after[counter] - before[counter] for counter in before]
        if any(joules < 0 for joules in used):
            # The exporter does not say at which count its source wraps.
            raise RestartedError(f"A counter of {self.url} began anew in the middle.")
        if sum(used) == 0:
            raise SensorError(f"The counters of {self.url} did not change: their reading is stale.")
        return sum(used)

    def _text(self) -> str:
        if not self.url.startswith(("http://", "https://")):
            raise SensorError(f"The exporter's address {self.url!r} is none: write http://host:port/metrics.")
        try:
            with urllib.request.urlopen(self.url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - checked above
                return str(answer.read(MOST_BYTES).decode("utf-8", "replace"))
        except HTTPError as error:
            raise SensorError(f"The exporter {self.url} refuses with {error.code} ({error.reason}).") from None
        except (URLError, HTTPException, OSError) as error:
            raise SensorError(
                f"The exporter {self.url} does not answer ({error}): is the way to it open from here?"
            ) from None


def _joules(text: str, url: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SensorError(f"The exporter {url} says {text!r}, which is no number of joules.")
    return value
