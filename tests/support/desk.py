"""A dispatcher with a cluster that a test plays, and what a test needs to feed and to watch it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

import serving
from evernas.config import Config, load_config
from evernas.storage import FileStorage
from evernas.triggers import tables
from evernas.triggers.database import Database
from evernas.triggers.decisions import Decisions
from evernas.triggers.dispatch import Dispatcher
from evernas.triggers.events import Event
from evernas.triggers.inbox import Entry, keep
from evernas.triggers.lease import Leases
from evernas.triggers.metrics import Metrics
from evernas.triggers.rules import Match
from evernas.triggers.submission import Found, RunState, Submitter
from evernas.triggers.tables import attempts, events


class Cluster(Submitter):
    """Runs that end when a test says so."""

    def __init__(self) -> None:
        self.runs: dict[str, RunState] = {}
        self.submitted: list[str] = []
        self.code = self.newest = "v1"
        self.answers: list[Exception] = []

    def find(self, name: str) -> Found | None:
        return Found(name, self.runs[name], "it said so") if name in self.runs else None

    def submit(self, name: str) -> str:
        if self.answers:
            raise self.answers.pop(0)
        self.submitted.append(name)
        self.runs[name] = "running"
        return name

    def renew(self, config: Config) -> None:
        self.code = self.newest

    def version(self) -> str:
        return self.code

    def end(self, state: RunState) -> None:
        self.runs[self.submitted[-1]] = state


class Desk:
    """A dispatcher with what a test needs to feed and to watch it."""

    def __init__(self, database: Database, folder: Path, **triggers: Any) -> None:
        section = serving.triggers_config(
            **{"debounce": {"quiet_s": 0.0, "max_wait_s": 0.0}, "submit": {"retry_s": 0.0, "poll_s": 0.001}, **triggers}
        )
        self.config = load_config(serving.write_config(folder / "evernas.yaml", section))
        self.database, self.cluster = database, Cluster()
        self.leases = Leases(FileStorage(folder / "lease"))
        self.dispatcher = self.another()

    def another(self, decisions: Decisions | None = None) -> Dispatcher:
        return Dispatcher(self.config, self.database, self.cluster, self.leases, Metrics("watch"), decisions)

    def tell(self, name: str, version: str = "1", label: str = "created") -> str:
        entry = Entry("lake", Event(name, version, "raw", name, label), Match("recordings", ""), 0.0)
        with self.database.write() as connection:
            return keep(connection, "watch", [entry], self.database.is_sqlite)[0]

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.dispatcher.look()
            time.sleep(0.003)

    def age(self, seconds: float) -> None:
        """Let time pass for what has been received."""
        with self.database.write() as connection:
            connection.execute(update(events).values(received_at=events.c.received_at - seconds))
            waiting = update(tables.works).where(tables.works.c.state == "waiting")
            connection.execute(
                waiting.values(first_at=tables.works.c.first_at - seconds, last_at=tables.works.c.last_at - seconds)
            )

    def states(self) -> dict[str, str]:
        with self.database.read() as connection:
            return {row.id: row.state for row in connection.execute(select(events))}

    def keys(self, source: str) -> list[str]:
        with self.database.read() as connection:
            return [row.key for row in connection.execute(select(events).where(events.c.source == source))]

    def tried(self) -> list[tuple[int, str]]:
        with self.database.read() as connection:
            rows = connection.execute(select(attempts).order_by(attempts.c.started_at))
            return [(row.number, row.state) for row in rows]
