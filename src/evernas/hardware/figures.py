"""The figures of a measurement's document by the names that constraints use; None is 'not measured'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

TAKES = {
    "latency_ms": ("latency", "per_restart_median_ms"),
    "latency_p95_ms": ("latency", "per_restart_p95_ms"),
    "energy_mj": ("energy", "per_inference_mj", "takes"),
    "cold_start_ms": ("cold_start", "total_ms", "takes"),
}
"""Where the takes of a metric that was taken several times lie; a document of an older version lacks some."""


def takes(measurement: Mapping[str, Any], metric: str) -> list[float] | None:
    """One figure per process in which this metric was measured."""
    found: Any = measurement
    for key in TAKES[metric]:
        found = None if found is None else found.get(key)
    return found or None


def middle(measurement: Mapping[str, Any], metric: str) -> float | None:
    """The median of the takes."""
    found = takes(measurement, metric)
    return None if found is None else float(np.median(found))


def holds(measurement: Mapping[str, Any], metrics: Iterable[str]) -> bool:
    """Whether all of these metrics were measured; one of an older version lacks those that came later."""
    return all(
        takes(measurement, metric) is not None if metric in TAKES else measurement.get(metric) is not None
        for metric in metrics
    )
