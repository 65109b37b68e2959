"""Submitting runs on this machine: each as a process of its own that outlives the receiver, known by its folder."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from functools import cached_property
from pathlib import Path

from evernas.errors import EXIT_DATA_REFUSED, EXIT_DONE, EXIT_USAGE, IntegrityError
from evernas.state.files import read_json
from evernas.triggers.submission import Found, Submitter, UnavailableError

START_S = 30.0
# A further attempt would meet the same data and the same config.
FINAL = (EXIT_USAGE, EXIT_DATA_REFUSED)


def submissions(home: Path, project: str) -> Path:
    """The folder of a project's submitted runs."""
    return home / "projects" / project / "submissions"


class LocalSubmitter(Submitter):
    """Runs `evernas run` through `evernas.triggers.job`; while one of them lives, the run's folder is locked."""

    def __init__(self, config: Path, home: Path, project: str) -> None:
        self._config = config
        self._home = home
        self._folder = submissions(home, project)

    def find(self, name: str) -> Found | None:
        folder = self._folder / name
        for _ in range(2):
            if (folder / "ended.json").exists():
                return _ended(name, folder)
            if not (folder / "started.json").exists():
                return None
            if _alive(folder):
                return Found(name, "running")
            # It may have ended between the two looks.
        return Found(name, "failed", "its process was killed")

    def submit(self, name: str) -> str:
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "evernas.triggers.job", str(folder), str(self._config), str(self._home)]
        with (folder / "log.txt").open("ab") as log:
            # A session of its own: signals for the receiver's group do not reach it, and it lives on without us.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, close_fds=True
            )
        deadline = time.monotonic() + START_S
        while not (folder / "started.json").exists():
            if time.monotonic() > deadline or process.poll() is not None:
                raise UnavailableError(f"The run {name} did not start: {folder / 'log.txt'} has its output.")
            time.sleep(0.02)
        return name

    def version(self) -> str:
        return self._version

    @cached_property
    def _version(self) -> str:
        """The interpreter and all installed packages: where evernas runs in an image, a new one changes them."""
        from importlib.metadata import distributions

        from evernas import __version__
        from evernas.digest import digest_value, short

        packages = sorted({f"{one.name} {one.version}" for one in distributions()})
        return f"evernas {__version__} {short(digest_value([sys.version, packages]))}"


def _ended(name: str, folder: Path) -> Found:
    try:
        ended = read_json(folder / "ended.json")
        code = int(ended["exit_code"])
    except (IntegrityError, KeyError, ValueError):
        return Found(name, "failed", f"{folder / 'ended.json'} cannot be read")
    if code == EXIT_DONE:
        return Found(name, "succeeded")
    reason = f"`evernas run` ended with {code}: {ended.get('last_line', '')}"
    return Found(name, "refused" if code in FINAL else "failed", reason)


def _alive(folder: Path) -> bool:
    """Whether the job of this folder, or its run, lives: they hold the lock until they die, however they die."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
