"""Which finalist is sent to the gate, by figures of the search split alone; the gate split is never seen here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evernas.errors import UsageError
from evernas.gate.policy import Constraint, PerObjective

_FIELDS = {
    "error": "search_error",
    "latency_ms": "latency_ms",
    "latency_p95_ms": "latency_p95_ms",
    "cold_start_ms": "cold_start_ms",
    "energy_mj": "energy_mj",
    "size_kb": "size_kb",
    "peak_memory_mb": "peak_memory_mb",
}


@dataclass(frozen=True)
class Finalist:
    """A model as measured before the gate; None is 'not measured', which meets no constraint and no margin."""

    id: str
    search_error: float | None
    latency_ms: float | None
    size_kb: float | None
    peak_memory_mb: float | None = None
    latency_p95_ms: float | None = None
    cold_start_ms: float | None = None
    energy_mj: float | None = None


def select_candidate(
    finalists: Sequence[Finalist],
    champion: Finalist | None = None,
    *,
    constraints: Sequence[Constraint] = (),
    margins: PerObjective,
    effects: PerObjective,
) -> Finalist:
    """The finalist with the best chance at the gate.

    Those that meet the constraints come first; of these, with a champion, those within its margins of latency and size;
    of these, those whose error is within the minimum effect of the lowest; of these, the fastest, then the smallest.
    """
    if not finalists:
        raise UsageError("There is no finalist to choose from: fine-tune at least one (finalists.count).")
    left = _least(finalists, [_broken(finalist, constraints) for finalist in finalists])
    if champion is not None:
        left = _least(left, [_outside(finalist, champion, margins) for finalist in left])
    errors = [_figure(finalist.search_error) for finalist in left]
    lowest = min(errors)
    close = [f for f, error in zip(left, errors, strict=True) if error <= lowest + effects.error]
    return min(close, key=lambda f: (_figure(f.latency_ms), _figure(f.size_kb), _figure(f.search_error), f.id))


def _least(finalists: Sequence[Finalist], counts: Sequence[int]) -> list[Finalist]:
    fewest = min(counts)
    return [finalist for finalist, count in zip(finalists, counts, strict=True) if count == fewest]


def _broken(finalist: Finalist, constraints: Sequence[Constraint]) -> int:
    return sum(not _figure(getattr(finalist, _FIELDS[c.metric])) <= c.max for c in constraints)


def _outside(finalist: Finalist, champion: Finalist, margins: PerObjective) -> int:
    return sum(
        not _figure(ours) <= (1 + margin) * _figure(theirs)
        for ours, theirs, margin in (
            (finalist.latency_ms, champion.latency_ms, margins.latency_ms),
            (finalist.size_kb, champion.size_kb, margins.size_kb),
        )
    )


def _figure(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else float(value)
