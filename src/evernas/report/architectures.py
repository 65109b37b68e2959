"""Which architectures a device's report names, in what role, and with which mark, the same in every chart; no chart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evernas.report.quantities import DASH, MISSING, kilobytes, megabytes, milliseconds, number, percent, thousands
from evernas.result import ArchitectureRecord, ChampionRecord, DeviceResult, FinalistRecord, RobustnessRecord


@dataclass(frozen=True)
class Look:
    """A mark: Vega's shape and size, a colour of the page, and the class that draws it in a key."""

    shape: str
    size: int
    color: str
    key: str


BEFORE = Look("diamond", 130, "var(--orange)", "diamond orange")
WINNER = Look("triangle-up", 130, "var(--green)", "triangle green")
CANDIDATE = Look("triangle-up", 130, "var(--purple)", "triangle purple")
FINALIST = Look("square", 60, "var(--soft)", "square soft")


@dataclass(frozen=True)
class Role:
    """An architecture with a part in the decision."""

    kind: str
    short: str
    look: Look
    named: bool
    bundle: str
    architecture: ArchitectureRecord
    error: float | None
    error_by_domain: dict[str, float]
    measurement: dict[str, Any] | None
    predicted_latency_ms: float | None
    robustness: RobustnessRecord | None
    predicted: dict[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its part, and its number format where that is not the usual one."""
        own = self.architecture.precision
        return self.kind if own == "fp32" else f"{self.kind}, {own}"

    @property
    def values(self) -> dict[str, Any]:
        """What the axes show."""
        return {
            "error": number(self.error),
            "latency_ms": latency(self.measurement, "median_ms"),
            **{name: number((self.measurement or {}).get(name)) for name in ("size_kb", "peak_memory_mb", "energy_mj")},
        }

    @property
    def tip(self) -> str:
        """What a mark says."""
        lines = [
            f"{self.architecture.id} · {self.title}",
            f"error {percent(self.error)} on the search split",
            f"latency {milliseconds(self.values['latency_ms'])}"
            + (
                f" (predicted {milliseconds(self.predicted_latency_ms)})"
                if self.predicted_latency_ms is not None
                else ""
            ),
            f"size {kilobytes(self.values['size_kb'])}",
            f"memory {megabytes((self.measurement or {}).get('peak_memory_mb'))}",
            f"{thousands(self.architecture.macs)} MACs, {thousands(self.architecture.parameters)} parameters",
        ]
        refused = (self.measurement or {}).get("refused")
        return "\n".join([*lines, *([f"measurement refused: {refused}"] if refused else [])])


def latency(measurement: dict[str, Any] | None, key: str) -> float | None:
    """A figure of a measurement's latency; None where it is missing."""
    figures = (measurement or {}).get("latency")
    return number(figures.get(key)) if isinstance(figures, dict) else None


def promoted(device: DeviceResult) -> bool:
    """Whether this run gave the device a new champion."""
    before, after = device.champion_before, device.champion_after
    return after is not None and (before is None or before.number != after.number)


def roles(device: DeviceResult) -> list[Role]:
    """Finalists, candidate, champion before and new champion; each bundle once, drawn in this order."""
    won = promoted(device)
    found: list[Role] = []
    for finalist in device.finalists:
        if finalist.bundle == device.candidate:
            continue
        found.append(_finalist(finalist, "finalist", "", FINALIST, named=False))
    if device.champion_before is not None:
        found.append(_champion(device.champion_before, "champion before" if won else "champion", BEFORE))
    for finalist in device.finalists:
        if finalist.bundle != device.candidate:
            continue
        if won:
            found.append(_finalist(finalist, "new champion", "new champion", WINNER, named=True))
        else:
            found.append(_finalist(finalist, "candidate, held", "candidate", CANDIDATE, named=True))
    return found


def by_importance(device: DeviceResult) -> list[Role]:
    """The roles as a table lists them: champion before, new champion or candidate, the other finalists."""
    return sorted(roles(device), key=lambda role: (role.look is not BEFORE, role.kind == "finalist"))


def winner(device: DeviceResult) -> Role | None:
    """The new champion, or the candidate that was held; None if no candidate reached the gate."""
    return next((role for role in roles(device) if role.bundle == device.candidate and role.look is not BEFORE), None)


def previous(device: DeviceResult) -> Role | None:
    """The champion before this run; None on the first promotion."""
    return next((role for role in roles(device) if role.look is BEFORE), None)


def _finalist(record: FinalistRecord, kind: str, short: str, look: Look, *, named: bool) -> Role:
    return Role(
        kind=kind,
        short=short,
        look=look,
        named=named,
        bundle=record.bundle,
        architecture=record.architecture,
        error=record.error,
        error_by_domain=record.error_by_domain,
        measurement=record.measurement,
        predicted_latency_ms=record.predicted_latency_ms,
        robustness=record.robustness,
        predicted=record.predicted,
    )


def _champion(record: ChampionRecord, kind: str, look: Look) -> Role:
    return Role(
        kind=kind,
        short="champion" if kind == "champion" else "before",
        look=look,
        named=True,
        bundle=record.bundle,
        architecture=record.architecture,
        error=record.error,
        error_by_domain=record.error_by_domain,
        measurement=record.measurement,
        predicted_latency_ms=None,
        robustness=record.robustness,
    )


def measured_table_row(role: Role) -> list[object]:
    """A row of the table of finalists and champions."""
    measurement = role.measurement or {}
    return [
        f"{role.architecture.id} ({role.title})",
        percent(role.error),
        milliseconds(latency(role.measurement, "median_ms")),
        milliseconds(latency(role.measurement, "p95_ms")),
        milliseconds(role.predicted_latency_ms) if role.predicted_latency_ms is not None else DASH,
        kilobytes(measurement.get("size_kb")),
        megabytes(measurement.get("peak_memory_mb")),
        MISSING if number(measurement.get("energy_mj")) is None else f"{measurement['energy_mj']:.3g} mJ",
        thousands(role.architecture.macs),
    ]
