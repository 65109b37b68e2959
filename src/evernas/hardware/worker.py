"""The measuring process: loads networks, pins itself, times calls or weighs memory; all decisions are its starter's.

Started as `python -m evernas.hardware.worker JOB RESULT CURRENT`: reads the job, writes the result last, and keeps the
digest of the network at hand in CURRENT, so that the starter can tell which one ended the process.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evernas.hardware.devices import environment
from evernas.hardware.energy import Meter, SensorError
from evernas.hardware.measurement import figures_of_calls
from evernas.hardware.memory import above, limited, peak_kb, reset_peak_kb, too_much
from evernas.hardware.reading import RefusedError, cannot_run, read_checked
from evernas.hardware.rounds import Canary, Loaded, cpu_share, take_rounds
from evernas.hardware.runtime import Runtime, example, runtime_named
from evernas.hardware.sensors import sensor_at

MEMORY_CALLS = 20
AGAIN = 0.1
"""After which share of the patience an alarm is set anew."""


class Watch:
    """Ends the process when one stage on one network lasts too long, even inside the runtime's own code."""

    def __init__(self, current: Path, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = os.open(current, os.O_WRONLY | os.O_CREAT, 0o600)
        self._patience_s = patience_s
        self._clock = clock
        self._parent = os.getppid()

    def on(self, digest: str) -> None:
        """A stage on this network begins. The alarm's default action ends the process; no handler could run in time."""
        if os.getppid() != self._parent:
            raise SystemExit("the process that asked for this measurement is gone")
        os.pwrite(self._file, digest.encode(), 0)
        signal.setitimer(signal.ITIMER_REAL, self._patience_s)

    def over(self, digest: str, call: Callable[[], object]) -> Callable[[], None]:
        """`call`, to be made again and again for as long as something else takes: patience is for each one alone.

        The alarm is set anew now and then only, since a system call at each would be measured along.
        """
        self.on(digest)
        began = self._clock()

        def watched() -> None:
            nonlocal began
            if self._clock() - began > self._patience_s * AGAIN:
                self.on(digest)
                began = self._clock()
            call()

        return watched

    def off(self) -> None:
        """No network is at hand."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.ftruncate(self._file, 0)


def load(runtime: Runtime, job: dict[str, Any], model: dict[str, Any]) -> Loaded:
    """A session on bytes whose digest is the recorded one, with a random input. Raises RefusedError with the reason."""
    data = read_checked(model)
    try:
        session = runtime.load(data, job["threads"])
        shape = tuple(model["shape"])
        if len(session.input_shape) != len(shape) or any(
            size not in (0, wanted) for size, wanted in zip(session.input_shape, shape, strict=True)
        ):
            raise RefusedError(f"The network takes inputs of shape {session.input_shape}, the contract says {shape}.")
        loaded = Loaded(session, example(session, shape, job["seed"]))
        loaded.call()
    except RefusedError:
        raise
    except Exception as error:  # noqa: BLE001 - each runtime raises its own kinds, and all mean that it cannot run this
        raise cannot_run(runtime.name, error) from None
    return loaded


def load_all(
    runtime: Runtime, job: dict[str, Any], models: list[dict[str, Any]], watch: Watch
) -> tuple[dict[str, Loaded], dict[str, str]]:
    """The networks by digest, and of those that cannot run the reason."""
    networks: dict[str, Loaded] = {}
    refused: dict[str, str] = {}
    for model in models:
        watch.on(model["digest"])
        try:
            networks[model["digest"]] = load(runtime, job, model)
        except RefusedError as error:
            refused[model["digest"]] = str(error)
    return networks, refused


def measure_latency(runtime: Runtime, job: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """Figures per network: blocks of calls of all networks take turns, each round in another seeded order.

    The first network is the reference. It runs before and after each round and tells whether the machine was at its
    usual speed: on a shared machine a neighbour that cannot be seen from here may halve it for seconds.
    """
    networks, refused = load_all(runtime, job, job["models"], watch)
    gc.disable()
    for digest, network in networks.items():
        watch.on(digest)
        for _ in network.warm_up(job["warmup_seconds"]):
            watch.on(digest)
    reference = job["models"][0]["digest"]
    canary = Canary(networks.pop(reference), job)
    rounds, quiet = take_rounds(networks, canary, reference, job, watch.on)
    watch.off()
    call_ns = {digest: [ns for r in rounds for ns in r.call_ns[digest]] for digest in networks}
    call_ns[reference] = [ns for r in rounds for ns in r.call_ns[reference]]
    return {
        "models": {digest: figures_of_calls(calls) for digest, calls in call_ns.items()},
        "refused": refused,
        "quiet": quiet,
        "rounds": len(rounds),
        "fastest_reference_ms": canary.fastest_ns / 1e6,
        "cpu_share": cpu_share(rounds),
    }


def measure_memory(runtime: Runtime, job: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """Peak resident memory of each network above the runtime's own, which the first (trivial) network brings in."""
    own, *models = job["models"]
    limit_mb = job["max_memory_mb"]
    watch.on(own["digest"])
    kept = [load(runtime, job, own)]
    peaks: dict[str, float] = {}
    refused: dict[str, str] = {}
    for model in models:
        watch.on(model["digest"])
        base_kb = reset_peak_kb()
        try:
            with limited(limit_mb):
                kept.append(load(runtime, job, model))
                for _ in range(MEMORY_CALLS):
                    watch.on(model["digest"])
                    kept[-1].call()
        except RefusedError as error:
            refused[model["digest"]] = too_much(str(error), limit_mb)
            continue
        peak_mb = max(0.0, (peak_kb() - base_kb) / 1000)
        beyond = above(peak_mb, limit_mb)
        if beyond is not None:
            refused[model["digest"]] = beyond
        peaks[model["digest"]] = peak_mb
    watch.off()
    return {"peak_memory_mb": peaks, "refused": refused}


def measure_load(runtime: Runtime, job: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """Per network and number of clients, the figures of one window; all take turns, in a seeded order.

    Clients may use all cores, as behind a server; the session itself keeps to the device's threads.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["allowed_cores"])
    networks, refused = load_all(runtime, job, job["models"][1:], watch)
    turns = [(digest, clients) for digest in sorted(networks) for clients in job["clients"]]
    order = np.random.default_rng(job["seed"])
    windows: dict[str, dict[int, dict[str, float]]] = {digest: {} for digest in networks}
    for index in order.permutation(len(turns)):
        digest, clients = turns[index]
        if digest in refused:
            continue
        watch.on(digest)
        try:
            windows[digest][clients] = networks[digest].under_load(clients, job["seconds"])
        except Exception as error:  # noqa: BLE001 - each runtime raises its own kinds
            refused[digest] = str(cannot_run(runtime.name, error))
    watch.off()
    found = {d: [of[clients] for clients in job["clients"]] for d, of in windows.items() if d not in refused}
    return {"load": found, "refused": refused}


def measure_energy(runtime: Runtime, job: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """Per network the energy of one window above the idle power just before; "unread" says why there is none."""
    networks, refused = load_all(runtime, job, job["models"][1:], watch)
    watch.off()
    windows: dict[str, dict[str, float]] = {}
    order = np.random.default_rng(job["seed"])
    digests = sorted(networks)
    try:
        sensor = sensor_at(job["energy"], job["powercap"])
        meter = Meter(sensor, job["seconds"])
        for index in order.permutation(len(digests)):
            watch.off()
            idle_w = meter.idle_w()
            # A slow sensor may change after longer than a stage may last: the network is at work, and not at fault.
            call = watch.over(digests[index], networks[digests[index]].call)
            windows[digests[index]] = meter.window(call, idle_w)
    except SensorError as error:
        return {"energy": {}, "sensor": None, "unread": str(error), "refused": refused}
    watch.off()
    return {"energy": windows, "sensor": sensor.name, "unread": None, "refused": refused}


def main(arguments: list[str]) -> int:
    """Do one job; the result file appears only when all of it is done."""
    job_file, result_file, current = (Path(argument) for argument in arguments)
    job = json.loads(job_file.read_bytes())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])
    runtime = runtime_named(job["runtime"])
    watch = Watch(current, job["patience_s"])
    before = environment(runtime.name, core=job["cores"][0])
    work = {"latency": measure_latency, "memory": measure_memory, "load": measure_load, "energy": measure_energy}[
        job["kind"]
    ]
    result = work(runtime, job, watch)
    result["cores"] = job["cores"]
    result["environment"] = {"before": before, "after": environment(runtime.name, core=job["cores"][0])}
    result_file.write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
