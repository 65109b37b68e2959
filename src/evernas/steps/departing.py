"""How far a device has left its profile, cost by cost, and what the next run is to do about it.

Found anew in each run, and kept with no step: the same measurements may lie otherwise to a newer profile's predictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evernas.hardware.departure import FEWEST, Departure
from evernas.result import DeviceResult
from evernas.state import Done, StepStore
from evernas.steps.rounds import drift_of, foreseeing, foreseen_by, residual_of

LATENCY = "latency_ms"
ByCost = Mapping[str, float]
ByDevice = Mapping[str, ByCost]


def departures_of(
    store: StepStore,
    finalists: Done,
    measurements: Mapping[str, Any],
    costs: Iterable[str],
    before: ByCost | None = None,
    last: ByCost | None = None,
    precision: str = "fp32",
) -> dict[str, Departure]:
    """How the finalists' figures lie to those that the search was told, by cost.

    Predictors know networks of one `precision` only. `before` is what the last run left standing, and `last` what it
    found outside the band. Costs of which no finalist has a figure are left out.
    """
    fitted = foreseen_by(store, store.get(finalists.facts["search"]))
    found = {}
    for cost in costs:
        pairs = [
            (measured, predicted)
            for finalist in finalists.facts["finalists"]
            if finalist["precision"] == precision
            and (measured := _measured(measurements[finalist["bundle"]], cost)) is not None
            and (predicted := _predicted(finalist, cost)) is not None
        ]
        departure = Departure.of(
            [measured for measured, _ in pairs],
            [predicted for _, predicted in pairs],
            residual_of(fitted, cost),
            (before or {}).get(cost),
            drift_of(fitted, cost),
            (last or {}).get(cost),
        )
        if departure is not None:
            found[cost] = departure
    return found


def found_before(searched: Done, last: Done | None, drifted: ByCost | None) -> ByCost:
    """What the last run, whose search `last` is, found outside the band; nothing where both go by the same probe.

    What was measured once and taken again says as little of another day as it did.
    """
    return {} if last is None or drifted is None or foreseeing(last) == foreseeing(searched) else drifted


def _measured(measurement: Mapping[str, Any], cost: str) -> float | None:
    """The figure above 0, where one was measured."""
    if measurement["refused"] is not None:
        return None
    if cost == LATENCY:
        return None if measurement["latency"] is None else float(measurement["latency"]["median_ms"])
    told = measurement.get(cost)
    return None if told is None or told <= 0 else float(told)


def _predicted(finalist: Mapping[str, Any], cost: str) -> float | None:
    found = finalist["predicted_latency_ms"] if cost == LATENCY else finalist.get("predicted", {}).get(cost)
    return None if found is None else float(found)


def of_device(device: DeviceResult) -> dict[str, dict[str, Any]]:
    """A device's departures by cost, as its result has them."""
    return {**({} if device.departure is None else {LATENCY: device.departure}), **device.more_departures}


def to_profile_again(devices: list[DeviceResult]) -> list[str]:
    """The devices that another profile may set right. Figures that were recorded elsewhere cannot be taken anew."""
    return [
        device.device
        for device in devices
        if not device.recorded and any(each["stale"] and not each["lasting"] for each in of_device(device).values())
    ]


def standing(devices: list[DeviceResult], earlier: ByDevice) -> dict[str, dict[str, float]]:
    """Of each device, by cost, for what it was or is to be profiled anew; `earlier` is the last run's.

    While new profiles do not change it, it stays the one for which they were taken, so that it cannot creep away. Too
    few networks say nothing, and leave what was, as a departure does that may be this day's.
    """
    found = {}
    for device in devices:
        kept = dict(earlier.get(device.device, {}))
        for cost, departure in of_device(device).items():
            undecided = departure["departed"] and not departure["stale"]
            if departure["networks"] < FEWEST or departure["lasting"] or undecided:
                continue
            kept.pop(cost, None)
            if departure["stale"]:
                kept[cost] = departure["since_profile"]
        if kept:
            found[device.device] = kept
    return found


def drifting(devices: list[DeviceResult]) -> dict[str, dict[str, float]]:
    """Of each device, by cost, how many times its profile's figures it takes, where that is outside the band."""
    found = {
        device.device: {cost: each["since_profile"] for cost, each in of_device(device).items() if each["departed"]}
        for device in devices
    }
    return {device: costs for device, costs in found.items() if costs}
