"""Measurements that were taken elsewhere and are read from a file; every one of them is marked as recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evernas.errors import UsageError
from evernas.hardware.measurement import Measurement

if TYPE_CHECKING:
    from evernas.config import DeviceConfig


def recorded_measurements(models: Mapping[str, Path], device: DeviceConfig) -> dict[str, Measurement]:
    """A measurement per digest; refused, with the reason, for a digest that the file lacks or holds in another form."""
    table = _read(device)["measurements"]
    measurements: dict[str, Measurement] = {}
    for digest in models:
        if digest not in table:
            reason = (
                f"The recorded file {device.recorded} holds no measurement of this network: record it, then run again."
            )
            measurements[digest] = Measurement(digest, device.name, device.runtime, recorded=True, refused=reason)
            continue
        try:
            found = Measurement.from_json(table[digest])
            if found.digest != digest:
                raise ValueError(f"its digest is {found.digest[:16]}")
            measurements[digest] = replace(found, device=device.name, recorded=True)
        except (KeyError, TypeError, ValueError) as error:
            reason = f"The recorded file {device.recorded} holds no readable measurement of this network ({error!r})."
            measurements[digest] = Measurement(digest, device.name, device.runtime, recorded=True, refused=reason)
    return measurements


def recorded_profile(
    digests: Mapping[str, str], device: DeviceConfig, costs: Sequence[str] = ("latency_ms",)
) -> dict[str, dict[str, float]]:
    """Of each of `costs` the figure per architecture id; `digests` gives each architecture's model digest.

    An entry of the file may stand under the digest or, since that changes with every training, under the architecture:
    a map of costs, or a number, which is the median latency in ms. Architectures that the file lacks are left out;
    UsageError if it has none of them for a cost, or a figure is none.
    """
    table = _read(device)["profile"]
    found: dict[str, dict[str, float]] = {cost: {} for cost in costs}
    for arch_id, digest in digests.items():
        entry = table.get(digest, table.get(arch_id))
        figures = entry if isinstance(entry, dict) else {"latency_ms": entry}
        for cost in costs:
            value = figures.get(cost)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise UsageError(
                    f"The recorded profile {device.recorded} says {value!r} for {cost}: give a positive number."
                )
            found[cost][arch_id] = float(value)
    for cost, known in found.items():
        if not known:
            raise UsageError(
                f"The recorded profile {device.recorded} holds {cost} of none of the {len(digests)} networks: record "
                f"it, or drop devices.{device.name}.recorded to measure here."
            )
    return found


def _read(device: DeviceConfig) -> dict[str, dict[str, Any]]:
    path = Path(device.recorded or "")
    key = f"devices.{device.name}.recorded"
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{key} is {str(path)!r}, which cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise UsageError(f"{key} is {str(path)!r}, which is no JSON ({error}).") from None
    parts = {
        name: document.get(name, {}) if isinstance(document, dict) else None for name in ("measurements", "profile")
    }
    if not all(isinstance(part, dict) for part in parts.values()):
        raise UsageError(f"{key} is {str(path)!r}, which lacks the maps 'measurements' and 'profile'.")
    return parts  # type: ignore[return-value]
