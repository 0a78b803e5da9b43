"""The schema's life: made, brought up to date or adopted at start, by one process at a time.

Alembic's version row is the one sign that a schema is complete: it is written last, after an adoption's last row.
"""

import threading
import time
from collections.abc import Callable
from datetime import tzinfo
from functools import lru_cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Select, column, select, table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from database import adoption, leases
from database.adoption_state import VERSION, NotReady, check
from database.dialect import Dialect
from database.faults import Fault, classify
from model import history, models  # noqa: F401 - the tables of the past belong to the metadata

__all__ = ["NotReady", "make_views", "prepare", "upgrade"]

MIGRATIONS = Path(__file__).parent / "migrations"
MAX_ROWS = 1_000_000
LEASE = "migration"
LEASE_TTL_S = 30.0
POLL_S = 0.2
# Alembic keeps the migration that runs in the module `alembic.context`, one for the whole process.
_alembic = threading.Lock()


def prepare(
    engine: Engine,
    dialect: Dialect,
    *,
    migrate: bool,
    zone: tzinfo | None,
    max_rows: int | None = MAX_ROWS,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Makes sure that the schema is there and not older than this process; a newer one is fine.

    Any number of processes may call it at once: one works, the others wait. The engine needs two connections.
    `progress` gets the rows adopted so far and in all. Raises NotReady when `migrate` is off and there is work to do,
    when an earlier server's database has more than `max_rows` rows, and for tables of our names that are not ours.
    """
    if _ready(engine):
        return
    check(engine, max_rows)
    if not migrate:
        raise NotReady("The database's tables are missing or out of date: run `python manage.py db upgrade`.")
    with engine.begin() as connection:
        connection.execute(CreateTable(models.leases, if_not_exists=True))
    while not _ready(engine):
        with leases.held(engine, dialect, LEASE, LEASE_TTL_S) as lease:
            if lease and not _ready(engine):
                _bring_up(adoption.Job(engine, dialect, lease, zone, progress), max_rows)
        if not lease:
            time.sleep(POLL_S)


def _ready(engine: Engine) -> bool:
    """One SELECT. A revision that this process does not know is a newer process's."""
    version: Select[str] = select(column("version_num")).select_from(table(VERSION))
    try:
        with engine.begin() as connection:
            found = connection.scalars(version).first()
    except DBAPIError as error:
        if classify(error) is Fault.SCHEMA:  # the table is not there yet
            return False
        raise
    head, older = _revisions()
    return found is not None and (found == head or found not in older)


@lru_cache(maxsize=1)
def _revisions() -> tuple[str | None, frozenset[str]]:
    """The newest revision of this process, and all others it knows."""
    scripts = ScriptDirectory(str(MIGRATIONS))
    head = scripts.get_current_head()
    return head, frozenset(script.revision for script in scripts.walk_revisions()) - {head}


def make_views(connection: Connection, revision: str) -> None:
    """Makes the views that a schema of this revision has, by the latest migration that made any."""
    for script in ScriptDirectory(str(MIGRATIONS)).iterate_revisions(revision, "base"):
        if make := getattr(script.module, "make_views", None):
            make(connection)
            return


def _bring_up(job: adoption.Job, max_rows: int | None) -> None:
    if check(job.engine, max_rows, alone=True):
        adoption.adopt(job, upgrade)
    else:
        upgrade(job.engine, VERSION)


def upgrade(engine: Engine, version_table: str) -> None:
    """Runs the migrations that are missing by the word of a version table."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with _alembic, engine.begin() as connection:
        config.attributes.update(connection=connection, version_table=version_table)
        command.upgrade(config, "head")
