"""The process of one locally submitted run: claims the run's folder, runs `evernas run`, and notes how it ended.

Of several jobs for one folder, whoever started them, one runs; the others end at once.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from evernas.state.files import write_json
from evernas.state.runs import now

NAME_VARIABLE = "EVERNAS_SUBMISSION"
TAIL_BYTES = 4096


def main(folder: Path, config: str, home: str) -> int:
    """Run, unless somebody else does or did."""
    # The run inherits it: should this process alone be killed, the run works on, and counts as running until it ends.
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    if (folder / "started.json").exists():
        return 0
    write_json(folder / "started.json", {"version": 1, "pid": os.getpid(), "at": now()})
    output = folder / "run.txt"
    with output.open("wb") as file:
        code = subprocess.call(
            [sys.executable, "-m", "evernas.cli", "run", config, "--home", home],
            env={**os.environ, NAME_VARIABLE: folder.name, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            pass_fds=[lock],
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    write_json(folder / "ended.json", {"version": 1, "exit_code": code, "at": now(), "last_line": _last_line(output)})
    return 0


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:500] if lines else ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
