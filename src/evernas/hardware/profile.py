"""The short profile of a device: many subnets timed quickly for the latency predictor, too roughly for a gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evernas.digest import digest_file, digest_value
from evernas.errors import EvernasError
from evernas.hardware.bench import REFERENCE
from evernas.hardware.devices import resolve
from evernas.hardware.measure import PATIENCE_S, nothing_to_guard, nothing_to_say, work_of
from evernas.hardware.recorded import recorded_profile
from evernas.hardware.reference import reference_model
from evernas.hardware.results import RawResults
from evernas.hardware.session import WORKER, Network, WorkerDiedError, device_to_oneself, run_survivors
from evernas.hardware.windows import fastest, quiet

if TYPE_CHECKING:
    from evernas.config import DeviceConfig, ProfileConfig

RESTARTS = 2
CHUNK = 20
START_S = 0.6
WAIT_FACTOR = 2.0
LARGEST_LOSS = 0.25


def profile(
    models: Mapping[str, Path],
    device: DeviceConfig,
    config: ProfileConfig,
    folder: Path,
    *,
    shape: tuple[int, ...],
    seed: int = 0,
    on_progress: Callable[[int, int, str], None] = nothing_to_say,
    guard: Callable[[], None] = nothing_to_guard,
    patience_s: float = PATIENCE_S,
    worker: tuple[str, ...] = WORKER,
) -> dict[str, float]:
    """Median latency in ms per architecture id, each network timed in two processes beside the reference network.

    All take samples of `shape`, channels first.

    About `config.seconds` in all. Networks that do not run are left out; EvernasError when more than a quarter do
    not. Each chunk of networks is kept in `folder` as it is done and read back from it.
    """
    digests = {arch_id: digest_file(models[arch_id]) for arch_id in sorted(models)}
    if device.recorded is not None:
        return recorded_profile(digests, device)
    runtime = resolve(device)
    networks = {d: Network(d, models[arch_id].absolute(), shape) for arch_id, d in digests.items()}
    work = work_of({d: network.path for d, network in networks.items()}, device, runtime, config, shape, seed)
    results = RawResults(folder, digest_value(work))
    reference = results.own_network(REFERENCE, reference_model())
    job = {"kind": "latency", "runtime": device.runtime, "threads": device.threads, "patience_s": patience_s}
    chunks = _chunks(networks, config.seconds, seed)
    done: list[dict[str, Any]] = []
    with device_to_oneself(guard):
        for number, chunk in enumerate(chunks):
            on_progress(number, len(chunks), f"{len(networks)} subnets")
            result = results.get(chunk.name)
            if result is None:
                try:
                    terms = {**job, **chunk.times, **fastest(done)}
                    result = run_survivors(terms, reference, chunk.networks, guard, worker)
                except WorkerDiedError as died:
                    raise EvernasError(f"{device.name} cannot be profiled: the measuring process {died}.") from None
                guard()
                results.put(chunk.name, result)
            done.append({**result, "reference": reference.digest})
    latency_ms = _combine(done)
    missing = [arch_id for arch_id, digest in digests.items() if digest not in latency_ms]
    if len(missing) > LARGEST_LOSS * len(digests):
        reasons = {reason for result in done for reason in result["refused"].values()}
        raise EvernasError(
            f"{len(missing)} of {len(digests)} subnets do not run on {device.name}, more than a quarter: "
            f"{min(reasons, default='no reason given')}"
        )
    return {arch_id: latency_ms[digest] for arch_id, digest in digests.items() if digest in latency_ms}


@dataclass(frozen=True)
class _Chunk:
    name: str
    networks: list[Network]
    times: dict[str, Any]


def _chunks(networks: Mapping[str, Network], seconds: float, seed: int) -> list[_Chunk]:
    """Every network once per restart, in a fresh order each, so that neighbours and moments do not coincide twice."""
    chunks: list[_Chunk] = []
    for restart in range(RESTARTS):
        order = np.random.default_rng([seed, restart]).permutation(sorted(networks))
        for start in range(0, len(order), CHUNK):
            members = [networks[digest] for digest in order[start : start + CHUNK]]
            share_s = seconds * len(members) / (RESTARTS * len(order))
            each_s = max(share_s - START_S, share_s / 4) / (len(members) + 1)
            number = start // CHUNK
            times = {
                "seconds": 0.65 * each_s,
                "warmup_seconds": 0.15 * each_s,
                "wait_factor": WAIT_FACTOR,
                "seed": int(digest_value([seed, restart, number])[:8], 16),
            }
            chunks.append(_Chunk(f"profile-{restart}-{number}", members, times))
    return chunks


def _combine(results: list[dict[str, Any]]) -> dict[str, float]:
    """Per network the mean over the processes in which the machine was at its usual speed; over all if there is none.

    Each figure is corrected by how slow the reference network was in its process.
    """
    usual = min(result["models"][result["reference"]]["median_ms"] for result in results)
    steady: dict[str, list[float]] = {}
    every: dict[str, list[float]] = {}
    for result in results:
        correction = usual / result["models"][result["reference"]]["median_ms"]
        for digest, figures in result["models"].items():
            every.setdefault(digest, []).append(figures["median_ms"] * correction)
            if quiet(result, results):
                steady.setdefault(digest, []).append(figures["median_ms"] * correction)
    return {digest: float(np.mean(steady.get(digest, values))) for digest, values in every.items()}
