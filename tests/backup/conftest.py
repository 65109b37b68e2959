"""Projects with champions, a ledger and an inbox, whose state and journal lie here or there; and empty places."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from registry_servers import BUCKET, s3

import serving
from evernas.bundle import Bundle
from evernas.config import Config
from evernas.config_triggers import SecretRef, TriggersConfig
from evernas.outbox.sending import database_of
from evernas.registry.keys import keyring
from evernas.registry.promotion import check_leave, promote, roll_back, rollback_target
from evernas.registry.verdicts import moment
from evernas.state import Home
from evernas.state.bucket import Bucket
from evernas.state.notices import record
from evernas.state.sharing import storage_of
from evernas.steps.allowance import book_of
from evernas.steps.decision import policy_digest
from evernas.storage.s3 import S3Address, S3Storage
from evernas.triggers.events import Event
from evernas.triggers.inbox import Entry, keep
from evernas.triggers.rules import Match
from small_project import Place, project_in
from text_bundle import text_bundle


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    if shutil.which("initdb") is None:
        pytest.skip("PostgreSQL is not installed here: put initdb and pg_ctl on the PATH")
    with serving.postgres() as server:
        yield server.url


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    with s3() as port:
        yield port


@dataclass
class Kept:
    """A project's place, with where another, empty one of the same kind is."""

    place: Place
    home: Home
    config: Config
    empty_home: Home
    empty_config: Config


@pytest.fixture(params=["files", "sqlite", "postgresql", "bucket"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """State, journal and inbox of each kind, with three entries, and everything else that a project has.

    The champion that stands answers texts, so that its bundle has a tokeniser; the one before it signals.

    What lies in a PostgreSQL is put back into SQLite files, and the other way round.
    """
    return made(request.param, request, tmp_path, monkeypatch)


@pytest.fixture
def on_files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    return made("files", request, tmp_path, monkeypatch)


def made(kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.delenv("EVERNAS_HOME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "data").mkdir()
    home, empty = Home(tmp_path / "home"), Home(tmp_path / "empty")
    place = project_in(home, tmp_path / "data")
    journals: list[Any] = [None, None]
    inboxes = [f"sqlite:///{tmp_path}/one-inbox.db", f"sqlite:///{tmp_path}/two-inbox.db"]
    if kind == "sqlite":
        journals = [f"sqlite:///{tmp_path}/one.db", request.getfixturevalue("postgres_url")]
        inboxes[1] = journals[1]
    if kind == "postgresql":
        journals = [request.getfixturevalue("postgres_url"), f"sqlite:///{tmp_path}/two.db"]
        inboxes[0] = journals[0]
    config = place.config
    source = _at(config, journals[0])
    place.change(registry=source.registry.model_dump(mode="json"))
    for seed, bundle in enumerate((text_bundle(place), place.bundle(2)), 1):
        _promote(place, source, seed, bundle)
    head, former = rollback_target(place.journal, "laptop", None)
    roll_back(place.journal, head, former, "rollback-1", "a test")
    target = _at(config, journals[1])
    if kind != "files":
        monkeypatch.setenv("ONE_INBOX", inboxes[0])
        monkeypatch.setenv("TWO_INBOX", inboxes[1])
        source, target = (_with_inbox(one, name) for one, name in ((source, "ONE_INBOX"), (target, "TWO_INBOX")))
    fill(place, source, home)
    if kind == "bucket":
        port = request.getfixturevalue("s3_port")
        there, other = (_bucket(port, tmp_path / name) for name in ("scratch", "other"))
        _move(place, home, there)
        return Kept(place, there, source, other, target)
    return Kept(place, home, source, empty, target)


def _with_inbox(config: Config, variable: str) -> Config:
    return config.model_copy(update={"triggers": TriggersConfig(database=SecretRef(env=variable))})


def _at(config: Config, journal: str | None) -> Config:
    return config.model_copy(update={"registry": config.registry.model_copy(update={"journal": journal})})


def _promote(place: Place, config: Config, seed: int, bundle: Bundle) -> None:
    signed, _ = place.verdict(bundle, f"run-{seed}")
    keys = keyring(config.registry, place.home)
    leave = check_leave(signed, keys, moment(), place.journal, place.project, "laptop", policy_digest(config, "laptop"))
    promote(place.journal, leave, bundle, f"models:/evernas-{place.project}/{seed}")


def fill(place: Place, config: Config, home: Home) -> None:
    """A ledger, a book of costs, a notice, a snapshot's manifest, and an event in the inbox."""
    project = place.project
    for name in ("ledger", "told", "sealed"):
        storage = storage_of(home, home.project(project) / name, kept=False)
        for number in (1, 2):
            storage.create(f"gate/{number:06d}.json", b'{"version": 1, "of": "%d"}' % number)
    storage_of(home, home.snapshots(project), kept=False).create("manifests/abc.json", b'{"version": 1}')
    book_of(home, project).write("2026-11", "run-1", "search@laptop.1", _spent())
    record(home, project, "hold", "laptop", "Hold.", {"run": "run-2"})
    database = database_of(config, home)
    database.migrate()
    with database.write() as connection:
        event = Entry("lake", Event("a", "1", "raw", "a", "created"), Match("r", ""), 0.0)
        keep(connection, project, [event], database.is_sqlite)
    database.close()


def _spent() -> Any:
    from evernas.budget import Spent

    return Spent(3, 10.0, 0.0)


def _bucket(port: int, scratch: Path) -> Home:
    scratch.mkdir(exist_ok=True)
    address = f"s3://{BUCKET}/{scratch.parent.name}/{scratch.name}?endpoint=http://127.0.0.1:{port}&region=us-east-1"
    return Home(scratch, Bucket(scratch, S3Storage(S3Address.parse(address))))


def _move(place: Place, here: Home, there: Home) -> None:
    """The same state in a bucket."""
    project = place.project
    for name in ("journal", "ledger", "told", "sealed", "costs", "notices"):
        source = storage_of(here, here.project(project) / name)
        target = storage_of(there, there.project(project) / name, kept=False)
        for key in source.list():
            target.create(key, source.read(key))
    source, target = storage_of(here, here.snapshots(project)), storage_of(there, there.snapshots(project), kept=False)
    target.create("manifests/abc.json", source.read("manifests/abc.json"))
    bundles, champions = (
        storage_of(here, here.bundles(project)),
        storage_of(there, there.champions(project), kept=False),
    )
    for key in bundles.list():
        champions.create(key, bundles.read(key))
