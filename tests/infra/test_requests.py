"""What the decision's Job, promotion and the receiver ask of a bucket, as infra/ grants it: the rest is refused on AWS.

Terraform's own tests compare the policies with the same file of requests.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evernas.errors import IntegrityError
from evernas.registry.entries import Entry
from evernas.registry.journal import Journal
from evernas.registry.opening import open_slots
from evernas.state import Done, Home
from evernas.state.bucket import Bucket
from evernas.state.bucket_steps import BucketSteps
from evernas.state.notices import notices, record, remove
from evernas.state.ownership import claim
from evernas.state.restoring import refuse_half
from evernas.state.sharing import steps_of, storage_of
from evernas.steps.allowance import book_of
from evernas.steps.handover import forget
from evernas.steps.leased import release
from evernas.storage import FileStorage
from evernas.triggers.lease import leases_of

ASKED = Path(__file__).parents[2] / "infra" / "tests" / "asked" / "requests.json"
PROJECT = "watch"
NUMBER = re.compile(r"\b[0-9a-f]{6,}\b")
COST = b'{"version": 1, "run": "r", "part": "p", "evaluations": 0, "cpu_seconds": 1, "gpu_seconds": 0}'
GATE, SEARCH = "gate/k", "search/k"


class Recorded(FileStorage):
    """A storage that notes, once somebody asks, each request as IAM names it, with an x for a digest or number."""

    asked: set[str] | None = None

    def _note(self, action: str, key: str) -> None:
        if self.asked is not None:
            self.asked.add(f"s3:{action} {NUMBER.sub('x', key)}")

    def read(self, key: str) -> bytes:
        self._note("GetObject", key)
        return super().read(key)

    def exists(self, key: str) -> bool:
        self._note("GetObject", key)
        return super().exists(key)

    def age_s(self, key: str) -> float:
        self._note("GetObject", key)
        return super().age_s(key)

    def write(self, key: str, data: bytes) -> None:
        self._note("PutObject", key)
        super().write(key, data)

    def create(self, key: str, data: bytes) -> None:
        self._note("PutObject", key)
        super().create(key, data)

    def keep(self, key: str, data: bytes) -> None:
        self._note("PutObject", key)
        super().keep(key, data)

    def list(self, prefix: str = "") -> list[str]:
        self._note("ListBucket", prefix)
        return super().list(prefix)

    def delete(self, key: str) -> None:
        self._note("DeleteObject", key)
        super().delete(key)


class Place:
    """A project's state in a bucket, seen from an empty scratch folder."""

    def __init__(self, folder: Path) -> None:
        self.storage = Recorded(folder / "bucket")
        self.home = Home(folder / "scratch", Bucket(folder / "scratch", self.storage))
        self.leases = leases_of(self.home, PROJECT)
        self.journal = Journal(open_slots(None, self.home, PROJECT))
        self.owner = claim(self.home, 0.0, print)
        lease = self.leases.claim("r")
        assert lease is not None
        self.lease = lease
        self.leases.defer("r")
        storage_of(self.home, self.home.handed_over(PROJECT)).write("r.json", b"{}")

    def elsewhere(self) -> Home:
        """The same state, seen from another machine."""
        scratch = self.home.path.parent / "other"
        return Home(scratch, Bucket(scratch, self.storage))

    @contextlib.contextmanager
    def recording(self) -> Iterator[set[str]]:
        self.storage.asked = set()
        try:
            yield self.storage.asked
        finally:
            self.storage.asked = None


def step(place: Place, ref: str, output: str) -> None:
    """A step is done, and was kept once while it worked."""
    steps = steps_of(place.home, PROJECT)
    assert isinstance(steps, BucketSteps)
    folder = steps.renew(ref, "r")
    (folder / output).write_bytes(b"made")
    steps.keep(ref, output)
    steps.finish(Done(ref, folder, {}, {}, "r"), [output], place.owner.guard)


def decide(place: Place) -> None:
    """What a decision leaves and takes away; and that it finds an output of an earlier step damaged."""
    step(place, GATE, "evidence.json")
    done = steps_of(place.elsewhere(), PROJECT).get(SEARCH)
    with pytest.raises(IntegrityError, match="run again to make it anew"):
        done.file("points.json")
    release(place.lease, done=True)
    forget(place.home, PROJECT, "r")


def promote(place: Place) -> None:
    head = place.journal.head_number("laptop")
    place.journal.claim(Entry(head + 1, "laptop", "b", None, "r", "v", "m", "2026-01-01T00:00:00+00:00", "t"))
    assert place.journal.head("laptop") is not None


def receive(place: Place) -> None:
    """One look at everything that a receiver follows."""
    refuse_half(place.home, PROJECT)
    for device in place.journal.devices():
        place.journal.read(device, place.journal.head_number(device))
    for key in notices(place.home, PROJECT):
        remove(place.home, PROJECT, key)
    book_of(place.home, PROJECT).of_month("2026-01")
    handed_over = storage_of(place.home, place.home.handed_over(PROJECT), kept=False)
    for key in handed_over.list():
        handed_over.read(key)
        handed_over.delete(key)
    place.leases.is_free()
    place.leases.note_removed([("bucket", "key")])
    place.leases.end("r")
    for run in place.leases.deferred():
        place.leases.settle(run)


def may(account: str) -> set[str]:
    asked = json.loads(ASKED.read_text())[account]["may"]
    return {f"{action} {key}" for action, keys in asked.items() for key in keys}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    step(made, SEARCH, "points.json")
    for key in made.storage.list("candidates/state/watch/steps/search/k/outputs/"):
        made.storage.write(key, b"damaged")
    for path in made.home.steps(PROJECT).rglob("points.json"):
        path.unlink()
    promote(made)
    record(made.home, PROJECT, "hold", "laptop", "It stays.", {"run": "r"})
    storage_of(made.home, made.home.project(PROJECT) / "costs").write("2026-01/r.gate@laptop.1.json", COST)
    return made


@pytest.mark.parametrize(("account", "work"), [("decider", decide), ("promoter", promote), ("receiver", receive)])
def test_all_that_is_asked_for_is_granted(place: Place, account: str, work: Callable[[Place], None]) -> None:
    with place.recording() as asked:
        work(place)
    assert asked - may(account) == set()


@pytest.mark.parametrize(("account", "work"), [("decider", decide), ("receiver", receive)])
def test_nothing_may_be_deleted_that_nobody_deletes(place: Place, account: str, work: Callable[[Place], None]) -> None:
    with place.recording() as asked:
        work(place)
    assert {one for one in may(account) - asked if one.startswith("s3:DeleteObject")} == set()
