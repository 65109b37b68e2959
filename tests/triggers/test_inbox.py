"""An acknowledged event is on disk before its 202, once; and when the disk fails, nothing is acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DataError, OperationalError

import serving
from evernas.errors import EvernasError, UsageError
from evernas.triggers.database import Database
from evernas.triggers.events import Event, RefusedError
from evernas.triggers.inbox import Entry, Inbox, keep
from evernas.triggers.metrics import Metrics
from evernas.triggers.rules import Match
from evernas.triggers.tables import events

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed here: apt-get install strace"
)


def _entry(name: str, signed_at: float = 1.0) -> Entry:
    return Entry("lake", Event(name, "1", "raw", name, "created"), Match("r", ""), signed_at)


def _count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(events)).scalar() or 0)


def test_events_that_arrive_during_a_commit_share_the_next(database: Database) -> None:
    metrics = Metrics("watch")

    async def put() -> None:
        inbox = Inbox(database, "watch", 1000, metrics)
        outcomes = await asyncio.gather(*(inbox.put([_entry(f"e{n}")]) for n in range(200)))
        assert outcomes == [["new"]] * 200
        await inbox.close()

    asyncio.run(put())
    assert _count(database) == 200
    said = metrics.text().decode()
    commits = float(re.search(r"evernas_commit_seconds_count\S+ (\S+)", said)[1])  # type: ignore[index]
    assert commits <= 5


def test_sender_that_waits_for_each_answer_is_not_slowed_and_many_share_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evernas.triggers.inbox.PACE_S", 1.0)
    database, metrics = Database(f"sqlite:///{tmp_path / 'inbox.db'}"), Metrics("watch")
    database.migrate()

    async def put() -> None:
        inbox = Inbox(database, "watch", 1000, metrics)
        started = time.monotonic()
        for number in range(6):
            assert await inbox.put([_entry(f"alone-{number}")]) == ["new"]
        assert time.monotonic() - started < 4, "five pauses would be as long"
        together = [inbox.put([_entry(f"many-{number}")]) for number in range(3)]
        late = [asyncio.create_task(_after(pause, inbox, pause)) for pause in (0.1, 0.2, 0.3)]
        await asyncio.gather(*together, *late)
        await inbox.close()

    asyncio.run(put())
    said = metrics.text().decode()
    commits = float(re.search(r"evernas_commit_seconds_count\S+ (\S+)", said)[1])  # type: ignore[index]
    assert commits == 8, "six of one event, one of three, and one for those that came within its time"
    database.close()


async def _after(seconds: float, inbox: Inbox, name: float) -> None:
    await asyncio.sleep(seconds)
    await inbox.put([_entry(f"late-{name}")])


def test_repeat_within_and_between_commits_is_known_and_an_earlier_signature_a_replay(database: Database) -> None:
    with database.write() as connection:
        rows = [_entry("a"), _entry("b"), _entry("a", 2.0), _entry("a")]
        assert keep(connection, "watch", rows, database.is_sqlite) == ["new", "new", "known", "replayed"]
        assert keep(connection, "watch", [_entry("a", 2.0)], database.is_sqlite) == ["replayed"]
        assert keep(connection, "watch", [_entry("a", 3.0)], database.is_sqlite) == ["known"]
        assert keep(connection, "another", [_entry("a")], database.is_sqlite) == ["new"], "projects share a database"


def test_event_is_kept_as_it_was_said(database: Database) -> None:
    said = Event("Ü 😀 \"'\\ \u2028", ":rows", "b%(x)s", "k/$[0]/?", "NULL")
    kept = Entry("lake", said, Match(None, "no rule matches"), 1764115200.25)
    with database.write() as connection:
        assert keep(connection, "watch", [kept, _entry("a")], database.is_sqlite) == ["ignored", "new"]
        (row, other) = connection.execute(select(events).order_by(events.c.signed_at.desc())).all()
    assert Event(row.id, row.version, row.bucket, row.key, row.label) == said
    assert (row.project, row.source, row.rule, row.state) == ("watch", "lake", None, "ignored")
    assert (row.reason, row.signed_at, other.rule) == ("no rule matches", 1764115200.25, "r")


def test_writers_that_insert_the_same_events_in_opposite_orders_do_not_block_each_other(database: Database) -> None:
    names = [f"e{n:03d}" for n in range(60)]
    new: list[int] = []

    def write(order: list[str]) -> None:
        for _ in range(5):
            with database.write() as connection:
                outcomes = keep(connection, "watch", [_entry(name) for name in order], database.is_sqlite)
            new.append(outcomes.count("new"))

    threads = [threading.Thread(target=write, args=(order,)) for order in (names, names[::-1], names[30:] + names[:30])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (sum(new), _count(database)) == (60, 60)


def test_more_than_may_wait_is_refused_and_the_rest_kept(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    database.migrate()

    async def put() -> list[object]:
        inbox = Inbox(database, "watch", 10, Metrics("watch"))
        outcomes = await asyncio.gather(*(inbox.put([_entry(f"e{n}")]) for n in range(15)), return_exceptions=True)
        await inbox.close()
        return list(outcomes)

    outcomes = asyncio.run(put())
    refused = [outcome for outcome in outcomes if isinstance(outcome, RefusedError)]
    assert [error.status for error in refused] == [503] * 5
    assert _count(database) == 10


def test_receiver_is_not_ready_while_commits_fail_and_finds_out_itself_when_they_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fuzzing import Target

    target, body = Target(tmp_path), serving.change()
    original = Database.write

    @contextlib.contextmanager
    def full(database: Database) -> Iterator[object]:
        with original(database) as connection:
            yield connection
            raise OperationalError("COMMIT", {}, Exception("database or disk is full"))

    assert target.service._problem() is None
    monkeypatch.setattr(Database, "write", full)
    assert asyncio.run(target.post("lake", body, serving.signed(body))) == 503
    assert "keeps nothing (OperationalError)" in str(target.service._problem())
    monkeypatch.setattr(Database, "write", original)
    assert target.service._problem() is None
    assert not target.service.inbox.failing


def test_failed_commit_gives_503_and_the_next_one_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    database.migrate()
    original, failures = keep, [1]

    def failing(*arguments: object) -> object:
        kept = original(*arguments)  # type: ignore[arg-type]
        if failures:
            failures.pop()
            raise OperationalError("COMMIT", {}, Exception("disk I/O error"))
        return kept

    monkeypatch.setattr("evernas.triggers.inbox.keep", failing)

    async def put() -> None:
        inbox = Inbox(database, "watch", 10, Metrics("watch"))
        with pytest.raises(RefusedError) as refused:
            await inbox.put([_entry("a")])
        assert refused.value.status == 503
        assert _count(database) == 0
        assert await inbox.put([_entry("a")]) == ["new"]
        await inbox.close()

    asyncio.run(put())


def test_postgresql_that_dies_gives_503_and_takes_the_event_once_it_is_back(
    postgres: serving.Postgres, fresh_url: str
) -> None:
    database = Database(fresh_url)
    database.migrate()

    async def put() -> None:
        inbox = Inbox(database, "watch", 10, Metrics("watch"))
        assert await inbox.put([_entry("a")]) == ["new"]
        postgres.kill()
        try:
            with pytest.raises(RefusedError) as refused:
                await inbox.put([_entry("b")])
            assert refused.value.status == 503
        finally:
            postgres.start()
        assert await inbox.put([_entry("b")]) == ["new"]
        await inbox.close()

    asyncio.run(put())
    assert _count(database) == 2
    database.close()


def test_postgresql_that_would_forget_acknowledged_events_is_refused_or_told_not_to(
    postgres: serving.Postgres, fresh_url: str
) -> None:
    import psycopg

    def change(*statements: str) -> None:
        with psycopg.connect(fresh_url, autocommit=True) as connection:
            for statement in (*statements, "SELECT pg_reload_conf()"):
                connection.execute(statement)

    change("ALTER SYSTEM SET fsync = off", "ALTER DATABASE postgres SET synchronous_commit = off")
    try:
        serving.wait_until(lambda: postgres.rows("SHOW fsync") == [("off",)])
        assert postgres.rows("SHOW synchronous_commit") == [("off",)]
        database = Database(fresh_url)
        with pytest.raises(UsageError, match="runs with fsync = off, and would lose acknowledged events: set it on"):
            database.migrate()
        with database.read() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on", "our connections say so"
        database.close()
    finally:
        change("ALTER SYSTEM RESET fsync", "ALTER DATABASE postgres RESET synchronous_commit")
        serving.wait_until(lambda: postgres.rows("SHOW fsync") == [("on",)])


def test_event_that_the_database_refuses_takes_no_other_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    database.migrate()
    original = keep

    def refusing(connection: object, project: str, entries: list[Entry], is_sqlite: bool) -> object:
        if any(entry.event.id == "poison" for entry in entries):
            raise DataError("INSERT", {}, Exception("value too long"))
        return original(connection, project, entries, is_sqlite)  # type: ignore[arg-type]

    monkeypatch.setattr("evernas.triggers.inbox.keep", refusing)

    async def put() -> list[object]:
        inbox = Inbox(database, "watch", 100, Metrics("watch"))
        names = ["a", "b", "poison", "c"]
        outcomes = await asyncio.gather(*(inbox.put([_entry(name)]) for name in names), return_exceptions=True)
        await inbox.close()
        return list(outcomes)

    outcomes = asyncio.run(put())
    assert [outcome for outcome in outcomes if not isinstance(outcome, RefusedError)] == [["new"]] * 3
    assert _count(database) == 3


def test_log_of_sqlite_begins_anew_after_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evernas.triggers.database.LARGEST_WAL_PAGES", 10)
    database = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    database.migrate()
    sizes = []
    for turn in range(4):
        for number in range(20):
            with database.write() as connection:
                keep(connection, "watch", [_entry(f"{turn}-{number}")], is_sqlite=True)
        sizes.append((tmp_path / "inbox.db-wal").stat().st_size)
        database.checkpoint()
    assert max(sizes[1:]) < 1.5 * sizes[0]
    database.close()


def test_migration_is_whole_or_not_there_and_a_second_one_does_nothing(database: Database) -> None:
    database.migrate()
    with database.write() as connection:
        keep(connection, "watch", [_entry("a")], database.is_sqlite)
    database.migrate()
    assert _count(database) == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_receivers_that_start_at_once_on_an_empty_database_make_its_tables_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = f"sqlite:///{tmp_path / 'inbox.db'}" if kind == "sqlite" else request.getfixturevalue("fresh_url")
    several = [Database(address) for _ in range(4)]
    with ThreadPoolExecutor(len(several)) as pool:
        list(pool.map(Database.migrate, several))
    assert [_count(database) for database in several] == [0] * 4
    for database in several:
        database.close()


def test_a_database_that_refuses_at_once_since_another_opens_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'inbox.db'}")
    migrate, refusals = Database._migrate, iter([True, True])

    def refuses(self: Database) -> None:
        if next(refusals, False):
            raise OperationalError("BEGIN IMMEDIATE", {}, sqlite3.OperationalError("database is locked"))
        migrate(self)

    monkeypatch.setattr(Database, "_migrate", refuses)
    database.migrate()
    assert _count(database) == 0
    database.close()


def test_tables_are_those_of_the_migrations(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from evernas.triggers.tables import metadata

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "evernas_triggers_version"})
        assert compare_metadata(context, metadata) == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Server]:
    waiting = {"quiet_s": 3600, "max_wait_s": 3600}
    made = serving.server(tmp_path_factory.mktemp("inbox"), serving.triggers_config(debounce=waiting)).start()
    yield made
    made.stop()


@contextlib.contextmanager
def _strace(server: serving.Server, *arguments: str, also: Sequence[int] = ()) -> Iterator[None]:
    assert server.process is not None
    processes = [part for pid in (server.process.pid, *also) for part in ("-p", str(pid))]
    command = ["strace", "-f", *processes, *arguments]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        tracer.wait()
        pytest.skip(f"strace may not attach here: {said.strip()}")
    # All threads are attached once the first line is there and a moment has passed.
    time.sleep(0.5)
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait()


@needs_strace
def test_each_202_follows_its_fsync(server: serving.Server, tmp_path: Path) -> None:
    _demand_fsync_before_each_202(server, tmp_path / "trace")


@needs_strace
def test_each_202_follows_postgresqls_fsync(postgres: serving.Postgres, fresh_url: str, tmp_path: Path) -> None:
    waiting = serving.triggers_config(debounce={"quiet_s": 3600, "max_wait_s": 3600}, database={"env": "INBOX_URL"})
    server = serving.server(tmp_path, waiting, INBOX_URL=fresh_url).start()
    try:
        # What commits is made with the first of them.
        assert server.post(serving.change("watch/first"))[0] == 202
        _demand_fsync_before_each_202(server, tmp_path / "trace", also=postgres.processes())
    finally:
        server.stop()


def _demand_fsync_before_each_202(server: serving.Server, trace: Path, also: Sequence[int] = ()) -> None:
    calls = "trace=fsync,fdatasync,write,writev,sendto,sendmsg"
    with _strace(server, "-e", calls, "-s", "40", "-o", str(trace), also=also):
        for number in range(10):
            assert server.post(serving.change(f"watch/{number}"))[0] == 202
    order = re.findall(r"(?:fsync|fdatasync)(?:\(\d+| resumed>)\)?\s*\)?\s+= 0|HTTP/1\.1 202", trace.read_text())
    answers = [place for place, what in enumerate(order) if "202" in what]
    assert len(answers) == 10
    for before, answer in zip([-1, *answers], answers, strict=False):
        assert answer - before > 1, "no successful fsync between two acknowledgements"


@needs_strace
def test_failed_fsync_gives_5xx_and_the_event_is_kept_when_it_is_sent_again(server: serving.Server) -> None:
    before = len(server.rows("SELECT 1 FROM events"))
    body = serving.change("watch/failing")
    with _strace(server, "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-o", "/dev/null"):
        assert [server.post(body, serving.signed(body, "failing", time.time() + n))[0] for n in range(3)] == [503] * 3
    statuses = [server.post(body, serving.signed(body, "failing", time.time() + 10 + n))[0] for n in range(2)]
    assert statuses == [202, 202]
    assert len(server.rows("SELECT 1 FROM events")) == before + 1


def test_every_acknowledged_event_survives_a_kill_once(tmp_path: Path) -> None:
    waiting = {"quiet_s": 3600, "max_wait_s": 3600}
    server = serving.server(tmp_path, serving.triggers_config(debounce=waiting)).start()
    acknowledged: list[str] = []

    def send(worker: int) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            for number in range(10_000):
                body, name = serving.change(f"watch/{worker}-{number}"), f"e-{worker}-{number}"
                if server.post(body, serving.signed(body, name))[0] == 202:
                    acknowledged.append(name)

    threads = [threading.Thread(target=send, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    serving.wait_until(lambda: len(acknowledged) > 150)
    server.kill()
    for thread in threads:
        thread.join()
    kept = [row[0] for row in server.rows("SELECT id FROM events")]
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)


def test_tables_of_a_later_version_are_left_alone_and_worked_on(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE evernas_triggers_version SET version_num = '9999_later'"))
        connection.execute(text("ALTER TABLE events ADD COLUMN later VARCHAR(10) DEFAULT 'x' NOT NULL"))
    database.migrate()
    with database.write() as connection:
        keep(connection, "watch", [_entry("a")], database.is_sqlite)
    assert _count(database) == 1
    with database.read() as connection:
        assert connection.execute(text("SELECT version_num FROM evernas_triggers_version")).scalar() == "9999_later"


def test_migration_by_command_says_what_is_up_to_date_without_the_password(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from evernas.cli import app

    config = serving.write_config(tmp_path / "evernas.yaml", serving.triggers_config())
    command = ["events", "migrate", str(config), "--home", str(tmp_path / "home")]
    for _ in range(2):
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0
        assert "The inbox of watch is up to date: sqlite:///" in done.output


def test_database_that_does_not_answer_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from evernas.cli import app

    monkeypatch.setenv("INBOX_URL", f"postgresql://evernas:hush-hush@127.0.0.1:{serving.free_port()}/inbox")
    config = serving.write_config(tmp_path / "evernas.yaml", serving.triggers_config(database={"env": "INBOX_URL"}))
    done = CliRunner().invoke(app, ["events", "list", str(config), "--home", str(tmp_path / "home")])
    assert isinstance(done.exception, EvernasError)
    assert re.match(r"The database postgresql\S+evernas:\*\*\*@\S+ cannot be used now: .*refused", str(done.exception))
    assert "\n" not in str(done.exception)
