"""What a queue holds is kept first and deleted then; what is no event of ours is left to the queue's redrive policy."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import serving
from evernas.config_triggers import LimitConfig, TriggersConfig
from evernas.triggers.database import Database
from evernas.triggers.events import RefusedError
from evernas.triggers.inbox import Inbox
from evernas.triggers.metrics import Metrics
from evernas.triggers.receiver import Receiver
from evernas.triggers.rules import Rules
from evernas.triggers.sources import Source
from evernas.triggers.sqs import Poller


class Queue:
    """A queue and what it has done, for a poller that has it in the place of boto3's client."""

    def __init__(self, *bodies: str) -> None:
        self.messages = {f"m{number}": body for number, body in enumerate(bodies)}
        self.deleted: list[list[str]] = []
        self.failures: list[Exception] = []

    def receive_message(self, **asked: Any) -> dict[str, Any]:
        assert asked["WaitTimeSeconds"] > 0, "a long poll"
        if self.failures:
            raise self.failures.pop()
        if not self.messages:
            time.sleep(0.01)
        some = list(self.messages.items())[: asked["MaxNumberOfMessages"]]
        return {"Messages": [{"MessageId": k, "ReceiptHandle": k, "Body": v} for k, v in some]} if some else {}

    def delete_message_batch(self, **asked: Any) -> dict[str, Any]:
        handles = [entry["ReceiptHandle"] for entry in asked["Entries"]]
        self.deleted.append(handles)
        for handle in handles:
            del self.messages[handle]
        return {}


class Place:
    """A receiver with one polled source."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("evernas.triggers.sqs.AFTER_ERROR_S", 0.01)
        lake = {"name": "lake", "kind": "sqs", "queue": "https://queue", "region": "eu-central-1"}
        triggers = TriggersConfig.model_validate(serving.triggers_config(sources=[lake]))
        self.database = Database(f"sqlite:///{folder / 'inbox.db'}")
        self.database.migrate()
        self.metrics = Metrics("watch")
        self.inbox = Inbox(self.database, "watch", 100, self.metrics)
        self.source = Source.of(triggers.sources[0])
        self.receiver = Receiver.of(
            {"lake": self.source},
            Rules("watch", triggers, []),
            self.inbox,
            self.metrics,
            LimitConfig(),
            lambda: None,
        )
        self._patch = monkeypatch

    def poll(self, queue: Queue, until: Any) -> None:
        """Poll until something is so, and stop."""
        self._patch.setattr("evernas.triggers.sqs._client", lambda config: queue)

        async def run() -> None:
            poller = Poller(self.source, self.receiver, asyncio.get_running_loop(), self.metrics)
            poller.start()
            deadline = time.monotonic() + 20
            while not until() and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            poller.stop()
            await asyncio.to_thread(poller._thread.join, 20)
            assert not poller._thread.is_alive()

        asyncio.run(run())

    def events(self) -> list[tuple[Any, ...]]:
        with self.database.read() as connection:
            rows = connection.exec_driver_sql("SELECT key, version, state FROM events ORDER BY seq").fetchall()
        return [tuple(row) for row in rows]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    made = Place(tmp_path, monkeypatch)
    yield made
    made.database.close()


def _notification(key: str, sequencer: str) -> dict[str, Any]:
    item = {"bucket": {"name": "raw"}, "object": {"key": key, "sequencer": sequencer}}
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": item}]}


def _forms() -> list[str]:
    """One event in each form that S3's events have in a queue."""
    detail = {"bucket": {"name": "raw"}, "object": {"key": "watch/bus", "sequencer": "2"}}
    bus = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    other = {**bus, "detail": {**detail, "object": {"key": "elsewhere/both", "sequencer": "4"}}}
    wrapped = [
        {"Type": "Notification", "Message": json.dumps(one)} for one in (_notification("watch/topic", "3"), other)
    ]
    return [json.dumps(one) for one in (_notification("watch/plain", "1"), bus, *wrapped)]


def test_events_of_all_forms_are_kept_in_one_commit_and_their_messages_deleted(place: Place) -> None:
    queue = Queue(*_forms(), json.dumps({"Event": "s3:TestEvent"}))
    place.poll(queue, lambda: not queue.messages)
    assert place.events() == [
        ("elsewhere/both", "4", "ignored"),
        ("watch/bus", "2", "new"),
        ("watch/plain", "1", "new"),
        ("watch/topic", "3", "new"),
    ]
    assert queue.deleted == [["m0", "m1", "m2", "m3", "m4"]]
    assert b'evernas_commit_events_sum{project="watch"} 4.0' in place.metrics.text()


def test_message_is_deleted_only_once_its_events_are_on_disk_and_a_repeat_is_known(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, failures = place.inbox._commit, [RefusedError(503, "the disk is full")] * 2

    def commit(entries: Any) -> Any:
        assert queue.deleted == []
        if failures:
            raise failures.pop()
        return original(entries)

    monkeypatch.setattr(place.inbox, "_commit", commit)
    queue = Queue(_forms()[0])
    place.poll(queue, lambda: not queue.messages)
    assert failures == []
    again = Queue(_forms()[0])
    monkeypatch.setattr(place.inbox, "_commit", original)
    place.poll(again, lambda: not again.messages)
    assert place.events() == [("watch/plain", "1", "new")]


def test_message_that_is_no_event_stays_and_takes_no_other_with_it(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    queue = Queue("no json", _forms()[0], '{"Records": []}', "[" * 10_000)
    place.poll(queue, lambda: len(queue.messages) == 3)
    assert sorted(queue.messages) == ["m0", "m2", "m3"]
    assert place.events() == [("watch/plain", "1", "new")]
    assert {vars(record)["event"] for record in caplog.records if record.message == "refused"} == {"m0", "m2", "m3"}


def test_queue_that_does_not_answer_is_asked_again(place: Place) -> None:
    from botocore.exceptions import ClientError, EndpointConnectionError

    queue = Queue(_forms()[0])
    queue.failures = [
        EndpointConnectionError(endpoint_url="https://queue"),
        ClientError({"Error": {"Code": "AccessDenied"}}, "ReceiveMessage"),
        ZeroDivisionError("of whatever kind"),
    ]
    place.poll(queue, lambda: not queue.messages)
    assert place.events() == [("watch/plain", "1", "new")]


def test_source_that_is_polled_takes_no_posts(place: Place) -> None:
    from evernas.triggers.sources import Request

    with pytest.raises(RefusedError) as refused:
        place.source.hear(Request({"content-type": "application/json"}, b"{}", "https"))
    assert refused.value.status == 404
