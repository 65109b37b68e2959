"""The outbox: events that are told to others, their deliveries, and how far the journal was read."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("seq", serial, primary_key=True, autoincrement=True),
        *[sa.Column(name, sa.Text, nullable=False) for name in ("project", "id", "type", "subject", "event")],
        sa.Column("made_at", sa.Double, nullable=False),
        sa.UniqueConstraint("project", "id", name="one_row_a_happening"),
    )
    op.create_table(
        "deliveries",
        sa.Column("event", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sink", sa.Text, primary_key=True),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("not_before", sa.Double, nullable=False, server_default="0"),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("changed_at", sa.Double, nullable=False),
    )
    where = sa.text("state = 'sending'")
    op.create_index("open_deliveries", "deliveries", ["project", "sink"], sqlite_where=where, postgresql_where=where)
    op.create_table(
        "outbox_cursors",
        sa.Column("project", sa.Text, primary_key=True),
        sa.Column("device", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    for table in ("outbox_cursors", "deliveries", "outbox"):
        op.drop_table(table)
