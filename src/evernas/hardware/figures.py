"""The figures of a measurement's document by the names that constraints use; None is 'not measured'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

TAKES = {
    "latency_ms": ("latency", "per_restart_median_ms"),
    "latency_p95_ms": ("latency", "per_restart_p95_ms"),
    "energy_mj": ("energy", "per_inference_mj", "takes"),
    "cold_start_ms": ("cold_start", "total_ms", "takes"),
    "load_p95_ms": ("p95_ms", "takes"),
    "cost_per_million": ("throughput", "takes"),
}
"""Where the takes of a metric that was taken several times lie; a document of an older version lacks some."""
UNDER_LOAD = ("load_p95_ms", "cost_per_million")


@dataclass(frozen=True)
class Terms:
    """Under which terms load is judged: so many clients at once, the most that were tried if None; and money."""

    clients: int | None = None
    price_per_hour: float | None = None


def takes(measurement: Mapping[str, Any], metric: str, terms: Terms = Terms()) -> list[float] | None:
    """One figure per process in which this metric was measured."""
    if metric == "cost_per_million" and terms.price_per_hour is None:
        return None
    found: Any = _under_load(measurement, terms.clients) if metric in UNDER_LOAD else measurement
    for key in TAKES[metric]:
        found = None if found is None else found.get(key)
    if found and metric == "cost_per_million":
        assert terms.price_per_hour is not None
        return [terms.price_per_hour / 3600 / per_second * 1e6 for per_second in found]
    return found or None


def middle(measurement: Mapping[str, Any], metric: str, terms: Terms = Terms()) -> float | None:
    """The median of the takes."""
    found = takes(measurement, metric, terms)
    return None if found is None else float(np.median(found))


def holds(measurement: Mapping[str, Any], metrics: Iterable[str], terms: Terms = Terms()) -> bool:
    """Whether all of these metrics were measured; one of an older version lacks those that came later."""
    return all(
        takes(measurement, metric, terms) is not None if metric in TAKES else measurement.get(metric) is not None
        for metric in metrics
    )


def _under_load(measurement: Mapping[str, Any], clients: int | None) -> Any:
    """The figures at so many clients; of the most that were tried, if None."""
    tried = {entry["clients"]: entry for entry in measurement.get("load") or []}
    return tried.get(max(tried) if clients is None and tried else clients)
