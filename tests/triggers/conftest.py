"""Receivers and databases for the triggers' tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import serving
from evernas.triggers.database import Database


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Postgres]:
    """A PostgreSQL server of this test process."""
    if shutil.which("initdb") is None:
        pytest.skip("PostgreSQL is not installed here")
    folder = tmp_path_factory.mktemp("postgres")
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == 0 and parent != parent.parent and "pytest" in parent.as_posix():
            parent.chmod(0o755)
    with serving.postgres(folder / "server") as server:
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
    """A new database on a server."""
    import secrets

    import psycopg

    name = f"inbox_{secrets.token_hex(6)}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.url.rpartition("/")[0] + f"/{name}"


@pytest.fixture
def fresh_url(postgres: serving.Postgres) -> str:
    return _fresh(postgres)
