"""Putting a backup back, into an empty place. Until all of it is there, a note says so, and the place is refused.

What is put back is put last where others look first: the journal after all that its entries speak of, of each device
the newest entry first, so that whoever shares the journal sees the champion that stood, or none.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evernas.backup.container import Backup
from evernas.backup.contents import DECIDED, LOOSE, Contents
from evernas.backup.inbox import from_member, holds_rows, put_rows
from evernas.backup.saving import has_inbox, inbox_elsewhere
from evernas.backup.sealing import open_sealed
from evernas.config import Config
from evernas.errors import IntegrityError, UsageError
from evernas.outbox.sending import database_of
from evernas.state import Home
from evernas.state.files import write_bytes
from evernas.state.restoring import begin, end, under_way
from evernas.state.runs import runs_of
from evernas.storage import AlreadyExists, Storage

# The inbox's database with the files beside it: what counts there are its rows.
INBOX = "inbox.db"
NAMED = 8


@dataclass(frozen=True)
class Restored:
    """What was put back, for a person."""

    champions: dict[str, tuple[int, str]]
    rows: int
    remarks: list[str]


def restore(config: Config, home: Home, backup: Backup, passphrase: str | None) -> Restored:
    """Put a checked backup back. UsageError if the place is not empty, or the backup is another project's."""
    project = backup.index["project"]
    if project != config.project:
        raise UsageError(
            f"{backup.path} is of the project {project}, and the config of {config.project}: name its own."
        )
    contents = Contents(config, home)
    note = under_way(home, project)
    if note is None:
        _refuse_full(config, home, contents, backup)
        begin(home, project, backup.digest)
    elif note != backup.digest:
        raise UsageError(
            f"Another backup is being put back into {home.path} and was not finished: give that file again, or remove "
            f"{home.project(project)} and what is in the journal and the inbox of {project}."
        )
    members = dict(backup.members())
    remarks = _put_files(home, project, members)
    if inbox_elsewhere(config, home):
        rows = 0
        remarks.append("The inbox's rows were left out: a bucket holds no inbox; name one in triggers.database first.")
    else:
        rows = _put_inbox(config, home, members)
    remarks += _put_keys(home, backup, members, passphrase)
    contents.slots.fill(
        {
            (name.split("/")[1], int(name.split("/")[2].removesuffix(".json"))): data
            for name, data in members.items()
            if name.startswith("journal/")
        }
    )
    end(home, project)
    heads = {device: contents.slots.newest(device) for device in contents.slots.devices()}
    champions = {
        device: (number, str(json.loads(contents.slots.read(device, number))["bundle"]))
        for device, number in heads.items()
    }
    return Restored(champions, rows, remarks)


def _refuse_full(config: Config, home: Home, contents: Contents, backup: Backup) -> None:
    found = _decided(config, home, contents) or _left(config.project, home, backup)
    if found:
        raise UsageError(
            f"A backup is put back into an empty place, and {config.project} has {', '.join(found[:NAMED])}"
            f"{' and more' if len(found) > NAMED else ''} here: give another state folder, registry.journal and "
            "triggers.database, or remove what is there. Nothing was changed."
        )


def _decided(config: Config, home: Home, contents: Contents) -> list[str]:
    """What was decided in this place, and what was received."""
    found = [f"the journal of {device}" for device in contents.slots.devices()]
    found += [f"{name}" for name in DECIDED if contents.storage(name).list()]
    if has_inbox(config, home):
        database = database_of(config, home)
        database.migrate()
        if holds_rows(database, config.project):
            found.append("the inbox")
        database.close()
    return found


def _left(project: str, home: Home, backup: Backup) -> list[str]:
    """What else of the project is in this place; a file of it may differ from the backup's."""
    from evernas.state.sharing import storage_of

    own = [key.partition("/")[0] for key in storage_of(home, home.project(project), kept=False).list()]
    found = sorted({name for name in own if not name.startswith(INBOX)})
    # In a bucket they lie apart.
    if "data" not in found and storage_of(home, home.snapshots(project), kept=False).list():
        found.append("data")
    told = {name.split("/")[1] for name in backup.index["members"] if name.startswith("runs/")}
    there = {run for run in told if storage_of(home, home.run(run), kept=False).list()}
    return found + [f"the run {run}" for run in sorted(there | set(runs_of(home, project)))]


def _put_files(home: Home, project: str, members: dict[str, bytes]) -> list[str]:
    """All members that are files of the state, each as it was; IntegrityError for one that is there and differs."""
    from evernas.state.sharing import storage_of

    remarks: list[str] = []
    # Where the state is a bucket, champions lie where promotion alone writes.
    bundles = home.bundles(project) if home.bucket is None else home.champions(project)
    for name, data in members.items():
        folder, _, key = name.partition("/")
        if folder in (*DECIDED, *LOOSE):
            _put(storage_of(home, home.project(project) / folder, kept=False), key, data)
        elif folder == "data":
            _put(storage_of(home, home.snapshots(project), kept=False), key, data)
        elif folder == "bundles":
            _put(storage_of(home, bundles, kept=False), key, data)
        elif folder == "runs":
            run, _, file = key.partition("/")
            _put(storage_of(home, home.run(run), kept=False), file, data)
        elif name == "consumed.json":
            _put(storage_of(home, home.project(project), kept=False), name, data)
        elif name == "mlflow.db":
            remarks.append(_put_mlflow(home, data))
    return remarks


def _put(storage: Storage, key: str, data: bytes) -> None:
    try:
        storage.create(key, data)
    except AlreadyExists:
        if storage.read(key) != data:
            raise IntegrityError(
                f"{key} is in {storage} already, and is not what the backup has: something wrote there meanwhile; "
                "restore into an empty place."
            ) from None


def _put_mlflow(home: Home, data: bytes) -> str:
    place = home.path / "mlflow.db"
    if home.bucket is not None or home.tracking_uri != f"sqlite:///{place}":
        return "MLflow is a server here: what the backup has of it was left out; restore the server's own backup."
    if place.exists() and place.read_bytes() != data:
        return "MLflow's database was here already, and was left as it is."
    write_bytes(place, data)
    return "MLflow's database is put back; addresses of artifacts in it are those of the former place."


def _put_inbox(config: Config, home: Home, members: dict[str, bytes]) -> int:
    rows: dict[str, list[dict[str, Any]]] = {
        Path(name).stem: from_member(data) for name, data in members.items() if name.startswith("inbox/")
    }
    if not rows:
        return 0
    database = database_of(config, home)
    try:
        database.migrate()
        return put_rows(database, config.project, rows)
    finally:
        database.close()


def _put_keys(home: Home, backup: Backup, members: dict[str, bytes], passphrase: str | None) -> list[str]:
    sealed = {name.removeprefix("keys/"): data for name, data in members.items() if name.startswith("keys/")}
    public = backup.index["public_key"]
    if not sealed or passphrase is None:
        why = "are not in this backup" if not sealed else "were left out, for no passphrase was given"
        if public is None:
            return []
        return [
            f"The private keys {why}: put {public} under registry.verdict_keys, or the champions' verdicts count for "
            "nothing here, and give the gate a key of its own."
        ]
    for name, data in sealed.items():
        path = home.keys / name
        opened = open_sealed(data, passphrase)
        if path.exists() and path.read_bytes() != opened:
            raise UsageError(f"{path} is another key than the backup's: move it away, or leave the passphrase out.")
        home.keys.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{name}.part")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(opened)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    return [f"The private keys ({', '.join(sealed)}) are put back."]
