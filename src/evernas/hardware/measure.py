"""The measurement protocol: fresh processes, interleaved networks, and a refusal where figures cannot be believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evernas.digest import digest_file, digest_value, short
from evernas.errors import UsageError
from evernas.hardware.assembly import EXTRA_ROUNDS, measurements_of
from evernas.hardware.devices import resolve
from evernas.hardware.measurement import Measurement
from evernas.hardware.recorded import recorded_measurements
from evernas.hardware.reference import reference_model, trivial_model
from evernas.hardware.results import RawResults
from evernas.hardware.runtime import Runtime
from evernas.hardware.session import WORKER, Network, WorkerDiedError, device_to_oneself, run_survivors
from evernas.hardware.windows import all_quiet, best_window, fastest, unstable

if TYPE_CHECKING:
    from evernas.config import BenchmarkConfig, DeviceConfig, ProfileConfig

PROTOCOL = 1
PATIENCE_S = 30.0
WAIT_FACTOR = 3.0
REFERENCE, TRIVIAL = "reference.onnx", "trivial.onnx"


def nothing_to_say(done: int, total: int, text: str) -> None:
    """Progress that nobody follows."""


def nothing_to_guard() -> None:
    """Work that nobody else may claim."""


def measure(
    models: Mapping[str, Path],
    device: DeviceConfig,
    config: BenchmarkConfig,
    folder: Path,
    *,
    champion: str | None,
    channels: int,
    length: int,
    seed: int = 0,
    on_progress: Callable[[int, int, str], None] = nothing_to_say,
    guard: Callable[[], None] = nothing_to_guard,
    patience_s: float = PATIENCE_S,
    worker: tuple[str, ...] = WORKER,
) -> dict[str, Measurement]:
    """What each network costs on the device, by digest; a network that cannot be measured is refused with the reason.

    `models` maps the recorded digest to the file; `champion` is one of the digests, or None. Each network is weighed
    in a process of its own, which also shows that it runs at all; then `config.restarts` processes time all networks
    in turns. A fixed reference network runs in between; what was timed while it was slowed down is set aside. While one
    network varies by more than `config.max_variation` over the last restarts, or one of these was disturbed, one more
    process is started, up to twice as many again. Raw results go to `folder` as they come and are read back from it.
    `guard` is called before each of them is written. A call that lasts longer than `patience_s` ends its process.

    Raises UsageError when the device cannot be measured here, or `champion` is not among the models.
    """
    if champion is not None and champion not in models:
        raise UsageError(f"The champion {short(champion)} is not among the networks to measure: add it.")
    if device.recorded is not None:
        return recorded_measurements(models, device)
    runtime = resolve(device)
    work = work_of(models, device, runtime, config, (channels, length), seed)
    job = {"runtime": device.runtime, "threads": device.threads, "patience_s": patience_s}
    bench = _Bench(config, RawResults(folder, digest_value(work)), job, seed, on_progress, guard, worker)
    refused, networks = _check_files(models, (channels, length))
    with device_to_oneself(guard):
        memory = bench.weigh(networks, refused)
        restarts = bench.restart_until_stable(networks, refused)
    blank = {digest: Measurement(digest, device.name, device.runtime) for digest in models}
    return measurements_of(blank, models, refused, memory, restarts, config, champion)


def work_of(
    models: Mapping[str, Path],
    device: DeviceConfig,
    runtime: Runtime,
    config: BenchmarkConfig | ProfileConfig,
    shape: tuple[int, int],
    seed: int,
) -> dict[str, Any]:
    """All that raw results depend on, `models` by digest; its digest is their key."""
    return {
        "protocol": PROTOCOL,
        "models": sorted(models),
        "runtime": [device.runtime, runtime.version(), device.threads],
        "config": config.model_dump(mode="json"),
        "shape": list(shape),
        "seed": seed,
    }


@dataclass(frozen=True)
class _Bench:
    config: BenchmarkConfig
    results: RawResults
    job: dict[str, Any]
    seed: int
    on_progress: Callable[[int, int, str], None]
    guard: Callable[[], None]
    worker: tuple[str, ...]

    def weigh(self, networks: list[Network], refused: dict[str, str]) -> dict[str, float]:
        """Peak memory in MB of each network, a process each. What does not run is added to `refused`."""
        own = self.results.own_network(TRIVIAL, trivial_model())
        memory: dict[str, float] = {}
        total = len(networks) + self.config.restarts
        for number, network in enumerate(networks):
            self.on_progress(number, total, "memory")
            result = self._once(f"memory-{short(network.digest)}", "memory", own, [network], self.seed, {})
            refused.update(result["refused"])
            memory.update(result.get("peak_memory_mb", {}))
        return memory

    def restart_until_stable(self, networks: list[Network], refused: dict[str, str]) -> list[dict[str, Any]]:
        """The figures of the restarts to report, all networks in each. What ends its process is added to `refused`."""
        own = self.results.own_network(REFERENCE, reference_model())
        wanted, limit = self.config.restarts, self.config.max_variation
        most = wanted * (1 + EXTRA_ROUNDS)
        restarts: list[dict[str, Any]] = []
        while True:
            alive = [network for network in networks if network.digest not in refused]
            digests = [network.digest for network in alive]
            chosen = best_window(restarts, wanted, digests, limit)
            settled = len(chosen) == wanted and all_quiet(chosen, restarts) and not unstable(chosen, digests, limit)
            if not alive or settled or len(restarts) == most:
                return chosen
            number = len(restarts)
            again = " again: the device was not steady" if number >= wanted else ""
            total = len(networks) + max(wanted, number + 1)
            self.on_progress(len(networks) + number, total, f"restart {number + 1}{again}")
            seed = int(digest_value([self.seed, number])[:8], 16)
            result = self._once(f"restart-{number}", "latency", own, alive, seed, fastest(restarts))
            refused.update(result["refused"])
            if "models" in result:
                restarts.append({**result, "reference": own.digest})

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


def _check_files(models: Mapping[str, Path], shape: tuple[int, int]) -> tuple[dict[str, str], list[Network]]:
    """Refusals for the files whose bytes are not the recorded ones, and the networks to measure."""
    refused: dict[str, str] = {}
    networks: list[Network] = []
    for digest in sorted(models):
        path = models[digest]
        try:
            found = digest_file(path)
        except OSError as error:
            refused[digest] = f"The file {path} cannot be read ({error.strerror})."
            continue
        if found == digest:
            networks.append(Network(digest, path.absolute(), shape))
        else:
            refused[digest] = (
                f"The file {path} has the digest {short(found)}, not the recorded {short(digest)}: it was changed "
                "after it was logged, and was not loaded."
            )
    return refused, networks
