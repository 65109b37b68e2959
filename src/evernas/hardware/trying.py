"""Whether a runtime can compute here at all, found out in a process of its own: what holds a GPU holds it to its end.

Started as `python -m evernas.hardware.trying RUNTIME`; what it prints, if anything, is the sentence that says why not.
"""

from __future__ import annotations

import subprocess
import sys

from evernas.errors import EvernasError
from evernas.hardware.reading import cannot_run
from evernas.hardware.reference import CHANNELS, LENGTH, trivial_model
from evernas.hardware.runtime import Runtime, runtime_named

COMMAND = (sys.executable, "-m", "evernas.hardware.trying")


def fault_of(runtime: Runtime, command: tuple[str, ...] = COMMAND) -> str | None:
    """Why this runtime cannot run a trivial network here; None if it can."""
    from evernas.hardware.session import environment_of_workers

    try:
        done = subprocess.run(
            [*command, runtime.name],
            capture_output=True,
            text=True,
            check=False,
            timeout=runtime.place.patience_s,
            env=environment_of_workers(),
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"{runtime.name} did not answer to a trivial network within {runtime.place.patience_s:g} s."
    if done.returncode == 0:
        return None
    told = (done.stdout.strip() or done.stderr.strip()).splitlines()
    return told[-1][:1000] if told else f"{runtime.name} ended the process that tried it (exit code {done.returncode})."


def main(name: str) -> int:
    """Run the network once."""
    import numpy as np

    try:
        runtime_named(name).load(trivial_model(), 1).run(np.zeros((1, CHANNELS, LENGTH), np.float32))
    except EvernasError as error:
        print(error)
        return 1
    except Exception as error:  # noqa: BLE001 - each runtime raises its own kinds, and all mean that it cannot run this
        print(cannot_run(name, error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
