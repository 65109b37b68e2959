"""One owner per state folder: a lock that dies with its holder, and a fencing number checked at every publication."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from evernas.errors import OwnershipError
from evernas.state.files import write_json
from evernas.state.home import Home

FENCE_VARIABLE = "EVERNAS_FENCE"
OWNER_VARIABLE = "EVERNAS_OWNER_PID"


@dataclass(frozen=True)
class Guard:
    """Proof of ownership that a step carries: the fencing number under which its run was started.

    A kill of the owner frees the lock at once, but a step that it started may live on. The next owner raises the
    number, so that such an orphan can publish nothing more.
    """

    home: Home
    fence: int

    @classmethod
    def from_environment(cls, home: Home) -> Guard:
        """The guard of the run that started this process; OwnershipError when none did."""
        value = os.environ.get(FENCE_VARIABLE)
        if value is None:
            raise OwnershipError(
                f"{FENCE_VARIABLE} is not set: steps are started by `evernas run`, which owns {home.path}."
            )
        return cls(home, int(value))

    def check(self) -> None:
        """OwnershipError if another run has taken the state folder."""
        current = _read_fence(self.home.path)
        if current != self.fence:
            raise OwnershipError(
                f"This step was started under fencing number {self.fence}, but {self.home.path} is now "
                f"owned under {current}: another run goes on from here, this one stops."
            )

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Hold off the next owner while something becomes visible; OwnershipError if there is one already."""
        with exclusive(self.home.path / "publish.lock"):
            self.check()
            yield


class Ownership:
    """Ownership of a state folder by this process, from `claim` to `release` or to the death of the process."""

    def __init__(self, home: Home, handle: int, fence: int) -> None:
        self.home = home
        self.fence = fence
        self._handle = handle

    @property
    def guard(self) -> Guard:
        return Guard(self.home, self.fence)

    def environment(self) -> dict[str, str]:
        """What a step needs in its environment to publish for this owner."""
        return {"EVERNAS_HOME": str(self.home.path), FENCE_VARIABLE: str(self.fence), OWNER_VARIABLE: str(os.getpid())}

    def release(self) -> None:
        os.close(self._handle)

    def __enter__(self) -> Ownership:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def claim(home: Home, wait_seconds: float, on_wait: Callable[[str], None], command: str | None = None) -> Ownership:
    """Own the state folder. While another run holds it, say who (once) and wait; OwnershipError when time is up.

    `command` is what is noted of this process, for others to be told; its own command line if not given.
    """
    home.path.mkdir(parents=True, exist_ok=True)
    handle = os.open(home.path / "owner.lock", os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + wait_seconds
    said = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            holder = describe_owner(home)
            if time.monotonic() >= deadline:
                os.close(handle)
                raise OwnershipError(f"{home.path} is owned by {holder}: wait until it ends, or stop it.") from None
            if not said:
                on_wait(f"{home.path} is owned by {holder}; waiting for it to end.")
                said = True
            time.sleep(0.2)
    with exclusive(home.path / "publish.lock"):
        fence = _read_fence(home.path) + 1
        write_json(
            home.path / "owner.json",
            {
                "version": 1,
                "fence": fence,
                "pid": os.getpid(),
                "command": " ".join(sys.argv) if command is None else command,
                "since": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )
    return Ownership(home, handle, fence)


def owned(home: Home) -> bool:
    """Whether a living process owns the state folder."""
    try:
        handle = os.open(home.path / "owner.lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that others who ask at the same moment are not taken for owners.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def describe_owner(home: Home) -> str:
    """The last owner in words, for a message."""
    try:
        owner = json.loads((home.path / "owner.json").read_text())
        return f"process {owner['pid']} since {owner['since']} ({owner['command']})"
    except (OSError, ValueError, KeyError):
        return "another process"


def _read_fence(path: Path) -> int:
    try:
        return int(json.loads((path / "owner.json").read_text())["fence"])
    except FileNotFoundError:
        return 0


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file; whoever else wants it waits until this block, or the process, ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
