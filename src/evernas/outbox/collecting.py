"""From what has happened to the outbox: the journal's entries since the last look, and the notices.

Both outlive a kill: an entry is looked for until the outbox has it, and a notice is removed only once it has. What is
put in twice is there once, since its id is made of what happened.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from evernas.config_outbox import OutboxConfig, SinkConfig
from evernas.outbox.cloudevents import Happening, of_entry, of_notice
from evernas.registry.journal import Journal
from evernas.state import Home
from evernas.state.notices import notices, remove
from evernas.triggers.database import Database
from evernas.triggers.tables import SENDING, cursors, deliveries, outbox

DAY_S = 86400.0


def collect(database: Database, outbox_config: OutboxConfig, project: str, home: Home, journal: Journal) -> int:
    """Put into the outbox what has happened since the last look; returns how many events that were."""
    known, kept_s = _cursors(database, project), outbox_config.retention_days * DAY_S
    found: list[Happening] = []
    heads: dict[str, int] = {}
    for device in journal.devices():
        heads[device] = journal.head_number(device)
        first = known.get(device, 0) + 1
        entries = [of_entry(project, journal.read(device, number)) for number in range(first, heads[device] + 1)]
        # Whoever sets up an outbox in a project's third year is not told of the first two.
        found += entries if device in known else [entry for entry in entries if _age_s(entry) < kept_s]
    told = notices(home, project)
    found += [of_notice(project, notice) for notice in told.values()]
    if found or heads != known:
        with database.write() as connection:
            keep(connection, project, outbox_config.sinks, found, database.is_sqlite)
            for device, number in heads.items():
                _advance(connection, project, device, number, known)
    for key in told:
        remove(home, project, key)
    return len(found)


def keep(
    connection: Connection, project: str, sinks: Sequence[SinkConfig], found: Iterable[Happening], is_sqlite: bool
) -> None:
    """Put events into the outbox in the caller's transaction, each to be sent to the sinks that want it."""
    for happening in found:
        row = {
            "project": project,
            "id": happening.id,
            "type": happening.type,
            "subject": happening.subject,
            "event": json.dumps(happening.document(project), sort_keys=True),
            "made_at": time.time(),
        }
        made = connection.execute(_insert(outbox, is_sqlite, ("project", "id")).values(**row).returning(outbox.c.seq))
        number = made.scalar()
        if number is None:
            continue
        for sink in sinks:
            if not sink.types or happening.type in sink.types:
                address(connection, project, number, sink.name)


def address(connection: Connection, project: str, number: int, sink: str) -> None:
    """Let an event be sent to a sink."""
    connection.execute(
        insert(deliveries).values(
            project=project, event=number, sink=sink, state=SENDING, attempts=0, not_before=0.0, changed_at=time.time()
        )
    )


def _cursors(database: Database, project: str) -> dict[str, int]:
    with database.read() as connection:
        rows = connection.execute(select(cursors.c.device, cursors.c.number).where(cursors.c.project == project))
        return {row.device: row.number for row in rows}


def _advance(connection: Connection, project: str, device: str, number: int, known: dict[str, int]) -> None:
    if device in known:
        mine = (cursors.c.project == project) & (cursors.c.device == device) & (cursors.c.number < number)
        connection.execute(update(cursors).where(mine).values(number=number))
    else:
        connection.execute(insert(cursors).values(project=project, device=device, number=number))


def _insert(table: Any, is_sqlite: bool, unique: tuple[str, ...]) -> Any:
    made = sqlite.insert(table) if is_sqlite else postgresql.insert(table)
    return made.on_conflict_do_nothing(index_elements=list(unique))


def _age_s(happening: Happening) -> float:
    return time.time() - datetime.fromisoformat(happening.at).timestamp()
