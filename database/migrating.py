"""The work on a schema that is missing or behind: an adoption, and Alembic's migrations. Loaded when there is any."""

import threading

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from database.adoption import Job, adopt
from database.adoption_state import VERSION, check
from database.schema import VERSIONS

__all__ = ["Job", "bring_up", "make_views", "upgrade"]

SCRIPTS = str(VERSIONS.parent)
# Alembic keeps the migration that runs in the module `alembic.context`, one for the whole process.
_alembic = threading.Lock()


def bring_up(job: Job, max_rows: int | None) -> None:
    """Adopts an earlier server's database or migrates ours. Raises NotReady for one that may not be touched."""
    if check(job.engine, max_rows, alone=True):
        adopt(job, upgrade)
    else:
        upgrade(job.engine, VERSION)


def upgrade(engine: Engine, version_table: str) -> None:
    """Runs the migrations that are missing by the word of a version table."""
    config = Config()
    config.set_main_option("script_location", SCRIPTS.replace("%", "%%"))
    with _alembic, engine.begin() as connection:
        config.attributes.update(connection=connection, version_table=version_table)
        command.upgrade(config, "head")


def make_views(connection: Connection, revision: str) -> None:
    """Makes the views that a schema of this revision has, by the latest migration that made any."""
    for script in ScriptDirectory(SCRIPTS).iterate_revisions(revision, "base"):
        if make := getattr(script.module, "make_views", None):
            make(connection)
            return
