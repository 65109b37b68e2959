"""What a step costs and whether it still may run: its attempts, seconds and processor seconds, kept while it works."""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evernas.budget import Attempt, Spent
from evernas.errors import EvernasError, OwnershipError
from evernas.state.files import read_json, write_json
from evernas.state.ownership import OWNER_VARIABLE, Guard
from evernas.steps.cpu_time import cpu_seconds

BEAT_SECONDS = 0.5
# The book of costs is written less often: so much a kill may lose of what was spent.
BOOK_SECONDS = 2.0
# How many accelerators this process holds, as whoever placed it says.
ACCELERATORS_VARIABLE = "EVERNAS_ACCELERATORS"
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
            self._record = {"version": 1, "step": step, "device": device, "ref": "", "made": "", "attempts": []}
        self._started = time.monotonic()
        self._accelerators = int(os.environ.get(ACCELERATORS_VARIABLE) or 0)
        self._evaluations, self._cpu_seconds = 0, 0.0
        self._book: Attempt | None = None
        self._book_every_s = BOOK_SECONDS
        began = datetime.now(UTC).isoformat(timespec="seconds")
        self._record["attempts"].append({"pid": os.getpid(), "at": began, "seconds": 0.0, "cpu_seconds": 0.0})
        self._stop = threading.Event()
        self._lock, self._booking = threading.Lock(), threading.Lock()
        self._write()
        threading.Thread(target=self._beat, daemon=True).start()

    def at(self, ref: str) -> None:
        """Name the step's reference as soon as it is known."""
        self._record["ref"] = ref

    def made(self, ref: str) -> None:
        """Note that this run computed the step; otherwise it was re-used."""
        self._record["ref"] = self._record["made"] = ref

    @property
    def ref(self) -> str:
        """The step's reference; empty while it is not known."""
        return str(self._record["ref"])

    @property
    def reused(self) -> bool:
        """Whether this run took the step as it was, instead of computing it."""
        return bool(self.ref) and self._record["made"] != self.ref

    @property
    def attempt(self) -> int:
        """Which attempt at the step in this run this is, from 1."""
        return len(self._record["attempts"])

    def evaluated(self) -> None:
        """Count an architecture that was evaluated anew."""
        with self._lock:
            self._evaluations += 1

    def spent(self) -> Spent:
        """What this attempt has cost up to now."""
        seconds = time.monotonic() - self._started
        with self._lock:
            self._cpu_seconds = max(self._cpu_seconds, cpu_seconds())
            return Spent(self._evaluations, round(self._cpu_seconds, 3), round(seconds * self._accelerators, 3))

    def keep_book(self, book: Attempt, every_s: float) -> None:
        """Write what this attempt costs into the book of costs, from time to time and at the end."""
        self._book, self._book_every_s = book, every_s

    def stopped(self) -> None:
        """Note that the step was stopped before it was done."""
        self._record["stopped"] = True

    @property
    def path(self) -> Path:
        """The file that it is in."""
        return self._path

    def save(self) -> None:
        """Write the cost so far, for a step that reports on itself."""
        self._write()

    def close(self) -> None:
        """Write the final cost; OwnershipError if the account is another run's by now."""
        with self._booking:
            # Within: what the other thread is about to write would stand after what it came to at the end.
            self._stop.set()
            self._write_book(ended=True)
        with self._guard.publishing():
            self._write()

    def _beat(self) -> None:
        owner, booked = os.environ.get(OWNER_VARIABLE), self._started
        while not self._stop.wait(BEAT_SECONDS):
            if time.monotonic() - booked > self._book_every_s:
                booked = time.monotonic()
                with self._booking:
                    if not self._stop.is_set():
                        self._write_book()
            if owner is not None and not _alive(int(owner)):
                # Nobody waits for this step any more, and the next run needs the processors.
                os._exit(ORPHANED)
            try:
                with self._guard.publishing():
                    self._write()
            except OwnershipError:
                # The run goes on under another owner: what this step did not publish is no longer wanted.
                os._exit(ORPHANED)

    def _write_book(self, ended: bool = False) -> None:
        if self._book is None:
            return
        try:
            self._book.write(self.spent(), ended)
        except OwnershipError:
            return
        except (EvernasError, OSError) as error:
            print(f"What this step costs could not be kept, which is tried again: {error}", file=sys.stderr)

    def _write(self) -> None:
        spent = self.spent()
        with self._lock:
            self._record["attempts"][-1].update(
                seconds=round(time.monotonic() - self._started, 3),
                cpu_seconds=spent.cpu_seconds,
                gpu_seconds=spent.gpu_seconds,
                evaluations=spent.evaluations,
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
