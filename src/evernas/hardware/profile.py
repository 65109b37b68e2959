"""The short profile of a device: many subnets measured quickly for its cost predictors, too roughly for a gate."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evernas.digest import digest_file, digest_value
from evernas.errors import EvernasError
from evernas.hardware.bench import REFERENCE, TRIVIAL
from evernas.hardware.devices import resolve
from evernas.hardware.energy import MOST_WAITS, SensorError
from evernas.hardware.energy import PATIENCE_S as SENSORS_PATIENCE_S
from evernas.hardware.measure import nothing_to_guard, nothing_to_say, work_of
from evernas.hardware.recorded import recorded_profile
from evernas.hardware.reference import reference_model, trivial_model
from evernas.hardware.results import RawResults
from evernas.hardware.sensors import sensor_at
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
    costs: Sequence[str] = ("latency_ms",),
    seed: int = 0,
    on_progress: Callable[[int, int, str], None] = nothing_to_say,
    guard: Callable[[], None] = nothing_to_guard,
    patience_s: float | None = None,
    worker: tuple[str, ...] = WORKER,
) -> dict[str, dict[str, float]]:
    """Of each of `costs` the figure per architecture id: latency_ms, peak_memory_mb, energy_mj.

    Latency is the median of each network timed in two processes beside the reference network, about `config.seconds` in
    all; memory the resident peak above the runtime's own; energy that of an inference above idle. All take samples of
    `shape`, channels first.

    Networks that do not run, or show no such cost, are left out; EvernasError when these are more than a quarter, or
    the device has no sensor for energy that is asked for. Each chunk of networks is kept in `folder` as it is done and
    read back from it.
    """
    if device.recorded is not None:
        return recorded_profile({arch_id: digest_file(models[arch_id]) for arch_id in sorted(models)}, device, costs)
    found: dict[str, dict[str, float]] = {}
    session = take(
        models, device, config, folder, shape=shape, costs=costs, seed=seed, on_progress=on_progress, guard=guard,
        patience_s=patience_s, worker=worker,
    )  # fmt: skip
    with closing(session):
        for taken in session:
            if taken.fault is not None:
                raise EvernasError(taken.fault)
            if len(taken.missing) > LARGEST_LOSS * len(models):
                raise EvernasError(
                    f"{len(taken.missing)} of {len(models)} subnets {_LACK[taken.cost]} on {device.name}, more than a "
                    f"quarter: {taken.reason}"
                )
            found[taken.cost] = taken.figures
    return found


@dataclass(frozen=True)
class Taken:
    """What was measured of one cost: a figure by architecture id, those that have none, and a reason of these.

    `fault` says why the cost cannot be measured on this device at all.
    """

    cost: str
    figures: dict[str, float]
    missing: list[str]
    reason: str
    fault: str | None = None


def take(
    models: Mapping[str, Path],
    device: DeviceConfig,
    config: ProfileConfig,
    folder: Path,
    *,
    shape: tuple[int, ...],
    costs: Sequence[str] = ("latency_ms",),
    seed: int = 0,
    on_progress: Callable[[int, int, str], None] = nothing_to_say,
    guard: Callable[[], None] = nothing_to_guard,
    patience_s: float | None = None,
    worker: tuple[str, ...] = WORKER,
) -> Generator[Taken, None, None]:
    """The same cost by cost, however many networks have no figure, on a device that is here.

    EvernasError only where the device cannot run evernas's own network.
    """
    digests = {arch_id: digest_file(models[arch_id]) for arch_id in sorted(models)}
    runtime = resolve(device)
    networks = {d: Network(d, models[arch_id].absolute(), shape) for arch_id, d in digests.items()}
    work = work_of({d: network.path for d, network in networks.items()}, device, runtime, config, shape, seed)
    job = {
        "runtime": device.runtime,
        "threads": device.threads,
        "patience_s": patience_s or runtime.place.patience_s,
        "powercap": device.powercap,
        "energy": device.sensor,
    }
    session = _Session(
        networks, device, config, RawResults(folder, digest_value(work)), job, seed, on_progress, guard, worker,
    )  # fmt: skip
    takes = {
        "latency_ms": session.latency_ms,
        "peak_memory_mb": session.peak_memory_mb,
        "energy_mj": session.energy_mj,
    }
    with device_to_oneself(guard):
        for cost in costs:
            try:
                known, reasons = takes[cost]()
            except _NoSensorError as error:
                yield Taken(cost, {}, list(digests), str(error), str(error))
                continue
            missing = [arch_id for arch_id, digest in digests.items() if digest not in known]
            figures = {arch_id: known[digest] for arch_id, digest in digests.items() if digest in known}
            yield Taken(cost, figures, missing, min(reasons, default="no reason given"))


class _NoSensorError(EvernasError):
    """Energy is asked for, and nothing on the device tells it."""


_LACK = {
    "latency_ms": "do not run",
    "peak_memory_mb": "show no memory of their own",
    "energy_mj": "show no energy of their own",
}
_Figures = tuple[dict[str, float], set[str]]
"""A figure by digest, and the reasons of networks that have none."""


@dataclass(frozen=True)
class _Session:
    """One profile on one device. `job` is what all its processes are told."""

    networks: dict[str, Network]
    device: DeviceConfig
    config: ProfileConfig
    results: RawResults
    job: dict[str, Any]
    seed: int
    on_progress: Callable[[int, int, str], None]
    guard: Callable[[], None]
    worker: tuple[str, ...]

    def latency_ms(self) -> _Figures:
        reference = self.results.own_network(REFERENCE, reference_model())
        chunks = _chunks(self.networks, self.config.seconds, self.seed)
        done: list[dict[str, Any]] = []
        for number, chunk in enumerate(chunks):
            self.on_progress(number, len(chunks), f"{len(self.networks)} subnets")
            result = self._once(chunk, reference, {"kind": "latency", **fastest(done)})
            done.append({**result, "reference": reference.digest})
        return _combine(done), _reasons(done)

    def peak_memory_mb(self) -> _Figures:
        own = self.results.own_network(TRIVIAL, trivial_model())
        members = list(self.networks.values())
        chunks = [
            _Chunk(f"profile-memory-{start // CHUNK}", members[start : start + CHUNK], {"max_memory_mb": None})
            for start in range(0, len(members), CHUNK)
        ]
        done = []
        for number, chunk in enumerate(chunks):
            self.on_progress(number, len(chunks), f"memory of {len(self.networks)} subnets")
            done.append(self._once(chunk, own, {"kind": "memory", "seed": self.seed}))
        grown = {digest: mb for result in done for digest, mb in result["peak_memory_mb"].items()}
        told = {digest: mb for digest, mb in grown.items() if mb > 0}
        reasons = {
            "Their peak is not above what the process held before: this system does not let a process set its peak "
            "back, so that search.objectives cannot have peak_memory_mb here."
        }
        return told, _reasons(done) | (reasons if len(told) < len(grown) else set())

    def energy_mj(self) -> _Figures:
        """Over the processes the mean; a network that shows no energy above idle in one of them has no figure."""
        try:
            sensor = sensor_at(self.device.sensor, self.device.powercap)
        except SensorError as error:
            raise self._without_energy(str(error)) from None
        own = self.results.own_network(TRIVIAL, trivial_model())
        times = {
            "seconds": self.config.energy_seconds,
            "patience_s": self.job["patience_s"] + self.config.energy_seconds,
            "waits_s": MOST_WAITS * SENSORS_PATIENCE_S if sensor.slow else 0.0,
        }
        # Each window of a slow sensor takes as long as it takes to change, twice.
        restarts = 1 if sensor.slow else RESTARTS
        chunks = [
            _Chunk(f"profile-energy-{restart}-{start // CHUNK}", chunk, {**times, "seed": self.seed + restart})
            for restart in range(restarts)
            for start, chunk in _shuffled(self.networks, self.seed, restart)
        ]
        done = []
        for number, chunk in enumerate(chunks):
            self.on_progress(number, len(chunks), f"energy of {len(self.networks)} subnets")
            result = self._once(chunk, own, {"kind": "energy"})
            if result["unread"] is not None:
                raise self._without_energy(result["unread"])
            done.append(result)
        takes: dict[str, list[float]] = {}
        for result in done:
            for digest, window in result["energy"].items():
                takes.setdefault(digest, []).append(window["mj"])
        told = {digest: float(np.mean(mj)) for digest, mj in takes.items() if min(mj) > 0}
        reasons = {
            "Their energy cannot be told from the idle machine's: free it from other work, or raise "
            "profile.energy_seconds."
        }
        return told, _reasons(done) | (reasons if len(told) < len(takes) else set())

    def _without_energy(self, reason: str) -> _NoSensorError:
        return _NoSensorError(
            f"search.objectives has energy_mj, and {self.device.name} cannot be profiled for it. {reason}"
        )

    def _once(self, chunk: _Chunk, own: Network, more: dict[str, Any]) -> dict[str, Any]:
        found = self.results.get(chunk.name)
        if found is not None:
            return found
        try:
            result = run_survivors({**self.job, **chunk.times, **more}, own, chunk.networks, self.guard, self.worker)
        except WorkerDiedError as died:
            raise EvernasError(f"{self.device.name} cannot be profiled: the measuring process {died}.") from None
        self.guard()
        self.results.put(chunk.name, result)
        return result


def _reasons(results: list[dict[str, Any]]) -> set[str]:
    return {reason for result in results for reason in result["refused"].values()}


def _shuffled(networks: Mapping[str, Network], seed: int, restart: int) -> Iterator[tuple[int, list[Network]]]:
    """Chunks of all networks in an order of this restart's own, each with where it begins."""
    order = np.random.default_rng([seed, restart]).permutation(sorted(networks))
    for start in range(0, len(order), CHUNK):
        yield start, [networks[digest] for digest in order[start : start + CHUNK]]


@dataclass(frozen=True)
class _Chunk:
    name: str
    networks: list[Network]
    times: dict[str, Any]


def _chunks(networks: Mapping[str, Network], seconds: float, seed: int) -> list[_Chunk]:
    """Every network once per restart, in a fresh order each, so that neighbours and moments do not coincide twice."""
    chunks: list[_Chunk] = []
    for restart in range(RESTARTS):
        for start, members in _shuffled(networks, seed, restart):
            share_s = seconds * len(members) / (RESTARTS * len(networks))
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
