"""From the raw figures of restarts to measurements, refusals included; pure but for the files' sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evernas.hardware.measurement import Measurement, Weight, latency_over_restarts
from evernas.hardware.windows import least_share, starved, unstable

if TYPE_CHECKING:
    from evernas.config import BenchmarkConfig
    from evernas.hardware.bench import Serving
    from evernas.hardware.session import Network

EXTRA_ROUNDS = 2
"""How many times as many restarts as asked for are added while the device is not steady."""
OF_GPU_BEFORE = {"gpu_clock_mhz": "gpu_clock_before_mhz", "gpu_temperature_c": "gpu_temperature_before_c"}


def measurements_of(
    blank: Mapping[str, Measurement],
    models: Mapping[str, Path],
    refused: Mapping[str, str],
    memory: Mapping[str, Weight],
    restarts: list[dict[str, Any]],
    serving: Serving,
    config: BenchmarkConfig,
    champion: str | None,
) -> dict[str, Measurement]:
    """A measurement per digest: `blank` filled in, from restarts that hold every network which is not in `refused`."""
    survivors = [digest for digest in models if digest not in refused]
    wavering = unstable(restarts, survivors, config.max_variation)
    lacking = _lacking(restarts, config)
    measurements: dict[str, Measurement] = {}
    for digest, empty in blank.items():
        if digest in refused:
            measurements[digest] = replace(empty, refused=refused[digest])
            continue
        latency = latency_over_restarts([restart["models"][digest] for restart in restarts])
        reason = lacking
        if reason is None and digest in wavering:
            reason = (
                f"The latency varied by {latency.cv:.0%} over {len(restarts)} restarts (at most "
                f"{config.max_variation:.0%} is allowed), also after {EXTRA_ROUNDS * config.restarts} more: free the "
                "device from other work, or raise benchmark.max_variation."
            )
        energy, weight = serving.energy.get(digest), memory.get(digest)
        paired = champion is not None and champion in survivors and champion not in wavering
        measurements[digest] = replace(
            empty,
            latency=latency,
            ratio_to_champion=_ratios(restarts, digest, str(champion)) if paired and reason is None else None,
            ratio_to_reference=_ratios(restarts, digest, restarts[0]["reference"]),
            peak_memory_mb=None if weight is None else weight.peak_mb,
            allocated_mb=None if weight is None else weight.allocated_mb,
            size_kb=models[digest].stat().st_size / 1000,
            cold_start=serving.cold_start.get(digest),
            load=serving.load.get(digest),
            energy=energy,
            energy_mj=None if energy is None else energy.per_inference_mj.median,
            energy_missing=serving.energy_missing.get(digest),
            environment=_environment(restarts),
            refused=reason,
        )
    return measurements


def steady(
    networks: Sequence[Network], refused: Mapping[str, str], restarts: list[dict[str, Any]], config: BenchmarkConfig
) -> list[Network]:
    """The networks whose latency may be believed: only of these is more worth knowing."""
    alive = [network for network in networks if network.digest not in refused]
    if starved(restarts, config.min_cpu_share):
        return []
    wavering = unstable(restarts, [network.digest for network in alive], config.max_variation)
    return [network for network in alive if network.digest not in wavering]


def _lacking(restarts: list[dict[str, Any]], config: BenchmarkConfig) -> str | None:
    """Why none of the figures may be believed, where the measuring process lacked a processor."""
    if not starved(restarts, config.min_cpu_share):
        return None
    return (
        f"The measuring process had a processor for {least_share(restarts):.1%} of the time in which it ran the "
        f"networks (at least {config.min_cpu_share:.1%} is asked for), also after {EXTRA_ROUNDS * config.restarts} "
        "more restarts: other programs hold the cores. End them, or measure when they rest, or lower "
        "benchmark.min_cpu_share."
    )


def _ratios(restarts: list[dict[str, Any]], digest: str, other: str) -> tuple[float, ...]:
    return tuple(restart["models"][digest]["median_ms"] / restart["models"][other]["median_ms"] for restart in restarts)


def _environment(restarts: list[dict[str, Any]]) -> dict[str, Any]:
    """The machine's state after the last restart, what it was before the first, and how much of it was ours."""
    first, last = restarts[0]["environment"]["before"], restarts[-1]["environment"]["after"]
    return {
        **last,
        "frequency_before_mhz": first["frequency_mhz"],
        "temperature_before_c": first["temperature_c"],
        **{before: first[name] for name, before in OF_GPU_BEFORE.items() if name in first},
        "lowest_cpu_share": least_share(restarts),
        "restarts": len(restarts),
    }
