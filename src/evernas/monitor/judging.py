"""From counts to findings: which of a champion's promises production shows to be broken; pure.

All tests of a champion share one chance of a false incident, over all looks: a third each for quality, latency and
inputs. Of quality's, half is for all domains together and half for single domains, less for each that appears later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from evernas.monitor.sequential import evidence, lower_bound

# By the test's name, the number of its units and the sum of their values.
Tests: TypeAlias = dict[str, tuple[int, float]]
QUALITY, LATENCY, DRIFT = "quality", "latency", "drift"
TAIL = 0.1
LOW, HIGH = "low", "high"


@dataclass(frozen=True)
class Promise:
    """What is promised of a champion; None where nothing is. `domain_error` is of every single domain."""

    error: float | None
    domain_error: float | None
    latency_ms: float | None
    drift: float


@dataclass(frozen=True)
class Finding:
    """One test: what production shows, beside the limit. `of` is the domain or the input that it is about.

    `level` is this test's part of the chance of a false incident.
    """

    test: str
    kind: Literal["quality", "latency", "drift"]
    of: str | None
    units: int
    value: float
    limit: float
    level: float
    broken: bool

    @property
    def bound(self) -> float:
        """What the value is at least, at all looks together."""
        return lower_bound(self.units, self.units * self.value, self.level)

    def to_json(self) -> dict[str, Any]:
        """A plain document."""
        return {**asdict(self), "bound": self.bound}


def judge(tests: Tests, promise: Promise, alpha: float, domains: Mapping[str, int]) -> list[Finding]:
    """A finding per test that has a promise. `domains` numbers the domains from 1, in the order of first appearance."""
    drifting = [name for name in tests if name.startswith(f"{DRIFT}:")]
    found = []
    for name, (units, total) in sorted(tests.items()):
        kind, _, of = name.partition(":")
        if kind == QUALITY:
            limit = promise.domain_error if of else promise.error
            level = alpha / 6 * (6 / (math.pi * domains[of]) ** 2 if of else 1)
        elif kind == LATENCY:
            # A median: at most half of the answers take longer.
            limit, level = None if promise.latency_ms is None else 0.5, alpha / 3
        else:
            limit, level = min(TAIL + promise.drift, 0.99), alpha / 3 / len(drifting)
        if limit is None or units == 0:
            continue
        broken = evidence(units, total, limit) >= math.log(1 / level)
        found.append(Finding(name, kind, of or None, units, total / units, limit, level, broken))  # type: ignore[arg-type]
    return found


def add(one: Tests, other: Tests) -> Tests:
    """The counts of both together."""
    names = {*one, *other}
    return {
        name: (
            one.get(name, (0, 0.0))[0] + other.get(name, (0, 0.0))[0],
            one.get(name, (0, 0.0))[1] + other.get(name, (0, 0.0))[1],
        )
        for name in names
    }
