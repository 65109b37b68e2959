"""Within a release migrations only add, so the code of before works on the tables of after: in an upgrade, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, text

import evernas.triggers
from desk import Desk
from evernas.triggers.database import VERSION_TABLE, Database

FOLDER = Path(evernas.triggers.__file__).parent / "migrations"
# What leaves all that an older release reads and writes as it was; a column that must be given it would not give.
ADDING = (
    r"CREATE TABLE \w+ \(.*\)",
    r"CREATE INDEX \w+ ON \w+ \(.*\).*",
    r"ALTER TABLE \w+ ADD COLUMN \w+ (?!.*NOT NULL).*",
    r"ALTER TABLE \w+ ADD COLUMN \w+ (?=.*DEFAULT ).*",
)
OWN = (r"(PRAGMA|SELECT) .*", rf"(INSERT INTO|UPDATE|CREATE TABLE) {VERSION_TABLE} .*")
# What a later release may have added: the code of this one knows nothing of it.
LATER = (
    "ALTER TABLE events ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE works ADD COLUMN note TEXT",
    "CREATE TABLE senders (name TEXT PRIMARY KEY)",
    "CREATE INDEX events_by_key ON events (key)",
)


def statements() -> Iterator[tuple[str, list[str]]]:
    """Each migration, oldest first, and what it asks of the database."""
    engine, asked = create_engine("sqlite://"), list[str]()

    @event.listens_for(engine, "before_cursor_execute")
    def write_down(connection: object, cursor: object, statement: str, *more: object) -> None:
        asked.append(" ".join(statement.split()))

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        for one in reversed(list(ScriptDirectory.from_config(config).walk_revisions())):
            assert isinstance(one.down_revision, str | None), "one after the other"
            asked.clear()
            command.upgrade(config, one.revision)
            yield one.revision, list(asked)


def taking_away(asked: list[str]) -> list[str]:
    """What of this is more than adding; on a table that the same migration makes, an index may be unique."""
    made = {found[1] for one in asked if (found := re.match(r"CREATE TABLE (\w+)", one))}
    unique = [rf"CREATE UNIQUE INDEX \w+ ON {table} .*" for table in made]
    return [one for one in asked if not any(re.fullmatch(known, one) for known in (*ADDING, *OWN, *unique))]


def test_every_migration_only_adds() -> None:
    found = list(statements())
    assert found[0][0] == "0001"
    for revision, asked in found:
        assert any(one.startswith(("CREATE", "ALTER")) for one in asked), "it is seen"
        assert taking_away(asked) == [], revision


@pytest.mark.parametrize(
    "asked",
    [
        "DROP TABLE events",
        "ALTER TABLE events DROP COLUMN rule",
        "ALTER TABLE events RENAME COLUMN rule TO rules",
        "ALTER TABLE events ALTER COLUMN rule SET NOT NULL",
        "ALTER TABLE events ADD COLUMN priority INTEGER NOT NULL",
        "CREATE UNIQUE INDEX one_key ON events (key)",
        "UPDATE events SET state = 'new'",
    ],
)
def test_what_would_stop_an_older_release_is_seen(asked: str) -> None:
    assert taking_away([*LATER, asked]) == [asked]


def test_this_code_works_on_the_tables_of_a_release_after_it(database: Database, desk: Callable[..., Desk]) -> None:
    place = desk()
    with database.write() as connection:
        for asked in LATER:
            connection.execute(text(asked))
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    database.migrate()
    place.tell("a")
    place.look(2)
    place.cluster.end("succeeded")
    place.look(2)
    assert place.states() == {"a": "done"}
    with database.read() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == "9999"
