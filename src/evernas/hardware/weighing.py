"""What memory a network needs, each weighed in a process that has held no other.

Memory that one network gave back another takes unseen, and what a runtime keeps for one it uses for the next: in one
process the same network weighs otherwise in another order. So each is weighed in a copy of a process that has the
runtime loaded and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

from evernas.hardware.loading import load
from evernas.hardware.memory import above, allocated_kb, give_back, limited, peak_kb, reset_peak_kb, too_much
from evernas.hardware.reading import RefusedError
from evernas.hardware.runtime import Runtime
from evernas.hardware.watch import Watch

MEMORY_CALLS = 20
COPIES = sys.platform == "linux"
"""Elsewhere a copy of a process that uses the system's frameworks may not live: there all are weighed in this one."""


def measure_memory(runtime: Runtime, job: dict[str, Any], watch: Watch) -> dict[str, Any]:
    """Memory of each network above the runtime's own, which the first (trivial) network brings in.

    `peak_memory_mb` is the growth of the resident peak, `allocated_mb` of what the C library has allocated once the
    network was called: weights, activations and the runtime's own records of them.
    """
    runtime.version()  # Imported once, and copied.
    own, *models = job["models"]
    found: dict[str, dict[str, Any]] = {}
    for model in models:
        work = partial(_weigh, runtime, job, own, model, watch)
        found[model["digest"]] = _copied(work, watch, own) if COPIES else work()
    watch.off()
    return {
        name: {digest: of[name] for digest, of in found.items() if of[name] is not None}
        for name in ("peak_memory_mb", "allocated_mb", "refused")
    }


def _weigh(
    runtime: Runtime, job: dict[str, Any], own: dict[str, Any], model: dict[str, Any], watch: Watch
) -> dict[str, Any]:
    limit_mb = job["max_memory_mb"]
    watch.on(own["digest"])
    kept = [load(runtime, job, own)]
    watch.on(model["digest"])
    give_back()
    peak_before, allocated_before = reset_peak_kb(), allocated_kb()
    try:
        with limited(limit_mb):
            kept.append(load(runtime, job, model))
            for _ in range(MEMORY_CALLS):
                watch.on(model["digest"])
                kept[-1].call()
    except RefusedError as error:
        return {"refused": too_much(str(error), limit_mb), "peak_memory_mb": None, "allocated_mb": None}
    peak_mb = max(0.0, (peak_kb() - peak_before) / 1000)
    allocated = allocated_kb()
    grown = None if allocated is None or allocated_before is None else (allocated - allocated_before) / 1000
    return {"refused": above(peak_mb, limit_mb), "peak_memory_mb": peak_mb, "allocated_mb": grown}


def _copied(work: Callable[[], dict[str, Any]], watch: Watch, own: dict[str, Any]) -> dict[str, Any]:
    """What `work` finds in a copy of this process. As the copy ends without an answer, so does this process."""
    watch.on(own["digest"])
    reading, writing = os.pipe()
    copy = os.fork()
    if copy == 0:
        watch.inherited()
        code = 1
        try:
            os.write(writing, json.dumps(work()).encode())
            code = 0
        except BaseException:  # noqa: BLE001 - nothing of the copy may return into what the original goes on with
            traceback.print_exc()
        os._exit(code)
    os.close(writing)
    watch.by_another()
    with os.fdopen(reading, "rb") as answer:
        text = answer.read()
    _, status = os.waitpid(copy, 0)
    if os.WIFSIGNALED(status):
        # What ends a process for want of memory cannot be handled, and has no other action.
        with contextlib.suppress(OSError):
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    if status or not text:
        raise SystemExit(os.waitstatus_to_exitcode(status) or 1)
    document: dict[str, Any] = json.loads(text)
    return document
