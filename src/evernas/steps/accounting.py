"""What a step costs and whether it still may run: its attempts, seconds and processor seconds, kept while it works."""

from __future__ import annotations

import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

from evernas.errors import OwnershipError
from evernas.state.files import read_json, write_json
from evernas.state.ownership import OWNER_VARIABLE, Guard

BEAT_SECONDS = 0.5
ORPHANED = 70


def record_path(run_folder: Path, step: str, device: str | None) -> Path:
    """Where a run keeps the account of a step."""
    return run_folder / "steps" / (f"{step}.json" if device is None else f"{step}@{device}.json")


class Account:
    """The account of one step in one run; a killed attempt counts up to its last heartbeat."""

    def __init__(self, run_folder: Path, step: str, device: str | None, guard: Guard) -> None:
        self._guard = guard
        self._path = record_path(run_folder, step, device)
        if self._path.exists():
            self._record: dict[str, Any] = read_json(self._path)
        else:
            self._record = {"step": step, "device": device, "ref": "", "made": "", "attempts": []}
        self._started = time.monotonic()
        self._record["attempts"].append({"pid": os.getpid(), "seconds": 0.0, "cpu_seconds": 0.0})
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._write()
        threading.Thread(target=self._beat, daemon=True).start()

    def at(self, ref: str) -> None:
        """Name the step's reference as soon as it is known."""
        self._record["ref"] = ref

    def made(self, ref: str) -> None:
        """Note that this run computed the step; otherwise it was re-used."""
        self._record["ref"] = self._record["made"] = ref

    @property
    def path(self) -> Path:
        """The file that it is in."""
        return self._path

    def save(self) -> None:
        """Write the cost so far, for a step that reports on itself."""
        self._write()

    def close(self) -> None:
        """Write the final cost; OwnershipError if the account is another run's by now."""
        self._stop.set()
        with self._guard.publishing():
            self._write()

    def _beat(self) -> None:
        owner = os.environ.get(OWNER_VARIABLE)
        while not self._stop.wait(BEAT_SECONDS):
            if owner is not None and not _alive(int(owner)):
                # Nobody waits for this step any more, and the next run needs the processors.
                os._exit(ORPHANED)
            try:
                with self._guard.publishing():
                    self._write()
            except OwnershipError:
                # The run goes on under another owner: what this step did not publish is no longer wanted.
                os._exit(ORPHANED)

    def _write(self) -> None:
        with self._lock:
            self._record["attempts"][-1].update(
                seconds=round(time.monotonic() - self._started, 3), cpu_seconds=round(_cpu_seconds(), 3)
            )
            write_json(self._path, self._record)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in usage)
