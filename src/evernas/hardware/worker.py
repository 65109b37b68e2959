"""The measuring process: loads networks, pins itself, times calls or weighs memory; all decisions are its starter's.

Started as `python -m evernas.hardware.worker JOB RESULT CURRENT`: reads the job, writes the result last, and keeps the
digest of the network at hand in CURRENT, so that the starter can tell which one ended the process.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evernas.hardware.devices import environment
from evernas.hardware.energy import Meter, SensorError
from evernas.hardware.loading import load_all
from evernas.hardware.measurement import figures_of_calls
from evernas.hardware.reading import cannot_run
from evernas.hardware.rounds import Canary, Loaded, cpu_share, settle, take_rounds
from evernas.hardware.runtime import Runtime, runtime_named
from evernas.hardware.sensors import sensor_at
from evernas.hardware.watch import Watch
from evernas.hardware.weighing import measure_memory


def measure_latency(runtime: Runtime, job: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """Figures per network: blocks of calls of all networks take turns, each round in another seeded order.

    The first network is the reference. It runs before and after each round and tells whether the machine was at its
    usual speed: on a shared machine a neighbour that cannot be seen from here may halve it for seconds.
    """
    networks, refused = load_all(runtime, job, job["models"], watch)
    reference = job["models"][0]["digest"]
    if reference in refused:
        # It runs wherever networks run: the machine is at fault.
        watch.off()
        raise SystemExit(refused[reference])
    gc.disable()
    settle(networks[reference].call, runtime.place.settles_s, partial(watch.over, reference))
    for digest, network in networks.items():
        watch.on(digest)
        for _ in network.warm_up(job["warmup_seconds"]):
            watch.on(digest)
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


def measure_load(runtime: Runtime, job: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """Per network and number of clients, the figures of one window; all take turns, in a seeded order.

    Clients may use all cores, as behind a server; the session itself keeps to the device's threads.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["allowed_cores"])
    networks, refused = load_all(runtime, job, job["models"][1:], watch)
    _settle_by_any(runtime, networks, watch)
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
    _settle_by_any(runtime, networks, watch)
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


def _settle_by_any(runtime: Runtime, networks: dict[str, Loaded], watch: Watch) -> None:
    for digest in sorted(networks)[:1]:
        settle(networks[digest].call, runtime.place.settles_s, partial(watch.over, digest))


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
