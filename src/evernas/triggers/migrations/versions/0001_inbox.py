"""The inbox: events, works, attempts. A migration never changes once released, so it repeats what tables.py says."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("seq", serial, primary_key=True, autoincrement=True),
        *[sa.Column(name, sa.Text, nullable=False) for name in ("project", "source", "id", "version")],
        *[sa.Column(name, sa.Text, nullable=False) for name in ("bucket", "key", "label")],
        sa.Column("signed_at", sa.Double, nullable=False),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.Column("rule", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("work", sa.BigInteger),
        sa.Column("replays", sa.Integer, nullable=False, server_default="0"),
        sa.UniqueConstraint("project", "source", "id", "version", name="one_row_an_event"),
    )
    _partial("new_events", "events", "state = 'new'", unique=False)
    op.create_index("events_of_a_work", "events", ["work"])
    op.create_table(
        "works",
        sa.Column("id", serial, primary_key=True, autoincrement=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("first_at", sa.Double, nullable=False),
        sa.Column("last_at", sa.Double, nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
        sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
        sa.Column("not_before", sa.Double, nullable=False, server_default="0"),
        sa.Column("handle", sa.Text),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("changed_at", sa.Double, nullable=False),
    )
    _partial("one_waiting_work", "works", "state = 'waiting'", unique=True)
    _partial("one_active_work", "works", "state IN ('sealed', 'running')", unique=True)
    op.create_table(
        "attempts",
        sa.Column("project", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("work", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
    )


def _partial(name: str, table: str, where: str, unique: bool) -> None:
    op.create_index(
        name, table, ["project"], unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )


def downgrade() -> None:
    for table in ("attempts", "works", "events"):
        op.drop_table(table)
