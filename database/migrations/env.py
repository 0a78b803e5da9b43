"""What Alembic runs for every command: the connection and the version table are the caller's."""

from alembic import context

from model import history  # noqa: F401 - its tables belong to the metadata
from model.models import metadata

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=metadata,
    version_table=attributes["version_table"],
)
with context.begin_transaction():
    context.run_migrations()
