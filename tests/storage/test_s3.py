"""The storage interface on an S3 server, and what it does when the server does not answer as it should."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from registry_servers import BUCKET, lossy, s3, s3_url

from evernas.errors import EvernasError, UnknownOutcome, UsageError
from evernas.state import Done, Home
from evernas.state.bucket import Bucket
from evernas.state.ownership import claim
from evernas.state.sharing import steps_of
from evernas.storage import AlreadyExists, TooLarge
from evernas.storage.s3 import S3Address, S3Storage
from faulty_proxy import PAGE, Answer, Asked, faulty, refusal


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with s3() as port:
        yield port


def test_what_is_written_is_read_listed_and_deleted(port: int) -> None:
    storage = S3Storage(S3Address.parse(s3_url(port)))
    storage.write("a/b.bin", b"1")
    storage.write("a/b.bin", b"2")
    storage.write("ab", b"3")
    assert storage.read("a/b.bin") == b"2"
    assert storage.list() == ["a/b.bin", "ab"]
    assert storage.list("a/") == ["a/b.bin"]
    assert storage.list("nowhere/") == []
    storage.delete("a/b.bin")
    storage.delete("a/b.bin")
    assert not storage.exists("a/b.bin")
    assert storage.exists("ab")
    with pytest.raises(KeyError):
        storage.read("a/b.bin")


def test_more_bytes_than_are_taken_are_refused_before_they_are_read(port: int) -> None:
    storage = S3Storage(S3Address.parse(s3_url(port)))
    storage.write("large", b"123")
    read = storage.traffic.bytes_read
    with pytest.raises(TooLarge, match="large holds more than 2 bytes"):
        storage.read_within("large", 2)
    assert storage.traffic.bytes_read == read
    assert storage.read_within("large", 3) == b"123"
    with pytest.raises(KeyError):
        storage.read_within("larger", 3)


def test_keys_beyond_one_page_of_a_listing_are_listed(port: int) -> None:
    with faulty(port) as proxy:
        address = f"s3://{BUCKET}/pages?endpoint=http://127.0.0.1:{proxy.port}&region=us-east-1"
        storage = S3Storage(S3Address.parse(address))
        keys = [f"many/{number:04d}" for number in range(2 * PAGE + 1)]
        for key in keys:
            storage.write(key, b"")
        assert storage.list("many/") == keys
        assert proxy.counts()["list"] == 3


@pytest.mark.parametrize("key", ["../x", "/x", "a//b", "", "a/.tmp-1"])
def test_a_key_that_could_leave_the_prefix_is_refused(port: int, key: str) -> None:
    storage = S3Storage(S3Address.parse(s3_url(port)))
    with pytest.raises(UsageError, match="plain relative path"):
        storage.write(key, b"")


def test_a_create_whose_answer_is_lost_meets_its_own_object(port: int) -> None:
    """botocore sends it again, and the true winner is told that the key is taken: only what it wrote tells."""
    made = 0
    with lossy(port, loss=0.4, seed=1) as (proxy, lost):
        storage = S3Storage(S3Address.parse(s3_url(proxy)))
        for number in range(30):
            try:
                storage.create(f"lossy/{number}", str(number).encode())
            except AlreadyExists:
                made += 1
        assert lost.value > 5
    clean = S3Storage(S3Address.parse(s3_url(port)))
    assert len(clean.list("lossy/")) == 30
    assert made > 0


def test_answers_that_are_cut_are_asked_for_again(port: int) -> None:
    """A listing without its body would read as an empty one."""
    keys = [f"cut/{number}" for number in range(5)]
    clean = S3Storage(S3Address.parse(s3_url(port)))
    for key in keys:
        clean.write(key, key.encode())
    with lossy(port, loss=0.4, seed=2) as (proxy, lost):
        storage = S3Storage(S3Address.parse(s3_url(proxy)))
        for _ in range(10):
            assert storage.list("cut/") == keys
            assert storage.read(keys[0]) == keys[0].encode()
        assert lost.value > 5


class _Answering:
    """A client whose creates are answered in turn by statuses or by exceptions; 200 is success."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)

    def put_object(self, **asked: Any) -> None:
        assert asked["IfNoneMatch"] == "*"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer != 200:
            raise ClientError({"Error": {"Code": str(answer)}, "ResponseMetadata": {"HTTPStatusCode": answer}}, "Put")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evernas.storage.s3.CONFLICT_PAUSE_S", 0.0)


def _storage(*answers: int | Exception) -> S3Storage:
    return S3Storage(S3Address("b", "p"), _Answering(*answers))


def test_a_conflict_is_asked_again() -> None:
    _storage(409, 409, 200).create("k", b"")
    with pytest.raises(AlreadyExists):
        _storage(409, 412).create("k", b"")


@pytest.mark.parametrize("answer", [500, 503, ReadTimeoutError(endpoint_url="x")])
def test_no_answer_leaves_the_outcome_unknown(answer: int | Exception) -> None:
    with pytest.raises(UnknownOutcome, match="s3://b/p/k could not be created"):
        _storage(answer).create("k", b"")


def test_conflicts_without_end_leave_the_outcome_unknown() -> None:
    with pytest.raises(UnknownOutcome):
        _storage(*[409] * 8).create("k", b"")


def test_a_refusal_is_told_as_one() -> None:
    with pytest.raises(EvernasError, match="the server refuses it") as failure:
        _storage(403).create("k", b"")
    assert not isinstance(failure.value, UnknownOutcome)


def test_a_body_that_breaks_off_is_read_again(port: int) -> None:
    S3Storage(S3Address.parse(s3_url(port))).write("torn", b"x" * 1000)
    with faulty(port) as proxy:
        storage = S3Storage(S3Address.parse(s3_url(proxy.port)))

        def tear(asked: Asked, answer: Answer) -> Answer:
            return replace(answer, cut=500) if len(proxy.asked) == 1 else answer

        proxy.fault = tear
        assert storage.read("torn") == b"x" * 1000
        assert storage.traffic.requests == {"get": 2}
        assert storage.traffic.bytes_read == 1000


def test_a_refused_key_is_missing_only_if_the_listing_lacks_it(port: int) -> None:
    """Who may list by prefix only is answered 403 for a key that is not there."""
    S3Storage(S3Address.parse(s3_url(port))).write("there", b"1")
    with faulty(port) as proxy:
        storage = S3Storage(S3Address.parse(s3_url(proxy.port)))
        proxy.fault = lambda asked, answer: answer if asked.kind == "list" else refusal(403, "AccessDenied")
        with pytest.raises(KeyError):
            storage.read("gone")
        assert not storage.exists("gone")
        with pytest.raises(EvernasError, match="there could not be read"):
            storage.read("there")


def test_what_is_kept_under_its_own_name_is_neither_read_nor_written_again(port: int) -> None:
    with faulty(port) as proxy:
        storage = S3Storage(S3Address.parse(s3_url(proxy.port)))
        storage.keep("named", b"1")
        storage.keep("named", b"1")
        assert proxy.counts() == {"put": 2}
        assert storage.traffic.bytes_written == 1


@pytest.fixture
def versioned(port: int) -> Iterator[S3Storage]:
    """A bucket that keeps versions, and lists them one a page."""
    storage = S3Storage(S3Address.parse(s3_url(port, bucket="versioned")))
    client = storage._client
    client.create_bucket(Bucket="versioned")
    client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    event = "provide-client-params.s3.ListObjectVersions"
    client.meta.events.register(event, lambda params, **rest: {**params, "MaxKeys": 1})
    yield storage
    for key in storage.list():
        storage.erase(key)
    client.meta.events.unregister(event)
    storage.erase_versions("")
    client.delete_bucket(Bucket="versioned")


def _kept(storage: S3Storage) -> list[tuple[str, bool]]:
    """All versions and markers that a bucket has, by key, and whether each is a marker."""
    found = []
    for page in storage._client.get_paginator("list_object_versions").paginate(Bucket="versioned"):
        found += [(item["Key"].removeprefix("team/"), False) for item in page.get("Versions", [])]
        found += [(item["Key"].removeprefix("team/"), True) for item in page.get("DeleteMarkers", [])]
    return sorted(found)


def test_of_keys_that_were_deleted_no_version_is_left_over_many_pages(versioned: S3Storage) -> None:
    for key in ("x/a", "x/b"):
        for data in (b"1", b"2", b"3"):
            versioned.write(key, data)
    versioned.delete("x/a")
    versioned.erase_versions("x/")
    assert _kept(versioned) == [("x/b", False)]
    assert versioned.read("x/b") == b"3"


def test_a_key_that_was_deleted_and_written_again_keeps_what_it_holds_now(versioned: S3Storage) -> None:
    versioned.write("x/a", b"1")
    versioned.delete("x/a")
    versioned.write("x/a", b"2")
    versioned.erase_versions("")
    assert _kept(versioned) == [("x/a", False)]
    assert versioned.read("x/a") == b"2"


def test_to_erase_a_key_brings_no_key_back_that_begins_like_it(versioned: S3Storage) -> None:
    for key in ("x/a", "x/ab", "x/a/c"):
        versioned.write(key, b"1")
        versioned.write(key, b"2")
    versioned.delete("x/ab")
    versioned.erase("x/a")
    assert not versioned.exists("x/ab")
    assert versioned.list() == ["x/a/c"]
    assert _kept(versioned) == [*[("x/a/c", False)] * 2, *[("x/ab", False)] * 2, ("x/ab", True)]


def test_of_machines_that_finish_one_step_at_once_one_counts_for_all(port: int, tmp_path: Path) -> None:
    """On a server that says which create won, with answers that are lost on the way."""
    with lossy(port, loss=0.2, seed=2) as (proxy, lost):
        storage = S3Storage(S3Address.parse(s3_url(proxy)))

        def finish(number: int) -> str:
            scratch = tmp_path / str(number)
            home = Home(scratch, Bucket(scratch, storage))
            steps = steps_of(home, "race")
            (steps.workspace("supernet/k") / "a.bin").write_text(str(number))
            with claim(home, 0.0, print) as owner:
                done = Done("supernet/k", scratch, {"made_by": number}, {}, "r")
                stands = steps.finish(done, ["a.bin"], owner.guard)
            text = stands.file("a.bin").read_text()
            assert text == str(stands.facts["made_by"])
            return text

        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(finish, range(8)))
        assert lost.value > 0
    assert len(found) == 1
