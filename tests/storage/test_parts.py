"""Large files go to an S3 server in parts and come from it in pieces, whatever fails on the way."""

from __future__ import annotations

import hashlib
import json
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from registry_servers import BUCKET, s3, s3_url
from typer.testing import CliRunner

from evernas.cli import app
from evernas.digest import digest_bytes
from evernas.errors import EvernasError, IntegrityError, UnknownOutcome, UsageError
from evernas.storage import Refused, files, parts
from evernas.storage import s3 as s3_module
from evernas.storage.s3 import S3Address, S3Storage, connect
from faulty_proxy import Answer, Asked, Proxy, faulty, refusal

# S3 takes no smaller part but the last.
PART = 5 * 2**20
DATA = random.Random(0).randbytes(2 * PART + 12345)
OLD = b"what was there before"
CONFIG = Path(__file__).parents[2] / "examples" / "watch" / "evernas.yaml"
BEGUN = re.compile(rb"(?<=<Initiated>)[^<]*")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with s3() as port:
        yield port


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (parts, s3_module, files):
        monkeypatch.setattr(module, "LARGE_BYTES", PART)
    monkeypatch.setattr(parts, "PAUSE_S", 0.0)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0.0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def proxy(port: int) -> Iterator[Proxy]:
    with faulty(port) as proxy:
        yield proxy


@pytest.fixture
def there(port: int) -> Iterator[S3Storage]:
    """The bucket as the server has it; in the end nothing is left under way in it."""
    storage = S3Storage(S3Address.parse(s3_url(port)))
    storage.write("k", OLD)
    yield storage
    for upload in storage.left_uploads("", 0.0):
        storage.abort_upload(upload)
    storage.delete("k")


@pytest.fixture
def storage(proxy: Proxy, there: S3Storage) -> S3Storage:
    address = S3Address.parse(s3_url(proxy.port))
    return S3Storage(address, connect(address, read_timeout_s=2.0))


def write(storage: S3Storage, file: Path, key: str = "k") -> None:
    with file.open("rb") as opened:
        storage.write_file(key, opened)


def keep(storage: S3Storage, file: Path, key: str) -> None:
    with file.open("rb") as opened:
        storage.keep_file(key, opened, digest_bytes(DATA))


def is_part(asked: Asked, number: int) -> bool:
    return asked.kind == "put" and f"partNumber={number}&" in f"{asked.query}&"


def test_a_large_file_is_sent_in_parts_and_comes_back(
    storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path, tmp_path: Path
) -> None:
    write(storage, file)
    assert there.read("k") == DATA
    sizes = sorted(int(one.headers["Content-Length"]) for one in proxy.asked if one.kind == "put")
    assert sizes == [12345, PART, PART]
    storage.read_file("k", tmp_path / "back", digest_bytes(DATA))
    assert (tmp_path / "back").read_bytes() == DATA
    assert there.left_uploads("", 0.0) == []


def test_a_file_of_one_part_is_one_request(storage: S3Storage, proxy: Proxy, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(DATA[:PART])
    write(storage, small)
    assert proxy.counts() == {"put": 1}
    assert storage.read("k") == DATA[:PART]


Wrong = Callable[[Answer], Answer]


@pytest.mark.parametrize(
    ("often", "wrong"),
    [
        (3, lambda answer: refusal(500, "InternalError")),
        (3, lambda answer: refusal(503, "SlowDown")),
        (3, lambda answer: refusal(400, "RequestTimeout")),
        (3, lambda answer: refusal(400, "BadDigest")),
        (2, lambda answer: replace(answer, stall=True, body=b" ", cut=1)),
        (2, lambda answer: replace(answer, body=b"x" * 10, cut=9)),
    ],
    ids=["500", "slow down", "request timeout", "bad digest", "no answer", "cut answer"],
)
def test_a_part_that_fails_is_sent_again(
    storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path, often: int, wrong: Wrong
) -> None:
    failed = list[Asked]()

    def fault(asked: Asked, answer: Answer) -> Answer:
        if is_part(asked, 2) and len(failed) < often:
            failed.append(asked)
            return wrong(answer)
        return answer

    proxy.fault = fault
    write(storage, file)
    assert len(failed) == often
    assert there.read("k") == DATA
    assert sum(is_part(one, 1) for one in proxy.asked) == 1, "the other parts are not sent again"


def test_a_part_that_arrives_torn_on_a_server_that_does_not_look_is_sent_again(
    storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path
) -> None:
    def torn(asked: Asked, body: bytes) -> bytes:
        times = sum(is_part(one, 2) for one in proxy.asked)
        return body[:-1] if is_part(asked, 2) and times < 3 else body

    proxy.torn = torn
    write(storage, file)
    assert there.read("k") == DATA


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_part_that_never_comes_through_leaves_what_was_there_and_no_part(
    storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path, number: int
) -> None:
    proxy.fault = lambda asked, answer: refusal(500, "InternalError") if is_part(asked, number) else answer
    with pytest.raises(UnknownOutcome, match="k could not be written"):
        write(storage, file)
    assert there.read("k") == OLD
    assert there.left_uploads("", 0.0) == []


def test_a_refused_part_is_told_as_a_refusal(storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path) -> None:
    proxy.instead = lambda asked: refusal(403, "AccessDenied") if is_part(asked, 2) else None
    with pytest.raises(Refused, match="rights of the credentials"):
        write(storage, file)
    assert there.read("k") == OLD
    assert there.left_uploads("", 0.0) == []


def test_what_fails_is_told_even_if_its_parts_cannot_be_taken_away(
    storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path
) -> None:
    proxy.instead = lambda asked: refusal(403, "Denied") if is_part(asked, 2) or asked.kind == "delete" else None
    with pytest.raises(Refused, match="k could not be written"):
        write(storage, file)
    (left,) = there.left_uploads("", 0.0)
    assert (left.key, left.bytes) == ("k", PART + 12345)


def test_a_file_that_changes_while_it_is_sent_is_not_published(
    storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path
) -> None:
    def grow(asked: Asked) -> None:
        if is_part(asked, 1):
            with file.open("ab") as opened:
                opened.write(b"more")

    proxy.instead = grow
    with pytest.raises(IntegrityError, match="changed while it was sent"):
        write(storage, file)
    assert there.read("k") == OLD
    assert there.left_uploads("", 0.0) == []


def test_what_is_named_for_other_bytes_is_not_published(storage: S3Storage, there: S3Storage, tmp_path: Path) -> None:
    for size in (PART + 1, 10):
        other = tmp_path / "other"
        other.write_bytes(DATA[:size])
        with pytest.raises(IntegrityError):
            keep(storage, other, "named")
        assert not there.exists("named")
    assert there.left_uploads("", 0.0) == []


def test_what_is_kept_is_not_sent_again(storage: S3Storage, proxy: Proxy, file: Path) -> None:
    keep(storage, file, "kept")
    before = len(proxy.asked)
    keep(storage, file, "kept")
    assert [one.kind for one in proxy.asked[before:]] == ["head"]


def test_who_may_not_look_sends_all_and_replaces_nothing(
    storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path
) -> None:
    there.write("withheld", OLD)
    proxy.instead = lambda asked: refusal(403, "AccessDenied") if asked.kind in ("head", "list") else None
    keep(storage, file, "withheld")
    assert there.read("withheld") == OLD, "the server looked at the last request"
    assert there.left_uploads("", 0.0) == []


def test_of_many_that_keep_one_key_at_once_none_fails(port: int, there: S3Storage, file: Path) -> None:
    start = threading.Barrier(4)

    def send(number: int) -> None:
        storage = S3Storage(S3Address.parse(s3_url(port)))
        start.wait()
        keep(storage, file, "at-once")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(send, range(4)))
    assert there.read("at-once") == DATA
    assert there.left_uploads("", 0.0) == []


def completes(asked: Asked) -> bool:
    return asked.kind == "post" and "uploadId" in asked.query


def test_a_conflict_at_the_end_sends_all_again(storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path) -> None:
    def conflict(asked: Asked) -> Answer | None:
        first = sum(map(completes, proxy.asked)) == 1
        return refusal(409, "ConditionalRequestConflict") if completes(asked) and first else None

    proxy.instead = conflict
    keep(storage, file, "contended")
    assert there.read("contended") == DATA
    assert sum(is_part(one, 1) for one in proxy.asked) == 2
    assert there.left_uploads("", 0.0) == []


@pytest.mark.parametrize("forgets", [False, True], ids=["same answer", "no such upload"])
def test_a_lost_answer_to_the_last_request_is_settled(
    storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path, forgets: bool
) -> None:
    def lose(asked: Asked, answer: Answer) -> Answer:
        if not completes(asked):
            return answer
        if sum(map(completes, proxy.asked)) == 1:
            return replace(answer, cut=len(answer.body))
        return refusal(404, "NoSuchUpload") if forgets else answer

    proxy.fault = lose
    write(storage, file)
    assert there.read("k") == DATA


def test_an_upload_that_somebody_ended_is_not_taken_for_done(
    storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path
) -> None:
    def ended(asked: Asked) -> Answer | None:
        if not completes(asked):
            return None
        for upload in there.left_uploads("", 0.0):
            there.abort_upload(upload)
        return refusal(404, "NoSuchUpload")

    proxy.instead = ended
    with pytest.raises(UnknownOutcome, match="does not hold what was sent"):
        write(storage, file)
    assert there.read("k") == OLD


@pytest.mark.parametrize("status", [405, 501])
def test_a_server_without_parts_gets_one_request(
    storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path, status: int
) -> None:
    proxy.instead = lambda asked: refusal(status, "NotImplemented") if asked.kind == "post" else None
    write(storage, file)
    assert there.read("k") == DATA
    keep(storage, file, "no-parts")
    assert there.read("no-parts") == DATA


def test_a_server_that_knows_no_condition_at_the_end_goes_on_without(
    storage: S3Storage, there: S3Storage, proxy: Proxy, file: Path
) -> None:
    proxy.instead = lambda asked: (
        refusal(501, "NotImplemented") if completes(asked) and "If-None-Match" in asked.headers else None
    )
    keep(storage, file, "unconditional")
    assert there.read("unconditional") == DATA


def gets(proxy: Proxy) -> list[Asked]:
    return [one for one in proxy.asked if one.kind == "get"]


def test_a_body_that_breaks_off_is_gone_on_with(
    storage: S3Storage, there: S3Storage, proxy: Proxy, tmp_path: Path
) -> None:
    there.write("k", DATA)

    def tear(asked: Asked, answer: Answer) -> Answer:
        return replace(answer, cut=len(answer.body) // 2) if len(gets(proxy)) < 4 else answer

    proxy.fault = tear
    storage.read_file("k", tmp_path / "back", digest_bytes(DATA))
    assert (tmp_path / "back").read_bytes() == DATA
    assert [("Range" in one.headers, "If-Match" in one.headers) for one in gets(proxy)] == [
        (False, False),
        *[(True, True)] * 3,
    ]


def test_an_object_that_is_replaced_meanwhile_is_fetched_as_one_version(
    storage: S3Storage, there: S3Storage, proxy: Proxy, tmp_path: Path
) -> None:
    there.write("k", DATA)
    other = DATA[::-1]

    def tear(asked: Asked, answer: Answer) -> Answer:
        if len(gets(proxy)) == 1:
            there.write("k", other)
            return replace(answer, cut=len(answer.body) // 2)
        return answer

    proxy.fault = tear
    storage.read_file("k", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == other


def rest_of_another(asked: Asked, answer: Answer, body: bytes) -> Answer:
    """What a server that heeds no condition gives of an object that has been replaced, from where it is asked for."""
    begin = int(asked.headers["Range"].removeprefix("bytes=").rstrip("-"))
    about = {"ETag": '"of-another"', "Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"}
    return replace(answer, status=206, headers=about, body=body[begin:])


def test_a_server_that_heeds_no_condition_does_not_get_two_versions_joined(
    storage: S3Storage, there: S3Storage, proxy: Proxy, tmp_path: Path
) -> None:
    there.write("k", DATA)
    other = DATA[::-1]

    def careless(asked: Asked, answer: Answer) -> Answer:
        if len(gets(proxy)) == 1:
            there.write("k", other)
            return replace(answer, cut=len(answer.body) // 2)
        if "Range" not in asked.headers:
            return answer
        return rest_of_another(asked, answer, other)

    proxy.fault = careless
    storage.read_file("k", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == other


def test_a_server_that_gives_the_whole_for_the_rest_is_believed(
    storage: S3Storage, there: S3Storage, proxy: Proxy, tmp_path: Path
) -> None:
    there.write("k", DATA)

    def whole(asked: Asked, answer: Answer) -> Answer:
        if len(gets(proxy)) == 1:
            return replace(answer, cut=100)
        headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-range"}
        return replace(answer, status=200, headers=headers, body=DATA)

    proxy.fault = whole
    storage.read_file("k", tmp_path / "back", digest_bytes(DATA))
    assert (tmp_path / "back").read_bytes() == DATA


def test_bytes_that_never_come_are_told_and_leave_what_was_there(
    storage: S3Storage, proxy: Proxy, tmp_path: Path
) -> None:
    back = tmp_path / "back"
    back.write_bytes(b"older")
    proxy.fault = lambda asked, answer: replace(answer, cut=len(answer.body))
    with pytest.raises(UnknownOutcome, match="k could not be read"):
        storage.read_file("k", back)
    assert back.read_bytes() == b"older"
    assert len(gets(proxy)) == parts.TRIES
    proxy.fault = None
    with pytest.raises(IntegrityError, match="not the recorded"):
        storage.read_file("k", back, "0" * 64)
    with pytest.raises(KeyError):
        storage.read_file("nothing", back)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]


SEND = """
import sys
from pathlib import Path
from evernas.storage import parts
from evernas.storage.s3 import S3Address, S3Storage
parts.LARGE_BYTES = int(sys.argv[3])
with Path(sys.argv[2]).open("rb") as file:
    S3Storage(S3Address.parse(sys.argv[1])).write_file("candidates/k", file)
"""


def test_a_killed_upload_leaves_the_object_as_it_was_and_gc_takes_its_parts(
    there: S3Storage, port: int, proxy: Proxy, file: Path, tmp_path: Path
) -> None:
    there.write("candidates/k", OLD)
    reached = threading.Event()

    def stall(asked: Asked, answer: Answer) -> Answer:
        if not is_part(asked, 3):
            return answer
        reached.set()
        return replace(answer, stall=True, body=b" ", cut=1)

    proxy.fault = stall
    child = subprocess.Popen([sys.executable, "-c", SEND, s3_url(proxy.port), str(file), str(PART)])
    assert reached.wait(60)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert there.read("candidates/k") == OLD
    (left,) = there.left_uploads("candidates/", 0.0)
    assert left.bytes >= 12345
    # A server's clock tells whole seconds.
    began = datetime.now(tz=UTC) - timedelta(seconds=5)
    # Moto says of all uploads that they were begun on one day of 2010.
    proxy.fault = lambda asked, answer: replace(answer, body=BEGUN.sub(began.isoformat().encode(), answer.body))

    def gc(*more: str) -> str:
        done = CliRunner().invoke(app, ["gc", str(CONFIG), "--state", s3_url(proxy.port), *more])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "0 uploads that never ended, 0.0 MB would be removed" in gc()
    assert "0 uploads that never ended, 0.0 MB were removed" in gc("--apply")
    # What is under way now may be a run's of any project.
    assert "candidates/k: " in gc("--days", "0")
    refused = CliRunner().invoke(app, ["gc", str(CONFIG), "--state", s3_url(proxy.port), "--days", "0", "--apply"])
    assert isinstance(refused.exception, UsageError)
    assert "may still be under way" in str(refused.exception)
    assert len(there.left_uploads("", 0.0)) == 1
    began -= timedelta(days=3)
    assert "candidates/k: " in gc()
    assert "0 uploads" in gc("--days", "4")
    assert len(there.left_uploads("", 0.0)) == 1
    told = json.loads(gc("--apply", "--json").splitlines()[0])
    assert told == {"removed": True, "uploads": ["candidates/k"], "bytes": left.bytes}
    assert there.left_uploads("", 0.0) == []
    assert there.read("candidates/k") == OLD


def test_parts_are_held_in_bounded_memory(storage: S3Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file of many parts no more are read than are on their way, and one."""
    monkeypatch.setattr(parts, "LARGE_BYTES", 1000)
    large = tmp_path / "large"
    large.write_bytes(DATA[:50_000])
    held, most, lock, full = 0, 0, threading.Lock(), threading.Barrier(parts.AT_ONCE)

    def sent(client: Any, upload: Any, number: int, data: bytes) -> str:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        if number <= parts.AT_ONCE:
            full.wait(60)
        with lock:
            held -= 1
        return hashlib.md5(data, usedforsecurity=False).hexdigest()

    monkeypatch.setattr(parts, "_send_part", sent)
    with large.open("rb") as opened:
        upload = {"Bucket": BUCKET, "Key": "k", "UploadId": "u"}
        found = parts._sent_parts(storage._client, upload, opened, 50_000, digest_bytes(DATA[:50_000]))
    assert most == parts.AT_ONCE
    assert [part["PartNumber"] for part in found] == list(range(1, 51))


def test_an_object_that_is_another_each_time_ends_in_a_sentence(
    storage: S3Storage, there: S3Storage, proxy: Proxy, tmp_path: Path
) -> None:
    there.write("k", DATA)

    def restless(asked: Asked, answer: Answer) -> Answer:
        if "Range" not in asked.headers:
            return replace(answer, cut=len(answer.body) // 2)
        return rest_of_another(asked, answer, DATA)

    proxy.fault = restless
    with pytest.raises(EvernasError, match="was another object each time"):
        storage.read_file("k", tmp_path / "back")
    assert not (tmp_path / "back").exists()
