"""A bucket as a source: only what is new is read, and no fault of the server gives a wrong snapshot."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from registry_servers import BUCKET, s3

from evernas.config import DataConfig
from evernas.data import Snapshot, ingest, open_source, pending, unchanged
from evernas.data.ahead import AT_ONCE
from evernas.data.bucket import BucketSource
from evernas.errors import DataRefusedError, EvernasError, UsageError
from evernas.storage.s3 import S3Address, connect
from faulty_proxy import Answer, Asked, Fault, Proxy, faulty, refusal

OBJECTS = 30


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with s3() as port:
        yield port


@pytest.fixture
def proxy(server: int) -> Iterator[Proxy]:
    with faulty(server) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


class Place:
    """A prefix of its own, filled directly, and read through the proxy."""

    def __init__(self, server: int, proxy: Proxy, prefix: str, store: Path, config: DataConfig) -> None:
        self.proxy, self.prefix, self.store = proxy, prefix, store
        self.config = config.model_copy(update={"max_loss": 0.1})
        self.direct = connect(S3Address(BUCKET, prefix, f"http://127.0.0.1:{server}", "us-east-1"))
        self.address = f"s3://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{proxy.port}&region=us-east-1"
        self.source = open_source(self.address, store)
        self.said: list[str] = []

    def put(self, name: str, body: bytes) -> None:
        self.direct.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{name}", Body=body)

    def delete(self, name: str) -> None:
        self.direct.delete_object(Bucket=BUCKET, Key=f"{self.prefix}/{name}")

    def ingest(self, parent: Snapshot | None, run: str = "run", deleted: frozenset[str] = frozenset()) -> Snapshot:
        self.proxy.asked.clear()
        self.said.clear()
        return ingest(
            self.source,
            self.store,
            self.config,
            None if parent is None else parent.id,
            run=run,
            say=self.said.append,
            deleted=deleted,
        )


@pytest.fixture
def place(server: int, proxy: Proxy, tmp_path: Path, config: DataConfig, request: pytest.FixtureRequest) -> Place:
    return Place(server, proxy, f"in/{request.node.name}", tmp_path / "store", config)


@pytest.fixture
def batch(tmp_path: Path, deliver: Callable[..., Path], recording: Any) -> Callable[..., bytes]:
    """The bytes of a file with one recording, or of one with a recording of each domain."""

    def make(id: str, *domains: str) -> bytes:
        return deliver("made.parquet", [recording(f"{id}{d}", d) for d in domains or ("t",)]).read_bytes()

    return make


@pytest.fixture
def few(place: Place, batch: Callable[..., bytes]) -> Snapshot:
    """Three objects taken in, whose removal one by one is no loss of a domain."""
    for name in ("a", "b", "c"):
        place.put(f"{name}.parquet", batch(name, *(("t", "s", "g") if name == "a" else ("t",))))
    place.config = place.config.model_copy(update={"max_loss": 0.5})
    return place.ingest(None)


def test_of_many_objects_only_the_new_and_changed_are_read(place: Place, batch: Callable[..., bytes]) -> None:
    body = batch("same", "t", "s", "g")
    for number in range(OBJECTS):
        place.put(f"{number:03d}.parquet", body)
    place.put("notes.txt", b"no data")
    place.put(".hidden/x.parquet", body)
    first = place.ingest(None)
    assert len(first.manifest.objects) == OBJECTS
    assert place.proxy.counts() == {"list": 3, "get": OBJECTS}
    assert place.ingest(first).id == first.id
    assert place.proxy.counts() == {"list": 3}, "nothing new, nothing read"
    place.put("new/x.parquet", batch("x"))
    place.put("007.parquet", batch("seven", "t", "s", "g"))
    place.delete("020.parquet")
    assert pending(place.source, first) == ["007.parquet", "new/x.parquet"]
    second = place.ingest(first, "second")
    assert place.proxy.keys("get") == [f"{place.prefix}/007.parquet", f"{place.prefix}/new/x.parquet"]
    assert place.proxy.keys("head") == [f"{place.prefix}/020.parquet"]
    assert place.proxy.counts()["list"] == 3
    assert (second.manifest.added, second.manifest.changed) == (("new/x.parquet",), ("007.parquet",))
    assert second.manifest.removed == ()


def test_many_small_objects_are_fetched_some_at_a_time(place: Place, batch: Callable[..., bytes]) -> None:
    body = batch("same", "t", "s", "g")
    for number in range(OBJECTS):
        place.put(f"{number:03d}.parquet", body)
    lock, at_once, most = threading.Lock(), [0], [0]

    def slow(asked: Asked, answer: Answer) -> Answer:
        if asked.kind == "get":
            with lock:
                at_once[0] += 1
                most[0] = max(most[0], at_once[0])
            threading.Event().wait(0.02)
            with lock:
                at_once[0] -= 1
        return answer

    place.proxy.fault = slow
    assert len(place.ingest(None).manifest.objects) == OBJECTS
    assert 1 < most[0] <= AT_ONCE


def test_what_was_fetched_ahead_is_closed_when_an_object_fails(place: Place, batch: Callable[..., bytes]) -> None:
    for number in range(OBJECTS):
        place.put(f"{number:03d}.parquet", batch(f"r{number}", "t", "s", "g"))
    place.proxy.fault = lambda asked, answer: (
        refusal(500, "InternalError") if asked.key.endswith("/003.parquet") else answer
    )
    with pytest.raises(EvernasError, match=r"003\.parquet could not be read"):
        place.ingest(None)
    assert place.proxy.counts()["get"] < OBJECTS, "what comes far behind is not fetched"
    left = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert not [path for path in left if path.startswith(str(place.store))]


def test_a_folder_and_a_bucket_with_equal_objects_give_one_snapshot(
    place: Place, few: Snapshot, tmp_path: Path, batch: Callable[..., bytes]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a", "b", "c"):
        got = place.direct.get_object(Bucket=BUCKET, Key=f"{place.prefix}/{name}.parquet")
        (folder / f"{name}.parquet").write_bytes(got["Body"].read())
    assert ingest(folder, tmp_path / "other", place.config, None).id == few.id


def test_an_object_is_removed_when_two_runs_found_it_gone(place: Place, few: Snapshot) -> None:
    place.delete("b.parquet")
    assert unchanged(place.source, few, place.config)
    assert place.ingest(few, "one").id == few.id
    assert place.said == ["b.parquet has gone from the source; if the next run finds so too, its rows are removed."]
    assert place.ingest(few, "one").id == few.id, "the same run, gone on with, is no second run"
    assert pending(place.source, few) == ["b.parquet"]
    assert place.ingest(few, "two").manifest.removed == ("b.parquet",)


def test_an_object_that_an_event_says_was_deleted_goes_at_once_unless_it_is_there(place: Place, few: Snapshot) -> None:
    told = frozenset({"b.parquet", "c.parquet", "nothing.parquet"})
    place.delete("b.parquet")
    after = place.ingest(few, "one", told)
    assert after.manifest.removed == ("b.parquet",), "c is there: the event is of a version before it"
    assert place.said == ["b.parquet has gone from the source, as an event told: its rows are removed."]
    assert place.source.name_of(BUCKET, f"{place.prefix}/b.parquet") == "b.parquet"
    assert place.source.name_of(BUCKET, "elsewhere/b.parquet") is None
    assert place.source.name_of("another", f"{place.prefix}/b.parquet") is None


def test_an_object_that_comes_back_is_as_if_it_had_never_gone(
    place: Place, few: Snapshot, batch: Callable[..., bytes]
) -> None:
    place.delete("b.parquet")
    place.ingest(few, "one")
    place.put("b.parquet", batch("b"))
    assert place.ingest(few, "two").id == few.id
    place.delete("b.parquet")
    assert place.ingest(few, "three").id == few.id, "counted anew"


def _without(name: str) -> Fault:
    """A listing that lags behind: it lacks one object."""

    def fault(asked: Asked, answer: Answer) -> Answer:
        if asked.kind == "list":
            head, *contents = answer.body.split(b"<Contents>")
            kept = [one for one in contents if f"/{name}</Key>".encode() not in one]
            if len(kept) < len(contents) and contents[-1] not in kept:
                kept[-1] += contents[-1].partition(b"</Contents>")[2]
            answer.body = b"<Contents>".join([head, *kept])
        return answer

    return fault


def test_a_stale_listing_removes_nothing_and_what_changed_is_read_all_the_same(
    place: Place, few: Snapshot, batch: Callable[..., bytes]
) -> None:
    place.proxy.fault = _without("b.parquet")
    assert [item.name for item in place.source.objects()] == ["a.parquet", "c.parquet"]
    for run in ("one", "two", "three"):
        assert place.ingest(few, run).id == few.id
        assert place.proxy.counts() == {"list": 1, "head": 1}
    place.put("b.parquet", batch("other"))
    assert place.ingest(few, "four").manifest.changed == ("b.parquet",)


def test_an_empty_listing_of_a_server_that_lost_its_mind_is_refused(place: Place, few: Snapshot) -> None:
    def gone(asked: Asked, answer: Answer) -> Answer:
        if asked.kind == "list":
            head, _, tail = answer.body.partition(b"<Contents>")
            answer.body = head + tail.rpartition(b"</Contents>")[2]
            return answer
        return refusal(404, "NoSuchKey")

    place.proxy.fault = gone
    assert place.ingest(few, "one").id == few.id
    with pytest.raises(DataRefusedError, match="would go"):
        place.ingest(few, "two")


def test_a_missing_object_that_answers_403_is_kept_and_said(place: Place, few: Snapshot) -> None:
    """Without the right to list the whole bucket, S3 does not say 404."""
    place.delete("b.parquet")
    place.proxy.fault = lambda asked, answer: refusal(403, "Forbidden") if asked.kind == "head" else answer
    for run in ("one", "two", "three"):
        assert place.ingest(few, run).id == few.id
        assert "s3:ListBucket" in place.said[0]
    assert pending(place.source, few) == []


def test_new_windows_need_an_object_that_cannot_be_found(place: Place, few: Snapshot) -> None:
    place.delete("b.parquet")
    signal = place.config.signal.model_copy(update={"stride": 4})
    place.config = place.config.model_copy(update={"signal": signal})
    with pytest.raises(EvernasError, match=r"b\.parquet has to be read again"):
        place.ingest(few, "one")


def _first(times: int, kind: str, wrong: Callable[[Answer], Answer]) -> Fault:
    """Wrong for the first requests of a kind."""
    left = [times]

    def fault(asked: Asked, answer: Answer) -> Answer:
        if asked.kind == kind and left[0] > 0:
            left[0] -= 1
            return wrong(answer)
        return answer

    return fault


def _cut(answer: Answer) -> Answer:
    answer.cut = 100
    return answer


def _shortened(answer: Answer) -> Answer:
    """Cut short, with a length that says so: only the listing knows better."""
    answer.body = answer.body[:-100]
    return answer


def _flipped(answer: Answer) -> Answer:
    answer.body = answer.body[:500] + bytes([answer.body[500] ^ 1]) + answer.body[501:]
    return answer


def _stalled(answer: Answer) -> Answer:
    answer.cut, answer.stall = 100, True
    return answer


WRONG: list[tuple[str, str, Callable[[Answer], Answer]]] = [
    ("500 to a list", "list", lambda answer: refusal(500, "InternalError")),
    ("503 to a list", "list", lambda answer: refusal(503, "SlowDown")),
    ("broken XML", "list", lambda answer: Answer(200, {"Content-Type": "application/xml"}, answer.body[:200])),
    ("500 to a get", "get", lambda answer: refusal(500, "InternalError")),
    ("503 to a get", "get", lambda answer: refusal(503, "SlowDown")),
    ("429 to a get", "get", lambda answer: refusal(429, "TooManyRequests")),
    ("body cut off", "get", _cut),
    ("body shortened", "get", _shortened),
    ("body flipped", "get", _flipped),
    ("body stalled", "get", _stalled),
]


@pytest.mark.parametrize(("kind", "wrong"), [(k, w) for _, k, w in WRONG], ids=[name for name, _, _ in WRONG])
def test_a_fault_that_passes_gives_the_right_snapshot_and_one_that_stays_fails_loudly(
    kind: str, wrong: Callable[[Answer], Answer], place: Place, few: Snapshot, batch: Callable[..., bytes]
) -> None:
    if wrong is _stalled:
        address = S3Address.parse(place.address)
        place.source = BucketSource(address, place.store, connect(address, read_timeout_s=0.5))
    place.put("d.parquet", batch("d"))
    place.proxy.fault = _first(10**6, kind, wrong)
    with pytest.raises(EvernasError, match=f"s3://{BUCKET}/") as failure:
        place.ingest(few, "one")
    assert not isinstance(failure.value, UsageError | DataRefusedError)
    place.proxy.fault = _first(2, kind, wrong)
    try:
        second = place.ingest(few, "two")
    except EvernasError:
        # botocore does not ask again for an answer that it cannot parse.
        assert kind == "list"
        second = place.ingest(few, "three")
    assert second.manifest.added == ("d.parquet",)
    assert second.manifest.refused_objects == {}
    assert second.manifest.rows == few.manifest.rows + 4
    assert not list(place.store.glob("tmp*"))


def test_an_object_replaced_after_the_listing_keeps_its_old_rows_until_the_next_run(
    place: Place, few: Snapshot, batch: Callable[..., bytes]
) -> None:
    place.put("b.parquet", batch("second"))
    third = batch("third")

    def replace(answer: Answer) -> Answer:
        place.put("b.parquet", third)
        return answer

    place.proxy.fault = _first(1, "list", replace)
    second = place.ingest(few, "one")
    assert second.id == few.id
    assert place.ingest(few, "two").manifest.changed == ("b.parquet",)


def test_an_object_that_may_not_be_read_is_refused_with_the_mend(
    place: Place, few: Snapshot, batch: Callable[..., bytes]
) -> None:
    place.put("d.parquet", batch("d"))
    place.proxy.fault = lambda asked, answer: refusal(403, "AccessDenied") if asked.kind == "get" else answer
    second = place.ingest(few, "one")
    assert "s3:GetObject" in second.manifest.refused_objects["d.parquet"]
    place.proxy.fault = None
    assert place.ingest(second, "two").manifest.refused_objects == {}


def test_a_listing_that_says_there_is_more_but_not_where_fails_loudly(place: Place, few: Snapshot) -> None:
    def broken(asked: Asked, answer: Answer) -> Answer:
        if asked.kind == "list":
            answer.body = answer.body.replace(b"<IsTruncated>false", b"<IsTruncated>true")
        return answer

    place.proxy.fault = broken
    with pytest.raises(EvernasError, match="broke off"):
        place.ingest(few, "one")


def test_a_bucket_that_is_not_there_is_refused_before_any_work(place: Place) -> None:
    with pytest.raises(UsageError, match=r"s3://nowhere/x/, which cannot be listed \(NoSuchBucket\)"):
        open_source(place.address.replace(f"{BUCKET}/{place.prefix}", "nowhere/x"), place.store).refuse_missing()
    with pytest.raises(UsageError, match="is no address of an S3 bucket"):
        open_source("gs://bucket/x", place.store)
