"""How Alembic reaches the store: by the connection it is handed, inside the caller's transaction."""

from alembic import context

from billing.tables import metadata
from metering.tables import metadata as metering_metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=[metadata, metering_metadata],
    transactional_ddl=False,
    render_as_batch=False,
)
context.run_migrations()
