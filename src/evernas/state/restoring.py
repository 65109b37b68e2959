"""The note that a backup is being put back: while it is there, the project's state is not whole, and is not used."""

from __future__ import annotations

import contextlib
import json

from evernas.errors import IntegrityError
from evernas.state.home import Home
from evernas.state.sharing import storage_of
from evernas.storage import AlreadyExists, Storage

NOTE = "restoring.json"


def begin(home: Home, project: str, backup: str) -> None:
    """Note that this backup, by its digest, is being put back."""
    with contextlib.suppress(AlreadyExists):
        _storage(home, project).create(NOTE, json.dumps({"version": 1, "backup": backup}).encode())


def under_way(home: Home, project: str) -> str | None:
    """The digest of the backup that is being put back; None if none is."""
    try:
        return str(json.loads(_storage(home, project).read(NOTE))["backup"])
    except KeyError:
        return None


def end(home: Home, project: str) -> None:
    """Note that all of it is there."""
    _storage(home, project).delete(NOTE)


def refuse_half(home: Home, project: str) -> None:
    """IntegrityError while a backup is being put back, or was not to the end."""
    if _storage(home, project).exists(NOTE):
        raise IntegrityError(
            f"A backup of {project} is being put back here, or that was stopped: what is here is not whole. Wait, or "
            "give `evernas state restore` with the same file again."
        )


def _storage(home: Home, project: str) -> Storage:
    return storage_of(home, home.project(project), kept=False)
