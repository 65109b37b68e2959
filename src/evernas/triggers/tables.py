"""The inbox's tables: events, the works that they are gathered into, and the attempts at each work."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, MetaData, Table, Text, UniqueConstraint, text

metadata = MetaData()
# SQLite counts rows by itself only in a column of type INTEGER.
Serial = BigInteger().with_variant(Integer(), "sqlite")

# An event is new until it is gathered into a work, or ignored from the start; it is done, dead or new again with it.
NEW, GATHERED, IGNORED, DONE, DEAD = "new", "gathered", "ignored", "done", "dead"
events = Table(
    "events",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("project", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("bucket", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("signed_at", Double, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("rule", Text),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("work", BigInteger),
    Column("replays", Integer, nullable=False, server_default="0"),
    UniqueConstraint("project", "source", "id", "version", name="one_row_an_event"),
)
# Small, because only what still waits is in it.
Index("new_events", events.c.project, sqlite_where=text("state = 'new'"), postgresql_where=text("state = 'new'"))
Index("events_of_a_work", events.c.work)

# A work waits while it gathers events; it is sealed when its events are fixed and its run is to be submitted; its run
# is running until it is done, or dead when no further attempt is made; a dead one whose events went back is replayed.
WAITING, SEALED, RUNNING, REPLAYED = "waiting", "sealed", "running", "replayed"
works = Table(
    "works",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("project", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("name", Text),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("not_before", Double, nullable=False, server_default="0"),
    Column("handle", Text),
    Column("reason", Text, nullable=False, server_default=""),
    Column("changed_at", Double, nullable=False),
)
for name, states in (("one_waiting_work", "state = 'waiting'"), ("one_active_work", "state IN ('sealed', 'running')")):
    Index(name, works.c.project, unique=True, sqlite_where=text(states), postgresql_where=text(states))

attempts = Table(
    "attempts",
    metadata,
    Column("project", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("work", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double),
)

# What is to be told to others (`evernas.outbox`): an event is kept with those who are to hear of it, each of whom it is
# being sent to until it has taken it, or was given up.
SENDING, SENT = "sending", "sent"
outbox = Table(
    "outbox",
    metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("project", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("made_at", Double, nullable=False),
    UniqueConstraint("project", "id", name="one_row_a_happening"),
)
deliveries = Table(
    "deliveries",
    metadata,
    Column("event", BigInteger, primary_key=True, autoincrement=False),
    Column("sink", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before", Double, nullable=False, server_default="0"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("changed_at", Double, nullable=False),
)
Index(
    "open_deliveries",
    deliveries.c.project,
    deliveries.c.sink,
    sqlite_where=text("state = 'sending'"),
    postgresql_where=text("state = 'sending'"),
)
# Up to which entry of the journal the outbox has heard of each device.
cursors = Table(
    "outbox_cursors",
    metadata,
    Column("project", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("number", Integer, nullable=False),
)
