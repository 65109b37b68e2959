"""Of all runs of a project one works: claims race, holders die, and an old holder publishes nothing more."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from evernas.errors import EvernasError, OwnershipError, UsageError
from evernas.state import Home
from evernas.state.ownership import claim
from evernas.steps.leased import LeasedGuard, ending_on_failure, release, renewing
from evernas.storage import FileStorage
from evernas.triggers.lease import SLACK_S, Lease, Leases, leases_of


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    return Leases(FileStorage(tmp_path), "lease/")


def _pass(folder: Path, seconds: float) -> None:
    """Let time pass for all that lies in a folder."""
    for path in folder.rglob("*"):
        written = path.stat().st_mtime - seconds
        os.utime(path, (written, written))


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


def test_lease_is_taken_over_after_its_term_and_not_before(leases: Leases, tmp_path: Path) -> None:
    first = leases.claim("a", term_s=100)
    assert first is not None
    _pass(tmp_path, 90)
    first.renew()
    _pass(tmp_path, 99 + SLACK_S)
    assert leases.claim("b") is None, "renewed, and a storage's clocks may differ"
    _pass(tmp_path, 2)
    assert leases.claim("b") is not None
    with pytest.raises(OwnershipError):
        first.renew()
    with pytest.raises(OwnershipError):
        leases.join("a")


def test_clock_of_a_machine_that_is_days_off_takes_nothing_and_keeps_nothing(
    leases: Leases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    assert leases.claim("a") is not None
    monkeypatch.setattr(time, "time", lambda: now() + 3 * 86400)
    assert leases.claim("b") is None
    _pass(tmp_path, 86400)
    ahead = leases.claim("b")
    assert ahead is not None
    ahead.renew()
    monkeypatch.setattr(time, "time", lambda: now() - 3 * 86400)
    assert leases.claim("c") is None
    _pass(tmp_path, 86400)
    assert leases.claim("c") is not None


def test_late_renewal_by_the_old_holder_does_not_prolong_the_new_one(leases: Leases, tmp_path: Path) -> None:
    first = leases.claim("a", term_s=1)
    assert first is not None
    _pass(tmp_path, 100)
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


def test_second_execution_of_a_run_ends_at_once_and_a_step_that_is_started_again_does_not(
    leases: Leases, tmp_path: Path
) -> None:
    """KFP can be left with two runs of one name, where the answer to the first submission was lost."""
    first = leases.claim("watch-1-1", execution="a")
    assert first is not None
    assert leases.claim("watch-1-1", execution="b") is None
    first.check()
    again = leases.claim("watch-1-1", execution="a")
    assert again is not None
    leases.join("watch-1-1").renew()
    assert leases.claim("watch-1-1", execution="b") is None
    leases.defer("watch-1-1")
    release(again, done=True)
    assert leases.deferred() == [], "the first has done the work of both"
    assert leases.claim("watch-1-1", execution="b") is not None


def test_numbers_are_never_given_twice_and_old_claims_are_forgotten(leases: Leases, tmp_path: Path) -> None:
    numbers = []
    for _ in range(10):
        lease = leases.claim("a")
        assert lease is not None
        numbers.append(lease.number)
        lease.release()
    assert numbers == list(range(1, 11))
    assert len(list(tmp_path.rglob("*.claimed"))) <= 4


def test_claimant_that_was_stopped_since_it_looked_does_not_get_a_number_that_was_given(leases: Leases) -> None:
    """It was stopped before it created its key, and that number has been given and forgotten meanwhile."""
    looked = leases.current()
    for _ in range(5):
        lease = leases.claim("others")
        assert lease is not None
        lease.release()
    late = Leases(leases._storage, "lease/")
    late.current = lambda: looked  # type: ignore[method-assign]
    assert late.claim("late") is None
    assert leases.newest() == 5


def test_lease_of_the_version_before_this_one_is_understood(leases: Leases, tmp_path: Path) -> None:
    path = tmp_path / "lease" / "claims" / f"{7:012d}.claimed"
    path.parent.mkdir(parents=True)
    document = {"version": 1, "holder": "a", "token": "t", "released": True, "deadline": 1e9}
    path.write_text(json.dumps(document))
    claimed = leases.claim("b")
    assert claimed is not None
    assert claimed.number == 8


@pytest.mark.parametrize(
    "document",
    [
        b"\xff",
        b"[]",
        b"[" * 5000,
        b'{"version": 2}',
        b'{"version": "2"}',
        b'{"version": 2, "holder": "a", "token": "b", "term_s": [], "released": false}',
        b'{"version": 2, "holder": "a", "token": "b", "term_s": 1%s, "released": false}' % (b"0" * 400),
        b'{"version": 2, "holder": "a", "token": "b", "term_s": Infinity, "released": false}',
        b'{"version": 2, "holder": "a", "token": "b", "term_s": 0, "released": false}',
        b" " * 70_000,
    ],
)
def test_claim_that_none_of_ours_wrote_is_refused(leases: Leases, tmp_path: Path, document: bytes) -> None:
    FileStorage(tmp_path).write("lease/claims/000000000001.claimed", document)
    with pytest.raises(EvernasError, match="remove it"):
        leases.is_free()


def test_numbers_go_on_beyond_those_that_keys_are_filled_up_for(leases: Leases, tmp_path: Path) -> None:
    document = {"version": 2, "holder": "a", "token": "t", "released": True}
    FileStorage(tmp_path).write(f"lease/claims/{10**12 - 1}.claimed", json.dumps(document).encode())
    for number in (10**12, 10**12 + 1):
        claimed = leases.claim("b")
        assert claimed is not None
        assert claimed.number == number
        claimed.release()


@pytest.mark.parametrize("name", ["x.claimed", "9.claimed", "a/000000000009.claimed", "000000000009.claimed.bak"])
def test_key_that_no_claim_has_is_none(leases: Leases, tmp_path: Path, name: str) -> None:
    assert leases.claim("a") is not None
    FileStorage(tmp_path).write(f"lease/claims/{name}", b"{}")
    current = leases.current()
    assert current is not None
    assert current.number == 1


def test_claim_that_a_killed_run_left_is_ended_from_its_own_state_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERNAS_LEASE", f"file://{tmp_path / 'shared'}")
    first, second = Home(tmp_path / "first"), Home(tmp_path / "second")
    assert leases_of(first, "watch").claim("killed") is not None
    shutil.copytree(first.path, second.path)
    leases_of(second, "watch").end_left()
    assert leases_of(second, "watch").claim("other") is None, "a copy of a state folder is another one"
    leases_of(first, "watch").end_left()
    assert leases_of(second, "watch").claim("other") is not None
    assert leases_of(second, "another-project").is_free()
    assert (Home(tmp_path / "shared").project("watch") / "lease" / "claims").is_dir()


def test_address_of_shared_state_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERNAS_LEASE", "https://host/x")
    with pytest.raises(UsageError, match="The shared state is 'https://host/x': use s3://bucket/prefix"):
        leases_of(Home(tmp_path), "watch")


def test_storage_that_is_away_for_a_while_ends_no_renewal_and_undoes_no_run(
    leases: Leases, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = leases.claim("a")
    assert lease is not None
    renewed, failures = threading.Event(), [EvernasError("the bucket does not answer")] * 2

    def note(self: Leases, lease: Lease, released: bool) -> None:
        if failures:
            raise failures.pop()
        renewed.set()

    monkeypatch.setattr(Leases, "note", note)
    with renewing(lease, every_s=0.01):
        assert renewed.wait(30)
    failures.append(EvernasError("the bucket does not answer"))
    release(lease)
    assert capsys.readouterr().err.count("the bucket does not answer") == 3


@pytest.mark.parametrize("alone", [True, False])
def test_step_that_fails_ends_the_claim_unless_other_branches_may_work_on(leases: Leases, alone: bool) -> None:
    lease = leases.claim("a")
    assert lease is not None
    with pytest.raises(EvernasError), ending_on_failure(lease, alone):
        raise EvernasError("the step's data is refused")
    assert leases.is_free() == alone


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


@pytest.mark.parametrize("state", ["home", "bucket"])
def test_first_step_ends_at_once_and_is_remembered_while_another_run_works(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    from evernas.config import load_config
    from evernas.steps.launch import launch
    from place import EXAMPLE

    if state == "bucket":
        monkeypatch.setenv("EVERNAS_LEASE", request.getfixturevalue("bucket"))
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


def test_run_that_a_person_starts_pins_nothing_while_another_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evernas.config import load_config
    from evernas.loop.start import start
    from place import EXAMPLE

    monkeypatch.setenv("EVERNAS_LEASE", f"file://{tmp_path / 'shared'}")
    monkeypatch.delenv("EVERNAS_SUBMISSION", raising=False)
    home, config = Home(tmp_path / "home"), load_config(EXAMPLE)
    working = leases_of(Home(tmp_path / "of-another-machine"), config.project).claim("nightly-1")
    assert working is not None
    ending = start(config, home, 0, lambda text: None, lambda path: contextlib.nullcontext())
    assert (ending.exit_code, ending.result) == (0, None)
    assert "Run nightly-1 of this project is working" in ending.sentence
    assert not home.run(ending.run).exists()
    assert leases_of(home, config.project).deferred() == [ending.run]
    working.check()


def test_publication_fails_once_another_run_holds_the_lease(tmp_path: Path) -> None:
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
