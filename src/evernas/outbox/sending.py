"""Sending what is in the outbox: each event to each of its sinks until it takes it, later and later, or is given up."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select, update

from evernas.config import Config
from evernas.config_outbox import SinkConfig
from evernas.errors import EvernasError, UsageError
from evernas.outbox.collecting import DAY_S, collect
from evernas.outbox.posting import Target
from evernas.registry.journal import Journal
from evernas.state import Home
from evernas.triggers.database import Database
from evernas.triggers.secrets import resolve
from evernas.triggers.tables import DEAD, SENDING, SENT, deliveries, outbox

LOG = logging.getLogger("evernas.outbox")
AT_ONCE = 100
LONGEST_WAIT_S = 3600.0
# A sink that the config does not name, and that nobody has tried for so long, was taken out of it.
REMOVED_S = 3 * LONGEST_WAIT_S
Post = Callable[[SinkConfig, str, bytes], None]


@dataclass(frozen=True)
class Sent:
    """What one look came to: events that were new, posts that were taken, and posts that were not."""

    collected: int
    sent: int
    failed: int


def database_of(config: Config, home: Home) -> Database:
    """The database that has the outbox: the inbox's."""
    reference = None if config.triggers is None else config.triggers.database
    path = home.project(config.project) / "inbox.db"
    return Database(f"sqlite:///{path}" if reference is None else resolve(reference))


def post(sink: SinkConfig, message: str, body: bytes) -> None:
    """Post an event to a sink; EvernasError if it does not take it."""
    Target.of(sink).post(message, body)


class Sender:
    """Sends a project's events. Of several at once, one works: the others see that and do nothing."""

    def __init__(self, config: Config, database: Database, home: Home, journal: Journal, send: Post = post) -> None:
        if config.outbox is None or not config.outbox.sinks:
            raise UsageError("The config names nobody under outbox.sinks who is to be told: add a sink.")
        self._project = config.project
        self._config = config.outbox
        self._sinks = {sink.name: sink for sink in config.outbox.sinks}
        self._database = database
        self._home = home
        self._journal = journal
        self._send = send

    def look(self) -> Sent:
        """Collect what has happened, and send what is due. A kill loses nothing, and may repeat a post."""
        with self._database.exclusive(f"outbox-{self._project}") as held:
            if not held:
                return Sent(0, 0, 0)
            collected = collect(self._database, self._config, self._project, self._home, self._journal)
            outcomes = [outcome for name in self._sinks for outcome in self._send_due(self._sinks[name])]
            self._give_up_removed()
            self._forget()
        return Sent(collected, outcomes.count(True), outcomes.count(False))

    def _send_due(self, sink: SinkConfig) -> list[bool]:
        """Send what is due to one sink, oldest first; after a failure, no more of it until the next look."""
        outcomes: list[bool] = []
        for number, attempts, message, body in self._due(sink.name):
            try:
                self._send(sink, message, body)
            except EvernasError as error:
                self._fail(sink, number, attempts + 1, str(error))
                return [*outcomes, False]
            self._change(sink, number, state=SENT, attempts=attempts + 1, reason="")
            outcomes.append(True)
        return outcomes

    def _due(self, sink: str) -> list[tuple[int, int, str, bytes]]:
        wanted = (
            deliveries.c.project == self._project,
            deliveries.c.sink == sink,
            deliveries.c.state == SENDING,
            deliveries.c.not_before <= time.time(),
        )
        query = (
            select(deliveries.c.event, deliveries.c.attempts, outbox.c.id, outbox.c.event.label("document"))
            .join(outbox, outbox.c.seq == deliveries.c.event)
            .where(*wanted)
            .order_by(deliveries.c.event)
            .limit(AT_ONCE)
        )
        with self._database.read() as connection:
            return [(row[0], row[1], row[2], row[3].encode()) for row in connection.execute(query)]

    def _fail(self, sink: SinkConfig, number: int, attempts: int, reason: str) -> None:
        wait = min(sink.retry_s * 2.0 ** min(attempts - 1, 30), LONGEST_WAIT_S)
        # Not all at the same moment, once a sink that was away is there again.
        wait *= 0.75 + random.random() / 2  # noqa: S311
        dead = attempts >= sink.attempts
        state = DEAD if dead else SENDING
        self._change(sink, number, state=state, attempts=attempts, not_before=time.time() + wait, reason=reason[:500])
        said = {"project": self._project, "sink": sink.name, "event": number, "reason": reason[:500]}
        if dead:
            LOG.error("event given up", extra=said)
        else:
            LOG.warning("event not taken", extra={**said, "again_in_s": round(wait, 1)})

    def _change(self, sink: SinkConfig, number: int, **values: Any) -> None:
        mine = (deliveries.c.project == self._project, deliveries.c.event == number, deliveries.c.sink == sink.name)
        with self._database.write() as connection:
            connection.execute(update(deliveries).where(*mine).values(changed_at=time.time(), **values))

    def _give_up_removed(self) -> None:
        """Give up what waits for sinks that the config names no more."""
        theirs = (
            deliveries.c.project == self._project,
            deliveries.c.state == SENDING,
            deliveries.c.sink.not_in(list(self._sinks)),
            # While two releases run side by side, one may name a sink that the other does not know yet.
            deliveries.c.changed_at < time.time() - REMOVED_S,
        )
        with self._database.read() as connection:
            if connection.execute(select(deliveries.c.event).where(*theirs).limit(1)).first() is None:
                return
        reason = "outbox.sinks does not name it any more"
        with self._database.write() as connection:
            changed = {"state": DEAD, "reason": reason, "changed_at": time.time()}
            count = connection.execute(update(deliveries).where(*theirs).values(**changed)).rowcount
        LOG.warning("events given up", extra={"project": self._project, "count": count, "reason": reason})

    def _forget(self) -> None:
        """Remove events that were delivered long ago; what was given up stays until it is replayed.

        What a sink that the config names no more was not told cannot be, and holds no event back.
        """
        open_ones = select(deliveries.c.event).where(
            deliveries.c.project == self._project,
            deliveries.c.state != SENT,
            deliveries.c.sink.in_(list(self._sinks)),
        )
        old = (
            outbox.c.project == self._project,
            outbox.c.made_at < time.time() - self._config.retention_days * DAY_S,
            outbox.c.seq.not_in(open_ones),
        )
        with self._database.read() as connection:
            if connection.execute(select(outbox.c.seq).where(*old).limit(1)).first() is None:
                return
        with self._database.write() as connection:
            gone = select(outbox.c.seq).where(*old)
            connection.execute(delete(deliveries).where(deliveries.c.event.in_(gone)))
            connection.execute(delete(outbox).where(*old))


def counts(database: Database, project: str) -> dict[str, int]:
    """How many deliveries are in each state."""
    query = select(deliveries.c.state, func.count()).where(deliveries.c.project == project).group_by(deliveries.c.state)
    with database.read() as connection:
        return {SENDING: 0, SENT: 0, DEAD: 0, **{row[0]: row[1] for row in connection.execute(query)}}


def listed(database: Database, project: str, state: str | None, limit: int) -> list[dict[str, Any]]:
    """The newest events with their deliveries, newest first; UsageError for a state that there is not."""
    if state not in (None, SENDING, SENT, DEAD):
        raise UsageError(f"The state {state!r} is none of {SENDING}, {SENT}, {DEAD}: name one of these.")
    chosen = select(outbox).where(outbox.c.project == project)
    if state is not None:
        some = select(deliveries.c.event).where(deliveries.c.project == project, deliveries.c.state == state)
        chosen = chosen.where(outbox.c.seq.in_(some))
    with database.read() as connection:
        found = []
        for row in connection.execute(chosen.order_by(outbox.c.seq.desc()).limit(limit)).all():
            mine = select(deliveries).where(deliveries.c.event == row.seq).order_by(deliveries.c.sink)
            sent = [
                {"sink": one.sink, "state": one.state, "attempts": one.attempts, "reason": one.reason}
                for one in connection.execute(mine)
            ]
            found.append({"number": row.seq, "event": json.loads(row.event), "deliveries": sent})
        return found


def replay(database: Database, config: Config, numbers: list[int], dead: bool, sink: str | None) -> int:
    """Send events again, to the sinks of today or to one of them; returns how many posts that will be.

    `dead` takes those that were given up. UsageError if there are none.
    """
    from evernas.outbox.collecting import address

    sinks = {} if config.outbox is None else {one.name: one for one in config.outbox.sinks}
    if sink is not None and sink not in sinks:
        raise UsageError(f"outbox.sinks has no {sink!r}: name one of {', '.join(sinks) or 'those you add first'}.")
    wanted = [sink] if sink is not None else list(sinks)
    project, count = config.project, 0
    with database.write() as connection:
        for name in wanted:
            mine = (deliveries.c.project == project, deliveries.c.sink == name)
            again = {"state": SENDING, "attempts": 0, "not_before": 0.0, "reason": "", "changed_at": time.time()}
            if dead:
                given_up = (*mine, deliveries.c.state == DEAD)
                count += connection.execute(update(deliveries).where(*given_up).values(**again)).rowcount
            for number in numbers:
                known = connection.execute(
                    select(outbox.c.seq).where(outbox.c.project == project, outbox.c.seq == number)
                ).first()
                if known is None:
                    continue
                this = (*mine, deliveries.c.event == number)
                if not connection.execute(update(deliveries).where(*this).values(**again)).rowcount:
                    address(connection, project, number, name)
                count += 1
    if not count:
        raise UsageError("None of these events is in the outbox, or was given up: `evernas outbox list` shows them.")
    return count
