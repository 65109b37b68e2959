"""Keeping what a step at work has come to in the bucket, so that an attempt after it goes on from there."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from evernas.errors import EvernasError, OwnershipError
from evernas.state.bucket_steps import WORK, BucketSteps, unfinished
from evernas.storage import LARGE_BYTES

EVERY_S = 15.0
# Where the step measures this machine, each time is a disturbance.
MEASURING_EVERY_S = 60.0
# Files that grow line by line; all others are replaced whole.
GROWING = ".jsonl"


class Keeper:
    """Publishes the files of unfinished steps that changed since it last did."""

    def __init__(self, steps: BucketSteps) -> None:
        self._steps = steps
        self._kept: dict[Path, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def keep(self) -> None:
        """Publish what is new. OwnershipError once another run has taken the project."""
        with self._lock:
            for ref, folder in unfinished(self._steps).items():
                self._keep(ref, folder)

    def _keep(self, ref: str, folder: Path) -> None:
        changed = {path: seen for path in _files(folder) if (seen := _seen(path)) != self._kept.get(path)}
        # What grows is read last and written first: it then holds all that the other files rest on.
        order = sorted(changed, key=lambda path: (path.suffix == GROWING, path))
        with ExitStack() as files:
            read = [(path, _as_it_is(path, files)) for path in order]
            for path, held in reversed(read):
                key = f"{ref}/{WORK}/{path.relative_to(folder).as_posix()}"
                if isinstance(held, bytes):
                    self._steps.storage.write(key, held)
                else:
                    self._steps.storage.write_file(key, held)
                self._kept[path] = changed[path]


@contextmanager
def keeping(keep: Callable[[], None], every_s: float = EVERY_S) -> Iterator[None]:
    """Call `keep` from time to time while the step works, and at once when it is stopped or fails.

    What fails for now is said, and tried again the next time. Once another run has taken the project, this process gets
    SIGTERM.
    """
    stop = threading.Event()

    def keep_on() -> None:
        while not stop.wait(every_s):
            try:
                _try(keep)
            except OwnershipError as error:
                # What the step works for is another run's by now: the main thread ends as if it were asked to.
                print(error, file=sys.stderr)
                os.kill(os.getpid(), signal.SIGTERM)
                return

    thread = threading.Thread(target=keep_on, name="keeping", daemon=True)
    try:
        thread.start()
        yield
    except OwnershipError:
        raise
    except BaseException:
        _try(keep)
        raise
    finally:
        stop.set()
        if thread.is_alive():
            thread.join()


def _try(keep: Callable[[], None]) -> None:
    try:
        keep()
    except OwnershipError:
        raise
    except (EvernasError, OSError) as error:
        print(f"What this step has come to could not be kept: {error}", file=sys.stderr)


def _as_it_is(path: Path, files: ExitStack) -> bytes | BinaryIO:
    """What a file holds now. A large one that is replaced whole is opened: what was opened stays as it is."""
    if path.suffix == GROWING or path.stat().st_size <= LARGE_BYTES:
        return path.read_bytes()
    return files.enter_context(path.open("rb"))


def _files(folder: Path) -> list[Path]:
    """All files below a folder, without writes under way."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _seen(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_mtime_ns, about.st_size
