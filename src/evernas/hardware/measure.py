"""The measurement protocol: fresh processes, interleaved networks, and a refusal where figures cannot be believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evernas.digest import digest_file, digest_value, short
from evernas.errors import UsageError
from evernas.hardware.assembly import measurements_of, steady
from evernas.hardware.bench import Bench
from evernas.hardware.devices import resolve
from evernas.hardware.measurement import Measurement
from evernas.hardware.recorded import recorded_measurements
from evernas.hardware.results import RawResults
from evernas.hardware.runtime import Runtime
from evernas.hardware.session import COLD_WORKER, WORKER, Network, device_to_oneself

if TYPE_CHECKING:
    from evernas.config import BenchmarkConfig, DeviceConfig, ProfileConfig

PROTOCOL = 4


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
    shape: tuple[int, ...],
    seed: int = 0,
    on_progress: Callable[[int, int, str], None] = nothing_to_say,
    guard: Callable[[], None] = nothing_to_guard,
    patience_s: float | None = None,
    worker: tuple[str, ...] = WORKER,
    cold_worker: tuple[str, ...] = COLD_WORKER,
) -> dict[str, Measurement]:
    """What each network costs on the device, by digest; a network that cannot be measured is refused with the reason.

    `models` maps the recorded digest to the file, which takes samples of `shape`, channels first; `champion` is one of
    the digests, or None. Each network is weighed in a process of its own, which also shows that it runs at all; then
    `config.restarts` processes time all networks in turns. A fixed reference network runs in between; what was timed
    while it was slowed down is set aside. While one network varies by more than `config.max_variation` over the last
    restarts, or one of these was disturbed or had a processor for less of its time than `config.min_cpu_share`, one
    more process is started, up to twice as many again. Those that are steady are then started cold, and tried under
    concurrent load. Raw results go to `folder` as they come and are read back from it; `guard` is called before each of
    them is written. A stage on a network that lasts longer than `patience_s`, or than the
    runtime's own patience, ends its process.

    Raises UsageError when the device cannot be measured here, or `champion` is not among the models.
    """
    if champion is not None and champion not in models:
        raise UsageError(f"The champion {short(champion)} is not among the networks to measure: add it.")
    if device.recorded is not None:
        return recorded_measurements(models, device)
    runtime = resolve(device)
    work = work_of(models, device, runtime, config, shape, seed)
    job: dict[str, Any] = {
        "runtime": device.runtime,
        "threads": device.threads,
        "patience_s": patience_s or runtime.place.patience_s,
        "powercap": device.powercap,
        "energy": device.sensor,
    }
    bench = Bench(config, RawResults(folder, digest_value(work)), job, seed, on_progress, guard, worker, cold_worker)
    refused, networks = _check_files(models, shape)
    with device_to_oneself(guard):
        memory = bench.weigh(networks, refused)
        restarts = bench.restart_until_stable(networks, refused)
        serving = bench.serve(steady(networks, refused, restarts, config), refused)
    blank = {digest: Measurement(digest, device.name, device.runtime) for digest in models}
    return measurements_of(blank, models, refused, memory, restarts, serving, config, champion)


def work_of(
    models: Mapping[str, Path],
    device: DeviceConfig,
    runtime: Runtime,
    config: BenchmarkConfig | ProfileConfig,
    shape: tuple[int, ...],
    seed: int,
) -> dict[str, Any]:
    """All that raw results depend on, `models` by digest; its digest is their key."""
    return {
        "protocol": PROTOCOL,
        "models": sorted(models),
        "runtime": [device.runtime, runtime.version(), device.threads],
        "powercap": device.powercap,
        "energy": device.sensor,
        "config": config.model_dump(mode="json"),
        "shape": list(shape),
        "seed": seed,
    }


def _check_files(models: Mapping[str, Path], shape: tuple[int, ...]) -> tuple[dict[str, str], list[Network]]:
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
