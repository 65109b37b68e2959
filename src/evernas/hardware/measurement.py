"""What a measurement is: its figures, their JSON form, and how restarts become one; nothing is measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from evernas.hardware.cold import ColdStart
from evernas.hardware.energy import Energy
from evernas.hardware.load import LoadFigures

VERSION = 3
SINCE = {"cold_start": 2, "load": 2, "energy": 2, "energy_missing": 2, "allocated_mb": 3}
"""From which version on documents have these figures; in an older one they are None, which is 'not measured'."""
DISTURBED = 1.15
"""The reference network slower than its fastest by this factor shows that something else disturbs the machine."""


@dataclass(frozen=True)
class Latency:
    """Latency of one inference at batch 1: medians over the process restarts, and each restart's own figures."""

    median_ms: float
    p95_ms: float
    p99_ms: float
    mad_ms: float
    cv: float
    per_restart_median_ms: tuple[float, ...]
    per_restart_p95_ms: tuple[float, ...]


@dataclass(frozen=True)
class Weight:
    """Memory in MB of a network above its runtime's own: growth of the resident peak, and of what is allocated."""

    peak_mb: float
    allocated_mb: float | None
    """None where the C library does not tell."""


@dataclass(frozen=True)
class Measurement:
    """What a network costs on a device. `refused` says why there are no figures to trust; None when there are.

    Ratios are per restart, of medians taken interleaved in one process; below 1 is faster. Where `energy` is None, so
    is `energy_mj`, its median, and `energy_missing` says why: there is no sensor, or its readings cannot be trusted.
    """

    digest: str
    device: str
    runtime: str
    latency: Latency | None = None
    ratio_to_champion: tuple[float, ...] | None = None
    ratio_to_reference: tuple[float, ...] | None = None
    peak_memory_mb: float | None = None
    size_kb: float | None = None
    energy_mj: float | None = None
    cold_start: ColdStart | None = None
    load: tuple[LoadFigures, ...] | None = None
    energy: Energy | None = None
    energy_missing: str | None = None
    allocated_mb: float | None = None
    environment: dict[str, Any] = field(default_factory=dict, hash=False)
    recorded: bool = False
    refused: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the version of the form."""
        return {"version": VERSION, **_plain(asdict(self))}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Measurement:
        """The inverse of to_json; raises KeyError, TypeError or ValueError for anything else."""
        if value["version"] not in range(1, VERSION + 1):
            raise ValueError(f"a measurement of version {value['version']}, this evernas reads version {VERSION}")
        known = [name for name in cls.__dataclass_fields__ if SINCE.get(name, 1) <= value["version"]]
        fields = {name: value[name] for name in known}
        latency = fields["latency"]
        if latency is not None:
            fields["latency"] = Latency(
                **{name: float(latency[name]) for name in ("median_ms", "p95_ms", "p99_ms", "mad_ms", "cv")},
                per_restart_median_ms=_numbers(latency["per_restart_median_ms"]),
                per_restart_p95_ms=_numbers(latency["per_restart_p95_ms"]),
            )
        for name in ("ratio_to_champion", "ratio_to_reference"):
            fields[name] = None if fields[name] is None else _numbers(fields[name])
        if fields.get("cold_start") is not None:
            fields["cold_start"] = ColdStart.from_json(fields["cold_start"])
        if fields.get("load") is not None:
            fields["load"] = tuple(LoadFigures.from_json(figures) for figures in fields["load"])
        if fields.get("energy") is not None:
            fields["energy"] = Energy.from_json(fields["energy"])
        return cls(**fields)


def variation(medians: Sequence[float]) -> float:
    """Coefficient of variation over restarts (standard deviation with n - 1, over the mean)."""
    if len(medians) < 2:
        return 0.0
    return float(np.std(medians, ddof=1) / np.mean(medians))


def latency_over_restarts(restarts: Sequence[Mapping[str, float]]) -> Latency:
    """One Latency from each restart's figures (median_ms, p95_ms, p99_ms, mad_ms)."""

    def middle(name: str) -> float:
        return float(np.median([restart[name] for restart in restarts]))

    medians = tuple(float(restart["median_ms"]) for restart in restarts)
    return Latency(
        median_ms=middle("median_ms"),
        p95_ms=middle("p95_ms"),
        p99_ms=middle("p99_ms"),
        mad_ms=middle("mad_ms"),
        cv=variation(medians),
        per_restart_median_ms=medians,
        per_restart_p95_ms=tuple(float(restart["p95_ms"]) for restart in restarts),
    )


def figures_of_calls(call_ns: Sequence[int]) -> dict[str, float]:
    """One restart's figures, in ms, of the times of its calls in ns."""
    ms = np.asarray(call_ns, dtype=np.float64) / 1e6
    median = float(np.median(ms))
    return {
        "median_ms": median,
        "p95_ms": float(np.percentile(ms, 95)),
        "p99_ms": float(np.percentile(ms, 99)),
        "mad_ms": float(np.median(np.abs(ms - median))),
        "mean_ms": float(ms.mean()),
        "count": len(ms),
    }


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
