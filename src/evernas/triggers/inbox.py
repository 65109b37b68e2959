"""Keeping events: all that arrive while one commit runs share the next, and each is answered when it is on disk."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, TextClause, text, update
from sqlalchemy.exc import OperationalError

from evernas.triggers.database import Database
from evernas.triggers.events import Event, RefusedError
from evernas.triggers.metrics import Metrics
from evernas.triggers.rules import Match
from evernas.triggers.tables import IGNORED, NEW, events

LOG = logging.getLogger("evernas.triggers")
Outcome = Literal["new", "ignored", "known", "replayed"]
BATCH = 500
# Commits follow one another no faster: what a commit costs, the events of this time share. A lone event does not wait,
# nor does one that follows a lone one: a sender that waits for each answer is not slowed.
PACE_S = 0.016


@dataclass(frozen=True, slots=True)
class Entry:
    """An event of a source with what the rules say of it, to be kept."""

    source: str
    event: Event
    match: Match
    signed_at: float

    @property
    def identity(self) -> tuple[str, str, str]:
        return (self.source, self.event.id, self.event.version)


# Requests that wait: the events of each, and where its answer goes.
Batch: TypeAlias = list[tuple[Sequence[Entry], "asyncio.Future[list[Outcome]]"]]


class Inbox:
    """The one writer of a process. `put` returns when the events are on disk; the loop is never blocked by the disk."""

    def __init__(self, database: Database, project: str, most_waiting: int, metrics: Metrics) -> None:
        self._database = database
        self._project = project
        self._most = most_waiting
        self._metrics = metrics
        self._waiting: Batch = []
        self._entries = 0
        self._writer: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "inbox")
        self._next_at = 0.0
        # Whether the last commit failed; who can say that the database keeps things again may say so.
        self.failing = False

    async def put(self, entries: Sequence[Entry]) -> list[Outcome]:
        """Keep events. RefusedError 503 if too many wait, or if the database does not take them."""
        if not entries:
            return []
        if self._entries + len(entries) > self._most:
            raise RefusedError(503, "Too many events wait for the disk: send again later.")
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, future))
        self._entries += len(entries)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        return await future

    async def close(self) -> None:
        """Write what waits, then end the writer."""
        if self._writer is not None:
            await self._writer
        self._thread.shutdown()

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            pause = self._next_at - loop.time()
            if pause > 0 and self._entries < BATCH:
                await asyncio.sleep(pause)
            batch = self._take()
            count = sum(len(some) for some, _ in batch)
            self._next_at = loop.time() + PACE_S if count > 1 else 0.0
            self._metrics.waiting.set(self._entries)
            try:
                await self._write(batch)
            finally:
                self._entries -= count
                self._metrics.waiting.set(self._entries)

    async def _write(self, batch: Batch) -> None:
        """Commit a batch and answer for it. Whatever goes wrong, nobody is left without an answer."""
        entries = [entry for some, _ in batch for entry in some]
        started = time.perf_counter()
        try:
            outcomes = await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, entries)
        except Exception as error:  # noqa: BLE001 - whatever it is, every request that waits is answered
            self._metrics.commit_failures.inc()
            self.failing = True
            LOG.error("commit failed", extra={"error": type(error).__name__, "events": len(entries)})
            if len(batch) > 1 and not isinstance(error, OperationalError | OSError):
                # Not the database but something in one of them: the others must not suffer for it.
                for one in batch:
                    await self._write([one])
                return
            self._fail(batch, error)
            return
        self.failing = False
        self._metrics.commits.observe(time.perf_counter() - started)
        self._metrics.batches.observe(len(entries))
        told = iter(outcomes)
        for some, future in batch:
            mine = [next(told) for _ in some]
            if not future.done():
                future.set_result(mine)

    def _take(self) -> Batch:
        taken, size = 0, 0
        while taken < len(self._waiting) and (taken == 0 or size + len(self._waiting[taken][0]) <= BATCH):
            size += len(self._waiting[taken][0])
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch

    def _fail(self, batch: Batch, error: Exception) -> None:
        for _, future in batch:
            if not future.done():
                refusal = RefusedError(503, "The event could not be kept: send it again.")
                refusal.__cause__ = error
                future.set_exception(refusal)

    def _commit(self, entries: list[Entry]) -> list[Outcome]:
        with self._database.write() as connection:
            outcomes = keep(connection, self._project, entries, self._database.is_sqlite)
        # One line a commit, written by this thread, which requests do not wait for as they would for theirs.
        kept = [[entry.source, entry.event.id, outcome] for entry, outcome in zip(entries, outcomes, strict=True)]
        LOG.info("kept", extra={"events": kept})
        return outcomes


# What differs from event to event, in the order in which _row says it; the last one is a number.
PARTS = ("source", "id", "version", "bucket", "key", "label", "rule", "state", "reason", "signed_at")


def _insert(rows: str, part: str) -> TextClause:
    """Insert what is not known yet, and say what that was.

    All rows are one JSON document, so that the statement is the same for any number of them: it is executed with every
    commit, and is taken apart by the database.
    """
    *texts, number = (part.format(number) for number in range(len(PARTS)))
    values = ", ".join([*texts, f"CAST({number} AS DOUBLE PRECISION)"])
    return text(
        # Made of constants alone.
        f"INSERT INTO events (project, received_at, {', '.join(PARTS)}) "  # noqa: S608
        f"SELECT :project, :received_at, {values} FROM {rows} WHERE true "
        "ON CONFLICT (project, source, id, version) DO NOTHING RETURNING source, id, version"
    )


INSERT = {
    "sqlite": _insert("json_each(:rows)", "json_extract(value, '$[{}]')"),
    "postgresql": _insert("json_array_elements(CAST(:rows AS JSON))", "value ->> {}"),
}


def keep(connection: Connection, project: str, entries: Sequence[Entry], is_sqlite: bool) -> list[Outcome]:
    """Insert events in the caller's transaction; what is known already is left as it is, and said to be known."""
    first: dict[tuple[str, str, str], Entry] = {}
    for entry in entries:
        first.setdefault(entry.identity, entry)
    # Two replicas that insert the same events in different orders would wait for one another: so, by order.
    rows = json.dumps([_row(first[identity]) for identity in sorted(first)], ensure_ascii=False)
    values = {"project": project, "received_at": time.time(), "rows": rows}
    inserted = {tuple(row) for row in connection.execute(INSERT["sqlite" if is_sqlite else "postgresql"], values)}
    outcomes: list[Outcome] = []
    for entry in entries:
        if entry.identity in inserted and first[entry.identity] is entry:
            outcomes.append("new" if entry.match.rule else "ignored")
        else:
            outcomes.append(_again(connection, project, entry))
    return outcomes


def _again(connection: Connection, project: str, entry: Entry) -> Outcome:
    """A known event: sent again under a later signature, or the same request replayed. This remembers the nonces."""
    if not entry.signed_at:
        return "known"
    source, event, version = entry.identity
    later = connection.execute(
        update(events)
        .where(
            events.c.project == project,
            events.c.source == source,
            events.c.id == event,
            events.c.version == version,
            events.c.signed_at < entry.signed_at,
        )
        .values(signed_at=entry.signed_at)
    )
    return "known" if later.rowcount else "replayed"


def _row(entry: Entry) -> list[Any]:
    """The PARTS of an event."""
    event, match = entry.event, entry.match
    place = (entry.source, event.id, event.version, event.bucket, event.key, event.label)
    return [*place, match.rule, NEW if match.rule else IGNORED, match.reason, entry.signed_at]
