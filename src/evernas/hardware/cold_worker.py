"""The process whose start is timed: it imports what serving needs and nothing else, and answers once.

Started as `python -m evernas.hardware.cold_worker JOB RESULT CURRENT`, with the job's `spawned_ns` on the monotonic
clock that all processes of a machine share. Reading the job is none of serving's work and is left out of the parts.
"""

import time

began_ns = time.monotonic_ns()

import json  # noqa: E402 - the clock is read before anything is imported
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402


def main(arguments: list[str]) -> int:
    """Answer once with the job's one network; the result has the parts in ms, or "refused" with the reason."""
    job_file, result_file, current = (Path(argument) for argument in arguments)
    job = json.loads(job_file.read_bytes())
    model = job["models"][0]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])
    current.write_text(model["digest"], encoding="ascii")
    signal.setitimer(signal.ITIMER_REAL, job["patience_s"])

    ready_ns = time.monotonic_ns()
    import numpy as np

    from evernas.errors import EvernasError
    from evernas.hardware.reading import RefusedError, cannot_run, read_checked
    from evernas.hardware.runtime import runtime_named

    runtime = runtime_named(job["runtime"])
    runtime.version()
    imported_ns = time.monotonic_ns()
    parts: dict[str, float] = {}
    refused: dict[str, str] = {}
    try:
        session = runtime.load(read_checked(model), job["threads"])
        loaded_ns = time.monotonic_ns()
        session.run(np.zeros((1, *model["shape"]), session.input_type))
        answered_ns = time.monotonic_ns()
        parts = {
            "interpreter_ms": (began_ns - job["spawned_ns"]) / 1e6,
            "import_ms": (imported_ns - ready_ns) / 1e6,
            "load_ms": (loaded_ns - imported_ns) / 1e6,
            "first_ms": (answered_ns - loaded_ns) / 1e6,
        }
    except (RefusedError, EvernasError) as error:
        refused[model["digest"]] = str(error)
    except Exception as error:  # noqa: BLE001 - each runtime raises its own kinds, and all mean that it cannot run this
        refused[model["digest"]] = str(cannot_run(runtime.name, error))
    signal.setitimer(signal.ITIMER_REAL, 0)
    result_file.write_text(json.dumps({"parts": parts, "refused": refused}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
