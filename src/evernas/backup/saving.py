"""Making a backup while runs work: what must be of one moment is read twice, and is if both are equal."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import evernas
from evernas.backup.container import writing
from evernas.backup.contents import Contents
from evernas.backup.inbox import rows_of, to_members
from evernas.backup.sealing import seal
from evernas.config import Config
from evernas.digest import digest_bytes
from evernas.errors import EvernasError, UsageError
from evernas.outbox.sending import database_of
from evernas.registry.keys import LOCAL_KEY, local_key, public_text
from evernas.state import Home
from evernas.state.restoring import refuse_half
from evernas.state.runs import now

TRIES = 5
PAUSE_S = 0.5


@dataclass(frozen=True)
class Saved:
    """What a backup holds, for a person: how many entries, champions and rows, and what it does not hold."""

    path: Path
    entries: int
    bundles: int
    rows: int
    remarks: list[str]


def back_up(config: Config, home: Home, path: Path, passphrase: str | None) -> Saved:
    """Write a backup of a project.

    UsageError where the project has no state; EvernasError if the state changed each time that it was read.
    """
    for attempt in range(TRIES):
        try:
            return _back_up(config, home, path, passphrase)
        except _MovedError:
            time.sleep(PAUSE_S * (attempt + 1))
    raise EvernasError(
        f"The state of {config.project} changed while it was read, {TRIES} times: a decision is being made; give the "
        "command again. No backup was written."
    )


class _MovedError(Exception):
    """What was read twice was not the same."""


def _back_up(config: Config, home: Home, path: Path, passphrase: str | None) -> Saved:
    refuse_half(home, config.project)
    contents, remarks = Contents(config, home), list[str]()
    before = {name: digest_bytes(data) for name, data in contents.settled()}
    rows = _rows(config, home)
    if not before and not any(rows.values()):
        raise UsageError(
            f"There is no state of {config.project} in {_place(home)}: name the one that runs work on, with --home or "
            "EVERNAS_HOME. No backup was written."
        )
    if inbox_elsewhere(config, home):
        remarks.append("The inbox is not in it: it is a file where the receiver runs; back that up there.")

    def about() -> dict[str, object]:
        return {
            "project": config.project,
            "made_at": now(),
            "evernas": evernas.__version__,
            "public_key": _public(home),
            "missing_bundles": contents.missing,
        }

    with writing(path, about) as file:
        for name, data in contents.settled():
            if before.pop(name, None) != digest_bytes(data):
                raise _MovedError
            file.add(name, data)
        if before:
            raise _MovedError
        for name, data in (*contents.bundles(), *contents.loose(), *to_members(rows)):
            file.add(name, data)
        remarks += _add_keys(file.add, home, passphrase)
        remarks += _add_mlflow(file.add, home)
        entries = sum(name.startswith("journal/") for name in file.digests)
        bundles = sum(name.startswith("bundles/") for name in file.digests) // 5
    if contents.missing:
        remarks.append(f"{len(contents.missing)} earlier champions are nowhere any more, and are not in it.")
    return Saved(path, entries, bundles, sum(map(len, rows.values())), remarks)


def _place(home: Home) -> str:
    """Where the state lies, in words."""
    return str(home.path) if home.bucket is None else str(home.bucket.storage)


def inbox_elsewhere(config: Config, home: Home) -> bool:
    """Whether the inbox is neither in this state nor in a database that the config names: a bucket holds none."""
    return home.bucket is not None and (config.triggers is None or config.triggers.database is None)


def has_inbox(config: Config, home: Home) -> bool:
    """Whether there is an inbox that can be reached from here."""
    if inbox_elsewhere(config, home):
        return False
    return config.triggers is not None or (home.project(config.project) / "inbox.db").exists()


def _rows(config: Config, home: Home) -> dict[str, list[dict[str, object]]]:
    """The inbox's rows, where there is an inbox."""
    if not has_inbox(config, home):
        return {}
    database = database_of(config, home)
    try:
        database.migrate()
        return rows_of(database, config.project)
    finally:
        database.close()


def _public(home: Home) -> str | None:
    return public_text(local_key(home).public_key()) if (home.keys / LOCAL_KEY).exists() else None


def _add_keys(add: Callable[[str, bytes], None], home: Home, passphrase: str | None) -> list[str]:
    found = sorted(path for path in home.keys.glob("*") if path.is_file()) if home.bucket is None else []
    if not found:
        return ["There are no keys here; back up the gate's key where the gate runs."]
    if passphrase is None:
        return [
            f"The private keys ({', '.join(path.name for path in found)}) are NOT in it: give --passphrase-env or "
            "--passphrase-file to have them in it, encrypted, or keep copies of them elsewhere."
        ]
    for path in found:
        add(f"keys/{path.name}", seal(path.read_bytes(), passphrase))
    return [f"The private keys ({', '.join(path.name for path in found)}) are in it, encrypted."]


def _add_mlflow(add: Callable[[str, bytes], None], home: Home) -> list[str]:
    """MLflow's database, where it lies in the state folder: what is a server's is backed up with the server."""
    place = home.path / "mlflow.db"
    if home.bucket is not None or home.tracking_uri != f"sqlite:///{place}" or not place.exists():
        return ["MLflow is not in it: back up its server's database and artifacts."]
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "mlflow.db"
        with closing(sqlite3.connect(place)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        add("mlflow.db", copy.read_bytes())
    return ["MLflow's database is in it; its artifacts are not, but for the champions' bundles."]
