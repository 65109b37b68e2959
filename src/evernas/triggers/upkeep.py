"""What keeps an inbox in order: events that evernas makes itself, figures, and forgetting what is done with."""

from __future__ import annotations

import time

from sqlalchemy import Connection, delete, func, select

from evernas.triggers.database import Database
from evernas.triggers.events import Event
from evernas.triggers.inbox import Entry, keep
from evernas.triggers.metrics import Metrics
from evernas.triggers.rules import Match
from evernas.triggers.tables import (
    DEAD,
    DONE,
    IGNORED,
    NEW,
    REPLAYED,
    RUNNING,
    SEALED,
    WAITING,
    attempts,
    events,
    works,
)

# Names that no configured source can have.
CONFIG_SOURCE = "(config)"
DEFERRED_SOURCE = "(deferred)"
MONITOR_SOURCE = "(monitor)"
FORGET_AT_ONCE = 2000


def note_version(connection: Connection, project: str, version: str, is_sqlite: bool) -> None:
    """An event if config, devices, code or images differ from those of the last such event."""
    last = connection.execute(
        select(events.c.key)
        .where(events.c.project == project, events.c.source == CONFIG_SOURCE)
        .order_by(events.c.seq.desc())
        .limit(1)
    ).scalar()
    if last != version:
        # The moment makes a change back to an earlier config an event of its own.
        _keep_ours(
            connection, project, CONFIG_SOURCE, Event("version", repr(time.time()), "", version, "changed"), is_sqlite
        )


def remember(connection: Connection, project: str, run: str, is_sqlite: bool) -> None:
    """An event for a run that somebody started and that ended at once, because another worked."""
    _keep_ours(connection, project, DEFERRED_SOURCE, Event(run, "", "", run, "deferred"), is_sqlite)


def note_incident(connection: Connection, project: str, incident: str, device: str, is_sqlite: bool) -> None:
    """An event for an incident in production; the same one a second time changes nothing."""
    _keep_ours(connection, project, MONITOR_SOURCE, Event(incident, "", "", device, "incident"), is_sqlite)


def is_attempt(connection: Connection, project: str, run: str) -> bool:
    """Whether a run is an attempt at one of our works, which remembers it itself."""
    name, _, number = run.rpartition("-")
    if not number.isdigit():
        return False
    where = (attempts.c.project == project, attempts.c.name == name, attempts.c.number == int(number))
    return connection.execute(select(attempts.c.work).where(*where)).first() is not None


def measure(connection: Connection, project: str, metrics: Metrics) -> None:
    """Set the figures that are read from the tables."""
    counts = dict.fromkeys((WAITING, SEALED, RUNNING, DONE, DEAD, REPLAYED), 0)
    query = select(works.c.state, func.count()).where(works.c.project == project).group_by(works.c.state)
    counts.update((state, number) for state, number in connection.execute(query))
    metrics.works(counts)
    oldest = connection.execute(
        select(func.min(events.c.received_at)).where(events.c.project == project, events.c.state == NEW)
    ).scalar()
    metrics.backlog.set(0.0 if oldest is None else max(0.0, time.time() - oldest))


def forget(database: Database, project: str, days: float) -> int:
    """Remove events, works and attempts that are done with since then; what is dead stays until it is replayed."""
    before = time.time() - days * 86400
    over = (
        events.c.project == project,
        events.c.state.in_((DONE, IGNORED)),
        events.c.received_at < before,
        # The newest of these says what the last start ran.
        events.c.source != CONFIG_SOURCE,
    )
    removed = 0
    while True:
        with database.write() as connection:
            some = select(events.c.seq).where(*over).limit(FORGET_AT_ONCE)
            count = connection.execute(delete(events).where(events.c.seq.in_(some))).rowcount
        removed += count
        if count < FORGET_AT_ONCE:
            break
    with database.write() as connection:
        old = select(works.c.id).where(
            works.c.project == project, works.c.state.in_((DONE, REPLAYED)), works.c.changed_at < before
        )
        connection.execute(delete(attempts).where(attempts.c.work.in_(old)))
        connection.execute(delete(works).where(works.c.id.in_(old)))
    return removed


def _keep_ours(connection: Connection, project: str, source: str, event: Event, is_sqlite: bool) -> None:
    keep(connection, project, [Entry(source, event, Match(source, ""), 0.0)], is_sqlite)
