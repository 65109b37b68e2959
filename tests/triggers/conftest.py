"""Receivers and databases for the triggers' tests."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import serving
from desk import Desk
from evernas.triggers.database import Database


@pytest.fixture(scope="session")
def postgres() -> Iterator[serving.Postgres]:
    """A PostgreSQL server of this test process."""
    if shutil.which("initdb") is None:
        pytest.skip(
            "PostgreSQL is not installed here: apt-get install postgresql, and put initdb and pg_ctl on the PATH"
        )
    with serving.postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An inbox of each kind, empty."""
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    else:
        made = Database(_fresh(request.getfixturevalue("postgres")))
    made.migrate()
    yield made
    made.close()


def _fresh(server: serving.Postgres) -> str:
    """The server's database, emptied."""
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        for table in (
            "events",
            "works",
            "attempts",
            "outbox",
            "deliveries",
            "outbox_cursors",
            "evernas_triggers_version",
        ):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
    return server.url


@pytest.fixture
def fresh_url(postgres: serving.Postgres) -> str:
    return _fresh(postgres)


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    """Port of an S3 server, in a process of its own."""
    from registry_servers import s3

    with s3() as port:
        yield port


@pytest.fixture
def bucket(s3_port: int, tmp_path: Path) -> str:
    """Address of a place in a bucket that no other test uses."""
    from registry_servers import BUCKET

    return f"s3://{BUCKET}/{tmp_path.name}?endpoint=http://127.0.0.1:{s3_port}&region=us-east-1"


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Callable[..., Desk]:
    """Makes a dispatcher of this database, by what its config says of triggers."""

    def made(**triggers: Any) -> Desk:
        return Desk(database, tmp_path, **triggers)

    return made
