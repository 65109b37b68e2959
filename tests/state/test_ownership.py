"""One owner per state folder, and an orphan of a dead owner that can publish nothing."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from evernas.errors import OwnershipError
from evernas.state import Guard, Home
from evernas.state.ownership import claim

SPAWN = multiprocessing.get_context("spawn")


PATIENCE_S = 60


def _silent(text: str) -> None:
    pass


def _hold(path: Path, wait_seconds: float = 0) -> None:
    claim(Home(path), wait_seconds, _silent)
    time.sleep(60)


def _fence(path: Path) -> int:
    return int(json.loads((path / "owner.json").read_text())["fence"])


def _owned(path: Path) -> bool:
    """Whether a process has the state folder's lock."""
    with (path / "owner.lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_second_claim_names_the_holder(tmp_path: Path) -> None:
    with claim(Home(tmp_path), 0, _silent), pytest.raises(OwnershipError, match=f"owned by process {os.getpid()}"):
        claim(Home(tmp_path), 0, _silent)


def test_claim_waits_for_the_holder_and_says_so_once(tmp_path: Path) -> None:
    holder = SPAWN.Process(target=_hold, args=(tmp_path,))
    holder.start()
    while not (tmp_path / "owner.json").exists():
        time.sleep(0.02)
    said: list[str] = []

    def free(text: str) -> None:
        said.append(text)
        assert holder.pid is not None
        os.kill(holder.pid, signal.SIGKILL)

    with claim(Home(tmp_path), 30, free) as ownership:
        assert ownership.fence == 2
    holder.join()
    assert len(said) == 1
    assert "waiting" in said[0]


def test_the_lock_of_a_killed_holder_is_free_at_once(tmp_path: Path) -> None:
    holder = SPAWN.Process(target=_hold, args=(tmp_path,))
    holder.start()
    while not (tmp_path / "owner.json").exists():
        time.sleep(0.02)
    holder.kill()
    holder.join()
    claim(Home(tmp_path), 0, _silent).release()


def test_an_orphan_may_not_publish_after_the_next_claim(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = claim(home, 0, _silent)
    orphan = first.guard
    with orphan.publishing():
        pass
    first.release()
    with claim(home, 0, _silent) as second:
        with pytest.raises(OwnershipError, match="fencing number 1"), orphan.publishing():
            raise AssertionError("published under a lost fence")
        with second.guard.publishing():
            pass


def test_the_next_owner_waits_for_a_publication_under_way(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = claim(home, 0, _silent)
    with first.guard.publishing():
        first.release()
        next_owner = SPAWN.Process(target=_hold, args=(tmp_path, PATIENCE_S))
        next_owner.start()
        deadline = time.monotonic() + PATIENCE_S
        while not _owned(tmp_path):
            assert time.monotonic() < deadline, "the next owner did not come for the state folder"
            time.sleep(0.02)
        # It has the folder, and would raise the fence at once if nothing held it off.
        time.sleep(0.5)
        assert _fence(tmp_path) == 1
        first.guard.check()
    while _fence(tmp_path) == 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    next_owner.kill()
    next_owner.join()
    assert _fence(tmp_path) == 2
    with pytest.raises(OwnershipError, match="fencing number 1"):
        first.guard.check()


def test_a_step_without_an_owner_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVERNAS_FENCE", raising=False)
    with pytest.raises(OwnershipError, match="evernas run"):
        Guard.from_environment(Home(tmp_path))
