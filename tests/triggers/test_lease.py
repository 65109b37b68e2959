"""Of all runs of a project one works: claims race, holders die, and an old holder publishes nothing more."""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from evernas.errors import OwnershipError
from evernas.state import Home
from evernas.state.ownership import claim
from evernas.storage import FileStorage
from evernas.triggers.lease import CLOCK_S, Leases, leases_of


class Clock:
    """A clock that a test turns."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(tmp_path: Path, clock: Clock) -> Leases:
    return Leases(FileStorage(tmp_path), "lease/", clock)


def test_second_run_does_not_get_the_lease_until_the_first_releases_it(leases: Leases) -> None:
    first = leases.claim("a")
    assert first is not None
    assert leases.claim("b") is None
    first.release()
    second = leases.claim("b")
    assert second is not None
    assert second.number == first.number + 1
    with pytest.raises(OwnershipError, match="another run works"):
        first.check()


def test_lease_is_taken_over_after_its_deadline_and_not_before(leases: Leases, clock: Clock) -> None:
    first = leases.claim("a", term_s=100)
    assert first is not None
    clock.now += 90
    first.renew()
    clock.now += 100 + CLOCK_S
    assert leases.claim("b") is None, "renewed, and clocks may differ"
    clock.now += 1
    assert leases.claim("b") is not None
    with pytest.raises(OwnershipError):
        first.renew()
    with pytest.raises(OwnershipError):
        leases.join("a")


def test_late_renewal_by_the_old_holder_does_not_prolong_the_new_one(leases: Leases, clock: Clock) -> None:
    first = leases.claim("a", term_s=1)
    assert first is not None
    clock.now += 100
    second = leases.claim("b", term_s=10)
    assert second is not None
    leases.note(first, released=True)
    current = leases.current()
    assert current is not None
    assert (current.holder, current.released) == ("b", False)


def test_run_that_claims_again_fences_off_what_is_left_of_itself(leases: Leases) -> None:
    orphan = leases.claim("a")
    again = leases.claim("a")
    assert orphan is not None
    assert again is not None
    again.check()
    assert leases.join("a").number == again.number
    with pytest.raises(OwnershipError):
        orphan.check()


def test_numbers_are_never_given_twice_and_old_claims_are_forgotten(leases: Leases, tmp_path: Path) -> None:
    numbers = []
    for _ in range(10):
        lease = leases.claim("a")
        assert lease is not None
        numbers.append(lease.number)
        lease.release()
    assert numbers == list(range(1, 11))
    assert len(list(tmp_path.rglob("*.claimed"))) <= 4


def _race(folder: Path, barrier: Any, won: Any) -> None:
    barrier.wait()
    won.put(Leases(FileStorage(folder)).claim(str(os.getpid())) is not None)


def test_of_many_processes_that_claim_at_once_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, won = context.Barrier(8), context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path, barrier, won)) for _ in range(8)]
    for racer in racers:
        racer.start()
    outcomes = [won.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
    assert sorted(outcomes) == [False] * 7 + [True]


def test_of_many_threads_that_claim_at_once_one_wins_every_time(tmp_path: Path) -> None:
    for turn in range(40):
        leases = Leases(FileStorage(tmp_path / str(turn)))
        with ThreadPoolExecutor(8) as pool:
            won = [lease for lease in pool.map(leases.claim, map(str, range(8))) if lease is not None]
        assert len(won) == 1


def test_first_step_ends_at_once_and_is_remembered_while_another_run_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evernas.config import load_config
    from evernas.steps.launch import launch
    from place import EXAMPLE

    home, config = Home(tmp_path), load_config(EXAMPLE)
    leases = leases_of(home, config.project)
    working = leases.claim("workflow-of-somebody-else")
    assert working is not None
    monkeypatch.setenv("EVERNAS_SUBMISSION", "watch-123-1")
    with claim(home, 0, lambda text: None) as ownership:
        for name, value in ownership.environment().items():
            monkeypatch.setenv(name, value)
        document = json.dumps(config.model_dump(mode="json"))
        assert launch("ingest", home=str(tmp_path), run="r", config=document) == "nothing-new"
    assert "workflow-of-somebody-else" in (home.run("r") / "deferred.json").read_text()
    assert not (home.run("r") / "run.json").exists(), "nothing was pinned"
    assert leases.deferred() == ["watch-123-1"]
    working.check()


def test_publication_fails_once_another_run_holds_the_lease(tmp_path: Path) -> None:
    from evernas.steps.leased import LeasedGuard

    home = Home(tmp_path)
    leases = leases_of(home, "watch")
    lease = leases.claim("a")
    assert lease is not None
    with claim(home, 0, lambda text: None) as ownership:
        guard = LeasedGuard(home, ownership.fence, lease)
        with guard.publishing():
            pass
        leases.end("a")
        assert leases.claim("b") is not None
        with pytest.raises(OwnershipError, match="another run works"), guard.publishing():
            raise AssertionError("nothing may be published")
