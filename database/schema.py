"""The schema's life: made, brought up to date or adopted at start, by one process at a time.

Alembic's version row is the one sign that a schema is complete: it is written last, after an adoption's last row.
Alembic itself is loaded only by a process that has work to do: it takes memory and time that no other needs.
"""

import time
from collections.abc import Callable
from datetime import tzinfo
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Engine, Select, column, select, table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from database import leases
from database.adoption_state import VERSION, NotReady, check
from database.dialect import Dialect
from database.faults import Fault, classify
from model import history, models  # noqa: F401 - the tables of the past belong to the metadata

__all__ = ["NotReady", "prepare"]

VERSIONS = Path(__file__).parent / "migrations" / "versions"
MAX_ROWS = 1_000_000
LEASE = "migration"
LEASE_TTL_S = 30.0
POLL_S = 0.2


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
                from database import migrating  # noqa: PLC0415 - it loads Alembic

                migrating.bring_up(migrating.Job(engine, dialect, lease, zone, progress), max_rows)
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
    *older, head = revisions()
    return found is not None and (found == head or found not in older)


@lru_cache(maxsize=1)
def revisions() -> tuple[str, ...]:
    """All that this process knows, the newest last, by the names of their files: `0001_first_tables.py`."""
    return tuple(sorted(path.name.partition("_")[0] for path in VERSIONS.glob("[0-9]*_*.py")))
