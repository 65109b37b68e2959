"""The journal's places as rows of a database, unique by (project, device, number); imported only where one is used."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Integer, MetaData, PrimaryKeyConstraint, String, Table, Text, create_engine, func, select
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.pool import NullPool

from evernas.errors import EvernasError, UnknownOutcome, UsageError
from evernas.registry.slots import Slots, filled_otherwise
from evernas.storage import AlreadyExists

PATIENCE_S = 60
TABLE = Table(
    "evernas_journal",
    MetaData(),
    Column("project", String(64), nullable=False),
    Column("device", String(64), nullable=False),
    Column("n", Integer, nullable=False),
    Column("entry", Text, nullable=False),
    PrimaryKeyConstraint("project", "device", "n", name="evernas_journal_once"),
)


class DatabaseSlots(Slots):
    """Places as rows; PostgreSQL or SQLite. An account with SELECT and INSERT is enough once the table is there."""

    def __init__(self, url: str, project: str) -> None:
        self._url = _checked(url)
        self._project = project
        self._engine = _engine(self._url)
        self._ready = False

    def newest(self, device: str) -> int:
        query = select(func.max(TABLE.c.n)).where(TABLE.c.project == self._project, TABLE.c.device == device)
        found = self._first(query)
        return found if isinstance(found, int) else 0

    def read(self, device: str, number: int) -> bytes:
        mine = (TABLE.c.project == self._project, TABLE.c.device == device, TABLE.c.n == number)
        found = self._first(select(TABLE.c.entry).where(*mine))
        if found is None:
            raise KeyError(f"{device}/{number}")
        return str(found).encode()

    def create(self, device: str, number: int, data: bytes) -> None:
        self._make_table()
        row = {"project": self._project, "device": device, "n": number, "entry": data.decode()}
        try:
            with self._engine.begin() as connection:
                connection.execute(TABLE.insert().values(**row))
        except IntegrityError:
            raise AlreadyExists(f"Entry {number} of {device} is taken already.") from None
        except DBAPIError as error:
            raise self._failure("written to", error) from error

    def fill(self, entries: Mapping[tuple[str, int], bytes]) -> None:
        self._make_table()
        try:
            with self._engine.begin() as connection:
                for (device, number), data in sorted(entries.items()):
                    mine = (TABLE.c.project == self._project, TABLE.c.device == device, TABLE.c.n == number)
                    known = connection.execute(select(TABLE.c.entry).where(*mine)).scalar()
                    if known is None:
                        row = {"project": self._project, "device": device, "n": number, "entry": data.decode()}
                        connection.execute(TABLE.insert().values(**row))
                    elif known.encode() != data:
                        raise filled_otherwise(device, number)
        except DBAPIError as error:
            raise self._failure("written to", error) from error

    def devices(self) -> list[str]:
        self._make_table()
        query = select(TABLE.c.device).where(TABLE.c.project == self._project, TABLE.c.n > 0).distinct()
        try:
            with self._engine.connect() as connection:
                return sorted(row[0] for row in connection.execute(query))
        except DBAPIError as error:
            raise self._failure("read", error) from error

    @property
    def place(self) -> str:
        return self._url.set(username=None, password=None).render_as_string()

    def _first(self, query: object) -> object:
        self._make_table()
        try:
            with self._engine.connect() as connection:
                return connection.execute(query).scalar()  # type: ignore[call-overload]
        except DBAPIError as error:
            raise self._failure("read", error) from error

    def _make_table(self) -> None:
        """Make the table where it is missing; of several at once, one makes it."""
        if self._ready:
            return
        from sqlalchemy import inspect

        try:
            if not inspect(self._engine).has_table(TABLE.name):
                try:
                    TABLE.create(self._engine, checkfirst=True)
                except DBAPIError:
                    if not inspect(self._engine).has_table(TABLE.name):
                        raise
        except DBAPIError as error:
            raise self._failure("reached", error) from error
        self._ready = True

    def _failure(self, act: str, error: DBAPIError) -> EvernasError:
        """What a failed statement means: a lost connection leaves open what was done, a refusal does not."""
        said = f"The journal at {self.place} could not be {act} ({str(error.orig).strip()})"
        if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
            return UnknownOutcome(f"{said}: check the server and the network, then give the same command again.")
        return EvernasError(f"{said}: check registry.journal and the rights of its account.")


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(f"registry.journal is no address of a database ({error}).") from None
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    raise UsageError(
        f"registry.journal names the database {backend!r}: use postgresql://host/database, or sqlite:///path of a file."
    )


def _engine(url: URL) -> Engine:
    """An engine without a pool: a command makes a few requests, and a forked process must not share a connection."""
    try:
        if url.get_backend_name() == "sqlite":
            return create_engine(url, poolclass=NullPool, connect_args={"timeout": PATIENCE_S})
        return create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": PATIENCE_S})
    except ModuleNotFoundError as error:
        raise UsageError(
            f"registry.journal needs {error.name}, which is not installed: install evernas[core]."
        ) from None
