"""`evernas events`: what is in the inbox, for a person; and making events new again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Table, or_, select

from evernas.errors import UsageError
from evernas.triggers import works as changes
from evernas.triggers.database import Database
from evernas.triggers.tables import DEAD, DONE, GATHERED, IGNORED, NEW, attempts, events, works

STATES = (NEW, GATHERED, IGNORED, DONE, DEAD)
MOMENTS = ("signed_at", "received_at", "first_at", "last_at", "not_before", "changed_at", "started_at", "ended_at")


def list_events(database: Database, project: str, state: str | None, limit: int) -> list[dict[str, Any]]:
    """The newest events, newest first, of one state or of all; UsageError for a state that there is not."""
    if state not in (None, *STATES):
        raise UsageError(f"The state {state!r} is none of {', '.join(STATES)}: name one of these.")
    where = [events.c.project == project] + ([] if state is None else [events.c.state == state])
    with database.read() as connection:
        rows = connection.execute(select(events).where(*where).order_by(events.c.seq.desc()).limit(limit))
        return [_shown(row) for row in rows]


def show(database: Database, project: str, number: int) -> dict[str, Any]:
    """An event with its work and that work's attempts; UsageError if there is none of this number."""
    with database.read() as connection:
        event = connection.execute(select(events).where(events.c.project == project, events.c.seq == number)).first()
        if event is None:
            raise UsageError(f"There is no event {number} of {project}: `evernas events list` shows their numbers.")
        shown = _shown(event)
        work = connection.execute(select(works).where(works.c.id == event.work)).first()
        shown["work"] = None if work is None else {**_shown(work), "attempts": _of(connection, attempts, work.id)}
    return shown


def replay(database: Database, project: str, numbers: list[int], dead: bool) -> int:
    """Ask for runs anew for these events, or for all that are dead; returns how many. UsageError if there are none."""
    with database.write() as connection:
        chosen = [events.c.seq.in_(numbers)] + ([events.c.state == DEAD] if dead else [])
        count = changes.replay(connection, project, or_(*chosen))
    if not count:
        raise UsageError(
            "None of these events is done or dead with a rule that asks for a run: `evernas events list` shows them."
        )
    return count


def _of(connection: Any, table: Table, work: int) -> list[dict[str, Any]]:
    return [
        _shown(row) for row in connection.execute(select(table).where(table.c.work == work).order_by(table.c.number))
    ]


def _shown(row: Any) -> dict[str, Any]:
    document = dict(row._mapping)
    for name in MOMENTS:
        if document.get(name):
            document[name] = datetime.fromtimestamp(document[name], UTC).isoformat(timespec="milliseconds")
    return document
