"""The way back from an upgrade of MLflow, by the commands that docs/cluster.md names, on a real PostgreSQL."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

import serving

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
# Two tables of MLflow's, as far as its clients notice that they are gone; the rest is PostgreSQL's own work.
TABLES = """
CREATE TABLE alembic_version (version_num text PRIMARY KEY);
INSERT INTO alembic_version VALUES ('before');
CREATE TABLE registered_models (name text PRIMARY KEY);
CREATE TABLE registered_model_aliases (
    name text REFERENCES registered_models, alias text, version int NOT NULL, PRIMARY KEY (name, alias)
);
INSERT INTO registered_models VALUES ('evernas-watch');
INSERT INTO registered_model_aliases VALUES ('evernas-watch', 'champion-graviton', 3);
"""
ONE_WAY = """
UPDATE alembic_version SET version_num = 'after';
ALTER TABLE registered_model_aliases DROP COLUMN version;
CREATE TABLE made_by_the_upgrade (id int REFERENCES made_before);
"""


def commands(tool: str) -> str:
    """The one line of the page that starts with a tool."""
    (line,) = re.findall(rf"^{tool} .*$", PAGE.read_text(), re.M)
    return line


@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("initdb", "pg_dump", "pg_restore", "psql")),
    reason="PostgreSQL is not installed here: apt-get install postgresql, and put its programs on the PATH",
)
def test_mlflows_database_is_as_it_was_after_its_backup_is_restored(tmp_path: Path) -> None:
    with serving.postgres() as server:
        url = server.url

        def run(tool: str) -> None:
            environment = {**os.environ, "DATABASE": url}
            subprocess.run(["bash", "-ec", commands(tool)], cwd=tmp_path, env=environment, check=True)

        with psycopg.connect(url) as connection:
            connection.execute(TABLES)
        run("pg_dump")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE made_before (id int PRIMARY KEY)")
            connection.execute(ONE_WAY)
        run("psql")
        run("pg_restore")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("before",)]
            assert connection.execute("SELECT alias, version FROM registered_model_aliases").fetchall() == [
                ("champion-graviton", 3)
            ]
            found = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
            assert found == (3,), "nothing of the upgrade is left"
