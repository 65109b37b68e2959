"""The work of a measurement, piece by piece, each kept as it is done: weighing, timing, cold starts, load, energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from evernas.digest import digest_value, short
from evernas.hardware.assembly import EXTRA_ROUNDS
from evernas.hardware.cold import ColdStart
from evernas.hardware.energy import MOST_WAITS, Energy, SensorError
from evernas.hardware.energy import PATIENCE_S as SENSORS_PATIENCE_S
from evernas.hardware.load import LoadFigures
from evernas.hardware.measurement import Weight
from evernas.hardware.reference import reference_model, trivial_model
from evernas.hardware.results import RawResults
from evernas.hardware.sensors import sensor_at
from evernas.hardware.session import Network, WorkerDiedError, run_survivors, run_worker
from evernas.hardware.windows import all_quiet, best_window, fastest, starved, unstable

if TYPE_CHECKING:
    from evernas.config import BenchmarkConfig

WAIT_FACTOR = 3.0
REFERENCE, TRIVIAL = "reference.onnx", "trivial.onnx"


@dataclass(frozen=True)
class Serving:
    """What serving costs beside latency, by digest; a network that was not tried is absent."""

    cold_start: dict[str, ColdStart] = field(default_factory=dict)
    load: dict[str, tuple[LoadFigures, ...]] = field(default_factory=dict)
    energy: dict[str, Energy] = field(default_factory=dict)
    energy_missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """One measurement on one device. `job` is what all its processes are told."""

    config: BenchmarkConfig
    results: RawResults
    job: dict[str, Any]
    seed: int
    on_progress: Callable[[int, int, str], None]
    guard: Callable[[], None]
    worker: tuple[str, ...]
    cold_worker: tuple[str, ...]

    def weigh(self, networks: list[Network], refused: dict[str, str]) -> dict[str, Weight]:
        """Memory of each network, a process each. What does not run is added to `refused`."""
        own = self.results.own_network(TRIVIAL, trivial_model())
        memory: dict[str, Weight] = {}
        limit = {"max_memory_mb": self.config.max_memory_mb}
        total = len(networks) + self.config.restarts
        for number, network in enumerate(networks):
            self.on_progress(number, total, "memory")
            result = self._once(f"memory-{short(network.digest)}", "memory", own, [network], self.seed, limit)
            refused.update(result["refused"])
            allocated = result.get("allocated_mb", {})
            memory.update({d: Weight(mb, allocated.get(d)) for d, mb in result.get("peak_memory_mb", {}).items()})
        return memory

    def restart_until_stable(self, networks: list[Network], refused: dict[str, str]) -> list[dict[str, Any]]:
        """The figures of the restarts to report, all networks in each. What ends its process is added to `refused`."""
        own = self.results.own_network(REFERENCE, reference_model())
        wanted, limit, share = self.config.restarts, self.config.max_variation, self.config.min_cpu_share
        most = wanted * (1 + EXTRA_ROUNDS)
        restarts: list[dict[str, Any]] = []
        while True:
            alive = [network for network in networks if network.digest not in refused]
            digests = [network.digest for network in alive]
            chosen = best_window(restarts, wanted, digests, limit, share)
            undisturbed = all_quiet(chosen, restarts) and not starved(chosen, share)
            settled = len(chosen) == wanted and undisturbed and not unstable(chosen, digests, limit)
            if not alive or settled or len(restarts) == most:
                return chosen
            number = len(restarts)
            again = " again: the device was not steady" if number >= wanted else ""
            total = len(networks) + max(wanted, number + 1)
            self.on_progress(len(networks) + number, total, f"restart {number + 1}{again}")
            result = self._once(f"restart-{number}", "latency", own, alive, self._seed(number), fastest(restarts))
            refused.update(result["refused"])
            if "models" in result:
                restarts.append({**result, "reference": own.digest})

    def serve(self, networks: list[Network], refused: dict[str, str]) -> Serving:
        """Cold starts, concurrent load and energy of these networks. What cannot bear it is added to `refused`."""
        starts = self._start_cold(networks, refused)
        load = self._load_up([network for network in networks if network.digest not in refused], refused)
        left = [network for network in networks if network.digest not in refused]
        energy, missing = self._spend(left, refused)
        return Serving(
            {digest: ColdStart.of(parts) for digest, parts in starts.items() if digest not in refused},
            {
                digest: tuple(LoadFigures.of(figures["clients"], figures["windows"]) for figures in found)
                for digest, found in load.items()
                if digest not in refused
            },
            energy,
            missing,
        )

    def _start_cold(self, networks: list[Network], refused: dict[str, str]) -> dict[str, list[dict[str, float]]]:
        """The parts of each start, all networks once before any of them is started again."""
        starts: dict[str, list[dict[str, float]]] = {}
        for number in range(self.config.cold_starts if networks else 0):
            self._tell_serving(networks, number, f"cold start {number + 1}")
            for index in np.random.default_rng([self.seed, number]).permutation(len(networks)):
                network = networks[index]
                if network.digest in refused:
                    continue
                result = self._cold(f"cold-{number}-{short(network.digest)}", network)
                refused.update(result["refused"])
                if network.digest not in refused:
                    starts.setdefault(network.digest, []).append(result["parts"])
        return starts

    def _cold(self, name: str, network: Network) -> dict[str, Any]:
        found = self.results.get(name)
        if found is not None:
            return found
        try:
            try:
                result = run_worker(self.job, [network], self.guard, self.cold_worker)
            except WorkerDiedError:
                result = run_worker(self.job, [network], self.guard, self.cold_worker)
        except WorkerDiedError as died:
            if died.digest is None:
                return {"refused": {network.digest: f"No network could be started: the process {died}."}}
            result = {"refused": {network.digest: f"The network {died}."}}
        self.guard()
        self.results.put(name, result)
        return result

    def _load_up(self, networks: list[Network], refused: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
        """Per network the windows of each number of clients, each window in a process of its own."""
        if not networks or not self.config.load_clients:
            return {}
        self._tell_serving(networks, self.config.cold_starts, "concurrent load")
        own = self.results.own_network(TRIVIAL, trivial_model())
        terms = {
            "seconds": self.config.load_seconds,
            "clients": self.config.load_clients,
            "patience_s": self.job["patience_s"] + self.config.load_seconds,
        }
        found: dict[str, list[dict[str, Any]]] = {}
        for number in range(self.config.load_windows):
            alive = [network for network in networks if network.digest not in refused]
            result = self._once(f"load-{number}", "load", own, alive, self._seed(number), terms) if alive else {}
            refused.update(result.get("refused", {}))
            for digest, windows in result.get("load", {}).items():
                found.setdefault(digest, [{"clients": c, "windows": []} for c in self.config.load_clients])
                for figures, window in zip(found[digest], windows, strict=True):
                    figures["windows"].append(window)
        return found

    def _spend(self, networks: list[Network], refused: dict[str, str]) -> tuple[dict[str, Energy], dict[str, str]]:
        """Energy of each network, or why there is no figure; without a sensor no process is started."""
        if not networks:
            return {}, {}
        if not self.config.energy_windows:
            return {}, {network.digest: "benchmark.energy_windows is 0." for network in networks}
        try:
            sensor = sensor_at(self.job["energy"], self.job["powercap"])
        except SensorError as error:
            return {}, {network.digest: str(error) for network in networks}
        self._tell_serving(networks, self.config.cold_starts, "energy")
        own = self.results.own_network(TRIVIAL, trivial_model())
        terms = {
            "seconds": self.config.energy_seconds,
            "patience_s": self.job["patience_s"] + self.config.energy_seconds,
            "waits_s": MOST_WAITS * SENSORS_PATIENCE_S if sensor.slow else 0.0,
        }
        windows: list[dict[str, Any]] = []
        for number in range(self.config.energy_windows):
            alive = [network for network in networks if network.digest not in refused]
            result = self._once(f"energy-{number}", "energy", own, alive, self._seed(number), terms) if alive else {}
            refused.update(result.get("refused", {}))
            windows.append(result)
        found: dict[str, Energy] = {}
        missing: dict[str, str] = {}
        for digest in (network.digest for network in networks if network.digest not in refused):
            try:
                found[digest] = _energy(windows, digest)
            except SensorError as error:
                missing[digest] = str(error)
        return found, missing

    def _seed(self, number: int) -> int:
        """Another one for each process."""
        return int(digest_value([self.seed, number])[:8], 16)

    def _tell_serving(self, networks: list[Network], number: int, text: str) -> None:
        done = len(networks) + self.config.restarts * (1 + EXTRA_ROUNDS)
        self.on_progress(done + number, done + self.config.cold_starts + 1, text)

    def _once(
        self, name: str, kind: str, own: Network, networks: list[Network], seed: int, more: dict[str, Any]
    ) -> dict[str, Any]:
        found = self.results.get(name)
        if found is not None:
            return found
        times = {
            "seconds": self.config.seconds,
            "warmup_seconds": self.config.warmup_seconds,
            "wait_factor": WAIT_FACTOR,
        }
        job = {**self.job, **times, **more, "kind": kind, "seed": seed}
        try:
            result = run_survivors(job, own, networks, self.guard, self.worker)
        except WorkerDiedError as died:
            # Nothing is kept: the machine is at fault, and the next run is to try again.
            return {"refused": {n.digest: f"No network could be measured: the process {died}." for n in networks}}
        self.guard()
        self.results.put(name, result)
        return result


def _energy(windows: list[dict[str, Any]], digest: str) -> Energy:
    """One figure from all processes. SensorError if one of them has none."""
    for window in windows:
        if window["unread"] is not None:
            raise SensorError(window["unread"])
    return Energy.of([window["energy"][digest] for window in windows], windows[-1]["sensor"])
