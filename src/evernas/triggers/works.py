"""From events to works, in the database: gathering over a quiet period, sealing under a name, changes of state.

Each function is one step in the caller's transaction, so that a kill leaves the step done or not begun.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from evernas.config_triggers import DebounceConfig
from evernas.digest import digest_value, short
from evernas.triggers.objects import REMOVED
from evernas.triggers.tables import (
    DEAD,
    DONE,
    GATHERED,
    NEW,
    REPLAYED,
    RUNNING,
    SEALED,
    WAITING,
    attempts,
    events,
    works,
)

ACTIVE = (SEALED, RUNNING)


@dataclass(frozen=True)
class Work:
    """What events ask for: one run, under one name, tried until it succeeds or is given up."""

    id: int
    state: str
    first_at: float
    last_at: float
    name: str | None
    attempt: int
    failures: int
    not_before: float
    handle: str | None
    reason: str

    @property
    def run(self) -> str:
        """Name of the current attempt's run."""
        return f"{self.name}-{self.attempt}"


@dataclass(frozen=True)
class Sealed:
    """The run that is to be submitted, and the events that ask for it: the source and id of each."""

    run: str
    events: list[tuple[str, str]]


def due_at(first_at: float, last_at: float, debounce: DebounceConfig) -> float:
    """When a work is due: after a quiet period, and at the latest after the longest wait."""
    return min(last_at + debounce.quiet_s, first_at + debounce.max_wait_s)


def find(connection: Connection, project: str, *states: str) -> Work | None:
    """The work in one of these states, of which the tables allow one."""
    columns = [works.c[name] for name in Work.__dataclass_fields__]
    found = connection.execute(select(*columns).where(works.c.project == project, works.c.state.in_(states))).first()
    return None if found is None else Work(**found._mapping)


def gather(connection: Connection, project: str) -> int:
    """Put all new events into the waiting work, which is made if there is none. Returns how many they were."""
    new = (events.c.project == project) & (events.c.state == NEW)
    first, last = connection.execute(
        select(func.min(events.c.received_at), func.max(events.c.received_at)).where(new)
    ).one()
    if first is None:
        return 0
    waiting = find(connection, project, WAITING)
    if waiting is None:
        made: Any = connection.execute(
            insert(works).values(project=project, state=WAITING, first_at=first, last_at=last, changed_at=time.time())
        ).inserted_primary_key
        waiting = Work(int(made[0]), WAITING, first, last, None, 0, 0, 0.0, None, "")
    # This first: from here on, nobody else can seal the work under the events that it is about to get.
    _change(connection, waiting, WAITING, first_at=min(first, waiting.first_at))
    gathering = update(events).where(new).values(state=GATHERED, work=waiting.id).returning(events.c.received_at)
    # Of those that were really gathered: some may have come since the first look.
    gathered = [row.received_at for row in connection.execute(gathering)]
    newest = max([waiting.last_at, *gathered])
    connection.execute(update(works).where(works.c.id == waiting.id).values(last_at=newest))
    return len(gathered)


def seal(connection: Connection, project: str, work: Work, version: str) -> Sealed:
    """Fix a work's events and name it by them and by what would be executed; returns its first run and its events.

    The same events give the same name in whatever order they came; a change back to an earlier state of the data is
    another event, and so another name.
    """
    rows = connection.execute(
        select(events.c.source, events.c.id, events.c.version, events.c.replays).where(events.c.work == work.id)
    )
    sealed = sorted([list(row) for row in rows])
    digest = digest_value({"events": sealed, "version": version})
    name = f"{project}-{short(digest)}"
    last = connection.execute(
        select(func.max(attempts.c.number)).where(attempts.c.project == project, attempts.c.name == name)
    ).scalar()
    number = (last or 0) + 1
    _change(connection, work, WAITING, state=SEALED, name=name, attempt=number)
    return Sealed(f"{name}-{number}", [(source, event) for source, event, *_ in sealed])


def removed(connection: Connection, work: Work) -> list[tuple[str, str]]:
    """The objects, each a bucket and a key, whose removal a work's events tell of."""
    chosen = select(events.c.bucket, events.c.key).where(events.c.work == work.id, events.c.label == REMOVED)
    return [(bucket, key) for bucket, key in connection.execute(chosen.distinct())]


def begin(connection: Connection, project: str, work: Work) -> None:
    """Note that an attempt is made, before it is."""
    known = connection.execute(
        select(attempts.c.work).where(
            attempts.c.project == project, attempts.c.name == work.name, attempts.c.number == work.attempt
        )
    ).first()
    if known is None:
        connection.execute(
            insert(attempts).values(
                project=project,
                name=work.name,
                number=work.attempt,
                work=work.id,
                state="submitted",
                started_at=time.time(),
            )
        )


def running(connection: Connection, work: Work, handle: str) -> None:
    """The attempt's run is known to exist."""
    _change(connection, work, SEALED, state=RUNNING, handle=handle, reason="")


def postpone(connection: Connection, work: Work, until: float, reason: str) -> None:
    """Look at a work again later; nothing else about it is known."""
    _change(connection, work, work.state, not_before=until, reason=reason)


def again(
    connection: Connection, project: str, work: Work, state: str, until: float, reason: str, failed: bool
) -> None:
    """The attempt has ended without success: make the next one, not before a moment."""
    _end_attempt(connection, project, work, state)
    _change(
        connection,
        work,
        work.state,
        state=SEALED,
        attempt=work.attempt + 1,
        failures=work.failures + failed,
        not_before=until,
        handle=None,
        reason=reason,
    )


def finish(connection: Connection, project: str, work: Work, state: str, reason: str) -> None:
    """A work is done, or dead; so are its events."""
    _end_attempt(connection, project, work, "succeeded" if state == DONE else "failed")
    _change(connection, work, work.state, state=state, reason=reason)
    connection.execute(update(events).where(events.c.work == work.id).values(state=state))


def replay(connection: Connection, project: str, which: Any) -> int:
    """Make events new again. A dead work that they leave is replayed. Returns how many they were."""
    chosen = (events.c.project == project) & which & events.c.state.in_((DONE, DEAD)) & events.c.rule.is_not(None)
    left = [row[0] for row in connection.execute(select(events.c.work).where(chosen).distinct())]
    # When they are replayed is when they count as received: they wait for the quiet period like any other.
    count = connection.execute(
        update(events)
        .where(chosen)
        .values(state=NEW, work=None, reason="", replays=events.c.replays + 1, received_at=time.time())
    ).rowcount
    still = select(events.c.work).where(events.c.work.is_not(None), events.c.state == DEAD)
    connection.execute(
        update(works)
        .where(works.c.id.in_(left), works.c.state == DEAD, works.c.id.not_in(still))
        .values(state=REPLAYED, changed_at=time.time())
    )
    return count


def _end_attempt(connection: Connection, project: str, work: Work, state: str) -> None:
    connection.execute(
        update(attempts)
        .where(attempts.c.project == project, attempts.c.name == work.name, attempts.c.number == work.attempt)
        .values(state=state, ended_at=time.time())
    )


class Overtaken(Exception):  # noqa: N818 - it names the state, not a failure
    """Another process has changed the work meanwhile; the caller's transaction is undone and it looks again."""


def _change(connection: Connection, work: Work, expected: str, **values: Any) -> None:
    """Change a work that is still as it was read."""
    done = connection.execute(
        update(works)
        .where(works.c.id == work.id, works.c.state == expected, works.c.attempt == work.attempt)
        .values(changed_at=time.time(), **values)
    )
    if done.rowcount != 1:
        raise Overtaken(f"work {work.id} is no longer {expected}")
