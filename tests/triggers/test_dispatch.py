"""From events to runs, on both databases: one run for many events, one at a time, tried again, given up, replayed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import serving
from desk import Cluster, Desk
from evernas.errors import UsageError
from evernas.triggers import listing, works
from evernas.triggers.database import Database
from evernas.triggers.dispatch import Dispatcher
from evernas.triggers.submission import SubmissionRefusedError, UnavailableError


def test_events_of_a_quiet_period_become_one_run(desk: Callable[..., Desk]) -> None:
    place = desk(debounce={"quiet_s": 3600, "max_wait_s": 7200})
    for name in "abc":
        place.tell(name)
        place.look()
    assert place.cluster.submitted == []
    place.age(3601)
    place.look(2)
    assert len(place.cluster.submitted) == 1
    place.cluster.end("succeeded")
    place.look(2)
    assert place.states() == dict.fromkeys("abc", "done")


def test_events_without_a_pause_wait_no_longer_than_the_longest_wait(desk: Callable[..., Desk]) -> None:
    place = desk(debounce={"quiet_s": 3600, "max_wait_s": 7200})
    for name, runs in (("a", 0), ("b", 0), ("c", 0), ("d", 1)):
        place.tell(name)
        place.look(2)
        assert len(place.cluster.submitted) == runs
        place.age(2500)
    place.cluster.end("succeeded")
    place.look(2)
    assert place.states() == dict.fromkeys("abcd", "done")


def test_logs_say_which_events_a_run_is_for(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("evernas.triggers.dispatch.EVENTS_A_LINE", 2)
    caplog.set_level("INFO", "evernas.triggers")
    place = desk()
    for name in "abc":
        place.tell(name)
    place.look()
    sealed = [vars(record) for record in caplog.records if record.message == "sealed"]
    assert [line["events"] for line in sealed] == [[("lake", "a"), ("lake", "b")], [("lake", "c")]]
    assert {line["run"] for line in sealed} == set(place.cluster.submitted)


def test_one_run_at_a_time_and_the_next_change_is_remembered(desk: Callable[..., Desk]) -> None:
    place = desk()
    place.tell("a")
    place.look(2)
    place.tell("b")
    place.tell("c")
    place.look(5)
    assert len(place.cluster.submitted) == 1
    place.cluster.end("succeeded")
    place.look(3)
    assert len(place.cluster.submitted) == 2
    place.cluster.end("succeeded")
    place.look(2)
    assert place.states() == dict.fromkeys("abc", "done")


def test_a_run_is_told_which_objects_events_say_were_removed(desk: Callable[..., Desk]) -> None:
    place = desk()
    place.tell("a")
    place.tell("b", label="removed")
    place.tell("c", label="removed")
    place.look(2)
    assert place.leases.removed() == {("raw", "b"), ("raw", "c")}
    assert place.leases.current() is None, "a note is no claim"
    place.leases.settle_removed([("raw", "b"), ("raw", "never told")])
    assert place.leases.removed() == {("raw", "c")}


def test_change_from_a_to_b_and_back_is_a_change_and_a_redelivery_is_none(desk: Callable[..., Desk]) -> None:
    place = desk()
    for version in ("to-b", "back-to-a"):
        assert place.tell("a", version) == "new"
        place.look(2)
        place.cluster.end("succeeded")
        place.look(2)
        assert place.tell("a", version) == "known"
        place.look(2)
    assert len(set(place.cluster.submitted)) == 2


def test_name_does_not_depend_on_the_order_of_events_but_on_the_code(database: Database, tmp_path: Path) -> None:
    names = []
    for number, (order, code) in enumerate([("ab", "v1"), ("ba", "v1"), ("ab", "v2")]):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = Database(f"sqlite:///{folder / 'inbox.db'}")
        made.migrate()
        place = Desk(made, folder)
        place.cluster.code = code
        for name in order:
            place.tell(name)
        place.look(2)
        names += place.cluster.submitted
        made.close()
    assert names[0] == names[1]
    assert names[0] != names[2]


def test_failed_run_is_tried_again_under_the_next_number_and_then_given_up(desk: Callable[..., Desk]) -> None:
    place = desk()
    place.tell("a")
    for _ in range(3):
        place.look(2)
        place.cluster.end("failed")
    place.look(3)
    base = place.cluster.submitted[0].rpartition("-")[0]
    assert place.cluster.submitted == [f"{base}-{n}" for n in (1, 2, 3)]
    assert place.states() == {"a": "dead"}
    assert place.tried() == [(1, "failed"), (2, "failed"), (3, "failed")]


def test_run_whose_failure_would_repeat_is_given_up_at_once(desk: Callable[..., Desk]) -> None:
    place = desk()
    place.tell("a")
    place.look(2)
    place.cluster.end("refused")
    place.look(2)
    assert place.states() == {"a": "dead"}
    assert listing.show(place.database, "watch", 1)["work"]["reason"] == "it said so"


def test_dead_events_are_replayed_under_new_numbers(desk: Callable[..., Desk]) -> None:
    place = desk(submit={"attempts": 1, "retry_s": 0.0, "poll_s": 0.001})
    place.tell("a")
    place.look(2)
    place.cluster.end("failed")
    place.look(2)
    assert listing.replay(place.database, "watch", [], dead=True) == 1
    place.look(3)
    place.cluster.end("succeeded")
    place.look(2)
    assert len(set(place.cluster.submitted)) == 2
    assert place.states() == {"a": "done"}
    with pytest.raises(UsageError, match="None of these events"):
        listing.replay(place.database, "watch", [], dead=True)
    with pytest.raises(UsageError, match="no event 77"):
        listing.show(place.database, "watch", 77)


def test_run_that_is_found_is_kept_and_not_submitted_again(desk: Callable[..., Desk]) -> None:
    """A kill between the submission and the note of it: the name is looked for first."""
    place = desk()
    place.tell("a")

    def submit_and_die(name: str) -> str:
        place.cluster.runs[name] = "succeeded"
        place.cluster.submitted.append(name)
        raise KeyboardInterrupt

    original = place.cluster.submit
    place.cluster.submit = submit_and_die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        place.look()
    place.cluster.submit = original  # type: ignore[method-assign]
    place.dispatcher = place.another()
    place.look(3)
    assert len(place.cluster.submitted) == 1
    assert place.states() == {"a": "done"}


def test_cluster_that_does_not_answer_costs_no_attempt(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evernas.triggers.dispatch.UNAVAILABLE_S", 0.0)
    place = desk(submit={"attempts": 1, "retry_s": 0.0, "poll_s": 0.001})
    place.cluster.answers = [UnavailableError("away")] * 3
    place.tell("a")
    place.look(5)
    assert len(place.cluster.submitted) == 1
    assert place.tried() == [(1, "submitted")]


def test_submission_that_is_refused_counts_as_an_attempt(desk: Callable[..., Desk]) -> None:
    place = desk()
    place.cluster.answers = [SubmissionRefusedError("no such pipeline")] * 3
    place.tell("a")
    place.look(5)
    assert (place.cluster.submitted, place.states()) == ([], {"a": "dead"})


def test_run_that_ended_at_once_because_another_works_is_made_again_after_that(desk: Callable[..., Desk]) -> None:
    place = desk(submit={"attempts": 1, "retry_s": 0.0, "poll_s": 0.001})
    other = place.leases.claim("by-hand")
    assert other is not None
    place.tell("a")
    place.look(2)
    place.leases.defer(place.cluster.submitted[-1])
    place.cluster.end("succeeded")
    place.look(4)
    assert (len(place.cluster.submitted), place.states()) == (1, {"a": "gathered"})
    other.release()
    place.look(3)
    place.cluster.end("succeeded")
    place.look(2)
    assert (len(place.cluster.submitted), place.states()) == (2, {"a": "done"})
    assert place.tried() == [(1, "deferred"), (2, "succeeded")]


def test_run_of_a_person_that_ended_at_once_is_remembered(desk: Callable[..., Desk]) -> None:
    place = desk()
    place.leases.defer("nightly-1")
    place.dispatcher.tidy()
    place.look(2)
    assert len(place.cluster.submitted) == 1
    assert place.leases.deferred() == []


def test_lease_of_a_failed_run_is_ended_so_that_the_next_need_not_wait(desk: Callable[..., Desk]) -> None:
    place = desk()
    place.tell("a")
    place.look(2)
    assert place.leases.claim(place.cluster.submitted[-1]) is not None
    place.cluster.end("failed")
    place.look()
    assert place.leases.is_free()


def test_changed_code_asks_for_a_run_once_and_a_change_back_asks_again(desk: Callable[..., Desk]) -> None:
    place = desk(watch_config=True)
    for code, runs in [("v1", 1), ("v1", 1), ("v2", 2), ("v1", 3)]:
        place.cluster.newest = code
        place.dispatcher.note_version(place.config)
        place.look(3)
        place.cluster.end("succeeded")
        place.look(2)
        assert len(place.cluster.submitted) == runs


def test_new_device_asks_for_a_run_while_the_receiver_serves(desk: Callable[..., Desk]) -> None:
    place = desk(watch_config=True)
    device = place.config.devices[0].model_copy(update={"name": "another"})
    wider = place.config.model_copy(update={"devices": [*place.config.devices, device]})
    elsewhere = wider.model_copy(update={"cluster": None, "triggers": None})
    for config, runs in [(place.config, 1), (wider, 2), (elsewhere, 2)]:
        place.dispatcher.note_version(config)
        place.look(3)
        place.cluster.end("succeeded")
        place.look(2)
        assert len(place.cluster.submitted) == runs
    assert len(set(place.cluster.submitted)) == 2


def test_new_version_is_taken_up_once_the_run_of_the_former_has_ended(desk: Callable[..., Desk]) -> None:
    place = desk(watch_config=True)
    place.dispatcher.note_version(place.config)
    place.look(2)
    place.cluster.newest = "v2"
    place.dispatcher.note_version(place.config)
    place.look(2)
    assert (place.cluster.code, len(place.cluster.submitted)) == ("v1", 1), "its further attempts are of its version"
    place.cluster.end("succeeded")
    place.look(2)
    place.dispatcher.note_version(place.config)
    place.look(2)
    assert (place.cluster.code, len(place.cluster.submitted)) == ("v2", 2)


def test_replicas_of_two_versions_do_not_ask_in_turns(desk: Callable[..., Desk]) -> None:
    place = desk(watch_config=True)
    old, new = place.dispatcher, place.another()
    new._submitter = Cluster()
    new._submitter.code = new._submitter.newest = "v2"
    for _ in range(3):
        for dispatcher in (old, new):
            dispatcher.note_version(place.config)
    assert len(place.keys("(config)")) == 2


def test_two_dispatchers_at_once_submit_each_work_once(desk: Callable[..., Desk]) -> None:
    place = desk()
    stop = threading.Event()
    failures: list[BaseException] = []

    def act(dispatcher: Dispatcher) -> None:
        while not stop.is_set():
            try:
                dispatcher.look()
            except BaseException as error:  # noqa: BLE001 - the test fails with whatever it was
                failures.append(error)
                return

    threads = [threading.Thread(target=act, args=(place.another(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(12):
        place.tell(f"e{number}")
        before = len(place.cluster.submitted)
        serving.wait_until(lambda before=before: len(place.cluster.submitted) > before, 20)
        place.cluster.end("succeeded")
    serving.wait_until(lambda: set(place.states().values()) == {"done"}, 20)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(place.cluster.submitted) == len(set(place.cluster.submitted)) == 12


def test_what_is_done_with_is_forgotten_and_what_is_dead_is_not(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = desk(submit={"attempts": 1, "retry_s": 0.0, "poll_s": 0.001})
    for name, end in (("good", "succeeded"), ("bad", "failed")):
        place.tell(name)
        place.look(2)
        place.cluster.end(end)  # type: ignore[arg-type]
        place.look(2)
    monkeypatch.setattr("evernas.triggers.upkeep.time.time", lambda: time.monotonic() + 1e10)
    place.dispatcher.tidy()
    assert place.states() == {"bad": "dead"}


def test_work_that_changed_meanwhile_is_not_changed_again(desk: Callable[..., Desk]) -> None:
    place = desk()
    place.tell("a")
    with place.database.write() as connection:
        works.gather(connection, "watch")
        stale = works.find(connection, "watch", "waiting")
    assert stale is not None
    place.look(2)
    with pytest.raises(works.Overtaken), place.database.write() as connection:
        works.seal(connection, "watch", stale, "v")
