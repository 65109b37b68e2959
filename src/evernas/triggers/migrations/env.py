"""How Alembic runs our migrations: on the connection that the caller gives, in its transaction."""

from alembic import context

from evernas.triggers.database import VERSION_TABLE
from evernas.triggers.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
