"""A project's rows of the inbox's database: read in one transaction, and put into another database in one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, insert, select

from evernas.triggers.database import Database
from evernas.triggers.tables import attempts, cursors, deliveries, events, outbox, works

TABLES = {table.name: table for table in (works, events, attempts, outbox, deliveries, cursors)}
# Numbers that the database gives, and who refers to them: another database gives others.
GIVEN = {"works": "id", "events": "seq", "outbox": "seq"}
REFERS = {"events": ("work", "works"), "attempts": ("work", "works"), "deliveries": ("event", "outbox")}


def rows_of(database: Database, project: str) -> dict[str, list[dict[str, Any]]]:
    """All rows of a project, by table, as they were at one moment."""
    with database.engine.connect() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("BEGIN")
        else:
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        found = {name: [dict(r._mapping) for r in _of(connection, table, project)] for name, table in TABLES.items()}
        if database.is_sqlite:
            connection.exec_driver_sql("COMMIT")
        return found


def put_rows(database: Database, project: str, rows: dict[str, list[dict[str, Any]]]) -> int:
    """Put a project's rows into a database, under numbers of its own; nothing if it has some. Returns how many."""
    given: dict[str, dict[int, int]] = {name: {} for name in GIVEN}
    count = 0
    with database.write() as connection:
        if any(_of(connection, table, project) for table in TABLES.values()):
            return 0
        for name, table in TABLES.items():
            for row in rows.get(name, []):
                values = {key: value for key, value in row.items() if key in table.c}
                if name in REFERS:
                    column, other = REFERS[name]
                    values[column] = given[other].get(values[column])
                old = values.pop(GIVEN[name]) if name in GIVEN else None
                made = connection.execute(insert(table).values(**values)).inserted_primary_key
                if old is not None and made is not None:
                    given[name][old] = made[0]
                count += 1
    return count


def holds_rows(database: Database, project: str) -> bool:
    """Whether the database has any row of a project."""
    with database.read() as connection:
        return any(_of(connection, table, project) for table in TABLES.values())


def to_members(rows: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, bytes]]:
    """The rows as members of a backup."""
    for name, found in rows.items():
        yield f"inbox/{name}.json", json.dumps({"version": 1, "rows": found}, sort_keys=True).encode()


def from_member(data: bytes) -> list[dict[str, Any]]:
    """The inverse, for one table."""
    rows: list[dict[str, Any]] = json.loads(data)["rows"]
    return rows


def _of(connection: Connection, table: Any, project: str) -> list[Any]:
    """In the order of their numbers: put back, each gets a number after those that came before it."""
    mine = select(table).where(table.c.project == project).order_by(*table.primary_key.columns)
    return list(connection.execute(mine).all())
