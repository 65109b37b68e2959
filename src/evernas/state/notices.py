"""Notices: what has happened to a project that others should hear of and the journal does not hold, one file each.

A step that is done again after a kill leaves the same notice, since its name is made of what it says of. Whoever sends
them on (`evernas.outbox`) removes them once they are in the outbox.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from evernas.digest import digest_value, short
from evernas.state.formats import newer
from evernas.state.home import Home
from evernas.state.runs import now
from evernas.state.sharing import storage_of
from evernas.storage import AlreadyExists, Storage

NOTICE_VERSION = 1
Kind = Literal["hold", "incident", "gate-budget.spent", "budget.spent", "run.failed", "rollback.proposed"]


@dataclass(frozen=True)
class Notice:
    """Something that happened. `subject` is what it happened to, such as a device; `about` tells one from the next."""

    kind: str
    subject: str
    at: str
    sentence: str
    about: dict[str, Any]

    @property
    def id(self) -> str:
        """The same for the same happening, whenever it is noticed."""
        return short(digest_value([self.kind, self.subject, self.about]))


def record(home: Home, project: str, kind: Kind, subject: str, sentence: str, about: Mapping[str, Any]) -> Notice:
    """Keep a notice, once; `about` must not hold when it was noticed."""
    notice = Notice(kind, subject, now(), sentence, dict(about))
    document = {"version": NOTICE_VERSION, **asdict(notice)}
    with contextlib.suppress(AlreadyExists):
        _storage(home, project).create(f"{notice.id}.json", json.dumps(document, indent=1, sort_keys=True).encode())
    return notice


def notices(home: Home, project: str) -> dict[str, Notice]:
    """All notices that were not removed, by key; IntegrityError for one of a newer evernas."""
    storage, found = _storage(home, project), {}
    for key in storage.list():
        with contextlib.suppress(KeyError):
            document = json.loads(storage.read(key))
            version = document.pop("version", None)
            if version != NOTICE_VERSION:
                raise newer(f"The notice {key}", version, NOTICE_VERSION)
            found[key] = Notice(**document)
    return dict(sorted(found.items(), key=lambda item: item[1].at))


def remove(home: Home, project: str, key: str) -> None:
    """Remove a notice that others have heard of."""
    _storage(home, project).delete(key)


def _storage(home: Home, project: str) -> Storage:
    return storage_of(home, home.project(project) / "notices", kept=False)
