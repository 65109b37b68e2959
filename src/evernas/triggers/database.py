"""The inbox's database: SQLite or PostgreSQL, durable at every commit, migrated at the start; and exclusive locks."""

from __future__ import annotations

import fcntl
import os
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from evernas.errors import EvernasError, UsageError

BUSY_S = 30
POLL_S = 0.05
LOCKED = "database is locked"
CONNECT_S = 5
LARGEST_WAL_PAGES = 8192
MIGRATION_LOCK = 0x45564552
VERSION_TABLE = "evernas_triggers_version"


class Database:
    """A database of one of both kinds. Writers of this process take turns, which is fairer than SQLite's waiting."""

    def __init__(self, address: str) -> None:
        self.url = _url(address)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            assert self.url.database is not None
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        self.engine = _engine(self.url, self.is_sqlite)
        self._turn = threading.Lock()

    def __repr__(self) -> str:
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction; on disk when the block has ended, undone if it raises."""
        if not self.is_sqlite:
            with self.engine.begin() as connection:
                yield connection
            return
        with self._turn, self.engine.connect() as connection:
            # A reader that turns writer would be refused at once where another has written: begin as a writer.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                # What is known of this connection's state is little: it is opened anew.
                connection.invalidate()
                raise

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def exclusive(self, name: str) -> Iterator[bool]:
        """Whether this process alone may do what the name stands for; the lock dies with its holder."""
        if self.is_sqlite:
            with _file_lock(Path(f"{self.url.database}.{name}.lock")) as held:
                yield held
            return
        number = zlib.crc32(f"evernas {name}".encode())
        with self.engine.connect() as connection:
            held = bool(connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}).scalar())
            connection.commit()
            try:
                yield held
            except BaseException:
                # The lock is the session's: closing it frees the lock, whatever state it is in.
                connection.invalidate()
                raise
            if held:
                connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": number})
                connection.commit()

    def probe(self) -> None:
        """Write what is there already, durably; raises what keeps the database from keeping things."""
        with self.write() as connection:
            # Made of a constant alone.
            connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = version_num"))  # noqa: S608

    def checkpoint(self) -> None:
        """Move SQLite's log into its file, away from the commits that requests wait for.

        Often, so that it is little each time. While there are writers the log is never moved whole, and grows: beyond a
        size they wait for the rest of it, and it begins anew in the same blocks of the disk.
        """
        if not self.is_sqlite:
            return
        with self.engine.connect() as connection:
            _, pages, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").one()
            if pages > LARGEST_WAL_PAGES:
                with self._turn:
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(RESTART)")

    def migrate(self) -> None:
        """Bring the tables to this version; UsageError for a database that does not keep what it has said to keep.

        EvernasError for one that does not answer.

        Tables that a later version has made are left as they are: migrations only add, so this version works on them,
        while an upgrade goes on and after a rollback.
        """
        deadline = time.monotonic() + BUSY_S
        while True:
            try:
                self._migrate()
                return
            except OperationalError as error:
                # The first line alone: what follows is SQLAlchemy's own.
                said = str(error.orig).partition("\n")[0]
                # SQLite does not wait for another that opens or closes its log, but refuses at once.
                if not (self.is_sqlite and said == LOCKED and time.monotonic() < deadline):
                    raise EvernasError(f"The database {self!r} cannot be used now: {said}") from None
            time.sleep(POLL_S)

    def _migrate(self) -> None:
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.engine.connect() as connection:
            if self.is_sqlite:
                # One transaction for all, which also keeps a second process out: a kill leaves nothing half-made.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                self._refuse_forgetful(connection)
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": MIGRATION_LOCK})
            config.attributes["connection"] = connection
            if not _is_later(config, connection):
                command.upgrade(config, "head")
            connection.commit()

    def close(self) -> None:
        self.engine.dispose()

    def _refuse_forgetful(self, connection: Connection) -> None:
        for setting in ("fsync", "synchronous_commit"):
            value = connection.execute(text(f"SHOW {setting}")).scalar()
            if value == "off":
                raise UsageError(
                    f"The database {self!r} runs with {setting} = off, and would lose acknowledged events: set it on."
                )


def _is_later(config: Any, connection: Connection) -> bool:
    """Whether the tables are of a version that this one does not know."""
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    current = context.get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    return current is not None and current not in known


def _url(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError:
        raise UsageError("The database's address is no URL: write postgresql://… or sqlite:///….") from None
    kind = url.get_backend_name()
    if kind == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite" or not url.database or url.database == ":memory:":
        raise UsageError("The database is neither PostgreSQL nor an SQLite file: write postgresql://… or sqlite:///….")
    return url


def _engine(url: URL, is_sqlite: bool) -> Engine:
    if not is_sqlite:
        arguments = {"connect_timeout": CONNECT_S, "options": "-c synchronous_commit=on", "application_name": "evernas"}
        return create_engine(url, pool_pre_ping=True, pool_size=4, max_overflow=4, connect_args=arguments)
    engine = create_engine(url, connect_args={"timeout": BUSY_S}, isolation_level="AUTOCOMMIT")
    event.listen(engine, "connect", _durable)
    return engine


def _durable(connection: Any, record: object) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0", f"busy_timeout = {BUSY_S}000"):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def _file_lock(path: Path) -> Iterator[bool]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
