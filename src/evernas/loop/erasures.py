"""The records of erasures: that something is erased, before it is, and then what came of it; no name is in them."""

from __future__ import annotations

from typing import Any

from evernas.data.forgotten import Forgotten, Kind
from evernas.state import Home
from evernas.state.records import Records
from evernas.state.runs import now
from evernas.state.sharing import erasures_of, storage_of
from evernas.steps.forgotten import key_name


def note(home: Home, project: str, alone: Forgotten, kind: Kind, reason: str, at: str) -> dict[str, Any]:
    """Record that what `alone` hides is erased, unless it is recorded; that record."""
    (hash,) = alone.hashes[kind]
    records = erasures_of(home, project)
    for record in records.all():
        if (record["kind"], record["hash"]) == (kind, hash):
            return record
    document = {"kind": kind, "hash": hash, "key": key_name(alone.key), "reason": reason, "at": at}
    return {**document, "number": records.append(document)}


def note_outcome(home: Home, project: str, noted: dict[str, Any], what: dict[str, Any]) -> dict[str, Any]:
    """Record what came of it; what was noted, with its outcome."""
    outcome = {"done_at": now(), **what}
    _outcomes(home, project).append({"of": noted["number"], **outcome})
    return {**noted, **outcome}


def erasures(home: Home, project: str) -> list[dict[str, Any]]:
    """All erasures, oldest first, each with what last came of it; one that was stopped has no `done_at`."""
    found: dict[int, dict[str, Any]] = {record["number"]: record for record in erasures_of(home, project).all()}
    for outcome in _outcomes(home, project).all():
        what = {name: value for name, value in outcome.items() if name not in ("version", "number", "of")}
        found[outcome["of"]] = {**found[outcome["of"]], **what}
    return list(found.values())


def _outcomes(home: Home, project: str) -> Records:
    return Records(storage_of(home, home.erasures(project) / "outcomes", kept=False))
