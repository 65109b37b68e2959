"""How far a device has left its profile, and what the next run is to do about it.

Found anew in each run, and kept with no step: the same measurements may lie otherwise to a newer profile's predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evernas.hardware.departure import FEWEST, Departure
from evernas.result import DeviceResult
from evernas.state import Done, StepStore
from evernas.steps.rounds import foreseen_by, residual_of


def departure_of(
    store: StepStore, finalists: Done, measurements: Mapping[str, Any], before: float | None
) -> Departure | None:
    """How the finalists' latencies lie to those that the search was told; the predictor knows fp32 networks only.

    `before` is the ratio that the last run left standing, with another profile.
    """
    pairs = []
    for finalist in finalists.facts["finalists"]:
        found = measurements[finalist["bundle"]]
        if found["latency"] is not None and found["refused"] is None and finalist["precision"] == "fp32":
            pairs.append((found["latency"]["median_ms"], finalist["predicted_latency_ms"]))
    residual = residual_of(foreseen_by(store, store.get(finalists.facts["search"])))
    return Departure.of([m for m, _ in pairs], [p for _, p in pairs], residual, before)


def to_profile_again(devices: list[DeviceResult]) -> list[str]:
    """The devices that another profile may set right. Figures that were recorded elsewhere cannot be taken anew."""
    found = [(device.device, device.departure or {}) for device in devices if not device.recorded]
    return [name for name, departure in found if departure.get("stale") and not departure["lasting"]]


def standing(devices: list[DeviceResult], earlier: Mapping[str, float]) -> dict[str, float]:
    """Of each device that does not fit its profile the ratio of measured to predicted; `earlier` is the last run's.

    While new profiles do not change it, it stays the one for which they were taken, so that it cannot creep away. Too
    few networks say nothing, and leave what was.
    """
    found = dict(earlier)
    for device in devices:
        departure = device.departure
        if departure is None or departure["networks"] < FEWEST or departure["lasting"]:
            continue
        found.pop(device.device, None)
        if departure["stale"]:
            found[device.device] = departure["ratio"]
    return {device.device: found[device.device] for device in devices if device.device in found}
