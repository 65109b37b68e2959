"""The journal, on every storage: one winner an entry, no gaps, and a claim whose answer was lost still succeeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evernas.errors import EvernasError, HoldError, IntegrityError, UnknownOutcome, UsageError
from evernas.registry.entries import Entry
from evernas.registry.journal import Journal
from evernas.registry.opening import open_slots
from evernas.registry.slots import Slots, StorageSlots
from evernas.state import Home
from evernas.storage import AlreadyExists, FileStorage

ENTRY = Entry(1, "laptop", "b" * 64, {}, "run", "v", "models:/m/1", "2026-01-01T00:00:00+00:00", "token")


def test_head_is_the_newest_entry_of_the_device(journal: Journal) -> None:
    assert journal.head("laptop") is None
    journal.claim(ENTRY)
    journal.claim(replace(ENTRY, number=2, token="other"))
    assert journal.heads(["laptop", "phone"]) == {"laptop": 2, "phone": 0}
    head = journal.head("laptop")
    assert head is not None
    assert head.token == "other"
    assert journal.read("laptop", 1) == ENTRY
    with pytest.raises(KeyError):
        journal.read("laptop", 3)


def test_projects_do_not_see_one_another(url: str | None, project: str, tmp_path: Path, journal: Journal) -> None:
    journal.claim(ENTRY)
    other = Journal(open_slots(url, Home(tmp_path / "home"), f"{project}-b"))
    assert other.head_number("laptop") == 0
    other.claim(replace(ENTRY, token="of the other"))
    assert journal.read("laptop", 1).token == "token"


def test_a_number_that_is_taken_is_refused_with_the_run_that_took_it(journal: Journal) -> None:
    journal.claim(ENTRY)
    with pytest.raises(HoldError, match="by run run is that entry"):
        journal.claim(replace(ENTRY, token="late"))
    assert journal.read("laptop", 1).token == "token"


def test_a_gap_is_refused(journal: Journal) -> None:
    with pytest.raises(HoldError, match="shorter"):
        journal.claim(replace(ENTRY, number=2))
    assert journal.head_number("laptop") == 0


def test_a_claim_repeated_after_a_lost_answer_succeeds_once(journal: Journal) -> None:
    journal.claim(ENTRY)
    assert journal.claim(replace(ENTRY, promoted_at="later")) == ENTRY
    assert journal.head_number("laptop") == 1


class _Careless(FileStorage):
    """A storage that lets a create replace what is there, as an S3 server does that ignores IfNoneMatch."""

    def create(self, key: str, data: bytes) -> None:
        self.write(key, data)


def test_a_storage_that_accepts_a_second_create_is_refused_before_any_claim(tmp_path: Path) -> None:
    journal = Journal(StorageSlots(_Careless(tmp_path), "s3://careless"))
    for _ in range(2):
        with pytest.raises(UsageError, match="s3://careless accepted a second write"):
            journal.claim(ENTRY)
    assert journal.head_number("laptop") == 0


class _Losing(Slots):
    """Places whose answers are lost in turn: a list of what happens to each create after the probe's."""

    def __init__(self, inner: Slots, fates: list[str]) -> None:
        self.inner, self.fates = inner, fates

    place = "losing"

    def devices(self) -> list[str]:
        return self.inner.devices()

    def newest(self, device: str) -> int:
        return self.inner.newest(device)

    def read(self, device: str, number: int) -> bytes:
        return self.inner.read(device, number)

    def create(self, device: str, number: int, data: bytes) -> None:
        fate = "fine" if device.startswith("_") or not self.fates else self.fates.pop(0)
        if fate != "lost before":
            self.inner.create(device, number, data)
        if fate != "fine":
            raise UnknownOutcome("no answer")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evernas.storage.claiming.PAUSE_S", 0.0)


@pytest.mark.parametrize("fates", [["lost after"], ["lost before"], ["lost before", "lost after"]])
def test_a_winner_whose_answer_was_lost_learns_that_it_won(tmp_path: Path, fates: list[str]) -> None:
    inner = open_slots(None, Home(tmp_path), "watch")
    assert Journal(_Losing(inner, fates)).claim(ENTRY) == ENTRY
    assert Journal(inner).head_number("laptop") == 1


def test_a_loser_whose_answer_was_lost_learns_that_it_lost(tmp_path: Path) -> None:
    inner = open_slots(None, Home(tmp_path), "watch")
    Journal(inner).claim(replace(ENTRY, token="first"))
    with pytest.raises(HoldError):
        Journal(_Losing(inner, ["lost before"])).claim(ENTRY)
    assert Journal(inner).read("laptop", 1).token == "first"


def test_a_storage_that_stays_silent_leaves_the_outcome_unknown_and_says_so(tmp_path: Path) -> None:
    inner = open_slots(None, Home(tmp_path), "watch")
    with pytest.raises(UnknownOutcome):
        Journal(_Losing(inner, ["lost before"] * 99)).claim(ENTRY)


def test_entries_of_version_1_are_read_as_promotions(tmp_path: Path) -> None:
    home = Home(tmp_path)
    old = {
        name: value
        for name, value in replace(ENTRY, number=2, stands=2).to_json().items()
        if name not in ("kind", "stands", "previous", "reason", "signed")
    }
    FileStorage(home.journal("watch")).create("laptop/000002.json", json.dumps({**old, "version": 1}).encode())
    head = Journal(open_slots(None, home, "watch")).head("laptop")
    assert head is not None
    assert (head.kind, head.stands, head.previous, head.signed) == ("promotion", 2, 1, None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "damaged"),
        (b"[1]", "damaged"),
        (b'{"version": 9}', "a newer evernas"),
        (b'{"version": 2}', "not those of an entry"),
    ],
)
def test_an_entry_that_is_none_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    home = Home(tmp_path)
    FileStorage(home.journal("watch")).create("laptop/000001.json", data)
    with pytest.raises(IntegrityError, match=message):
        Journal(open_slots(None, home, "watch")).head("laptop")


def test_an_entry_moved_to_another_number_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    FileStorage(home.journal("watch")).create("laptop/000002.json", ENTRY.to_bytes())
    with pytest.raises(IntegrityError, match="says that it is entry 1"):
        Journal(open_slots(None, home, "watch")).head("laptop")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://host/x", "use s3://bucket/prefix"),
        ("mysql://host/db", "use s3://bucket/prefix"),
        ("sqlite://", "sqlite:///path of a file"),
        ("s3:///prefix", "no address of an S3 bucket"),
        ("s3://key:secret@bucket/prefix", "no address of an S3 bucket"),
        ("s3://bucket/../x", "no plain relative path"),
        ("s3://bucket/x?endpiont=y", "no address of an S3 bucket"),
        ("postgresql://${EVERNAS_TEST_NOT_SET}@host/db", "EVERNAS_TEST_NOT_SET is not set"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_with_the_mend(tmp_path: Path, address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_slots(address, Home(tmp_path), "watch")


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    slots = open_slots("postgresql://me:secret@127.0.0.1:1/db", Home(tmp_path), "watch")
    with pytest.raises(EvernasError, match=r"127\.0\.0\.1:1") as failure:
        slots.newest("laptop")
    assert "secret" not in str(failure.value)


def test_an_account_that_may_only_read_and_insert_is_enough_and_one_that_may_not_is_told(
    postgres_port: int, tmp_path: Path
) -> None:
    import psycopg
    from registry_servers import postgres_url

    owner = postgres_url(postgres_port)
    journal = Journal(open_slots(owner, Home(tmp_path), "rights"))
    journal.claim(ENTRY)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS promoter")
        connection.execute("CREATE ROLE promoter LOGIN")
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("GRANT SELECT, INSERT ON evernas_journal TO promoter")
        connection.execute("GRANT SELECT ON evernas_journal TO reader")
    promoter = Journal(open_slots(owner.replace("evernas@", "promoter@"), Home(tmp_path), "rights"))
    promoter.claim(replace(ENTRY, number=2, token="second"))
    reader = Journal(open_slots(owner.replace("evernas@", "reader@"), Home(tmp_path), "rights"))
    assert reader.head_number("laptop") == 2
    with pytest.raises(EvernasError, match="permission denied") as failure:
        reader.claim(replace(ENTRY, number=3, token="third"))
    assert not isinstance(failure.value, UnknownOutcome)
    with psycopg.connect(owner, autocommit=True) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("INSERT INTO evernas_journal SELECT * FROM evernas_journal")


def test_create_refuses_what_exists_and_keeps_it(url: str | None, project: str, tmp_path: Path) -> None:
    slots = open_slots(url, Home(tmp_path / "home"), project)
    slots.create("laptop", 1, b'"first"')
    with pytest.raises(AlreadyExists):
        slots.create("laptop", 1, b'"second"')
    assert slots.read("laptop", 1) == b'"first"'
