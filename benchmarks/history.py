"""A past for the database behind a running server: the fleet reports through it, and SQL copies that back in time."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
from sqlalchemy import Connection, Table, text

from benchmarks import fleet
from benchmarks.contestants import ours
from benchmarks.engines import Store
from database.dialect import Role, dialect_for
from model import models
from tests.programs import Program
from tests.service import settings_for

PART = 200
PERIOD_S = 60
# Rows of one turn of the whole fleet.
TURN = fleet.HOSTS * fleet.CONTAINERS
MOVED = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', {column}, '-' || :age_s || ' seconds')",
    "mysql": "{column} - INTERVAL :age_s SECOND",
}


class Served(NamedTuple):
    """A running server of ours, and its database's URL."""

    server: Program
    url: str


@contextmanager
def served(store: Store, folder: Path, rows: int, *, workers: int) -> Iterator[Served]:
    """A server in whose database the fleet has reported, lastly now, with so many rows of history behind that."""
    folder.mkdir()
    with store.database() as url, ours(workers).start(url, folder) as server:
        report(server.url)
        began = time.monotonic()
        fill(url, rows)
        sys.stderr.write(f"{store.title}: {rows:,} rows of history in {time.monotonic() - began:.0f} s\n")
        report(server.url)
        yield Served(server, url)


def report(url: str) -> None:
    """Lets every host report once."""
    reports = fleet.reports()[: fleet.HOSTS]
    with httpx.Client(base_url=url, timeout=60) as client:
        for start in range(0, fleet.HOSTS, PART):
            answer = client.post("/api/resources/batch", json={"reports": reports[start : start + PART]})
            answer.raise_for_status()


def fill(url: str, rows: int, since_s: int = 0) -> None:
    """Gives every host's newest report a past of so many container rows in all, up to so long ago, the oldest first.

    The fleet has to report once more afterwards: current rows are the last ones of a real database.
    """
    with connected(url) as connection:
        for table in (models.reports, models.containers):
            current = f"FROM {table} t JOIN hosts h ON h.id = t.host_id AND h.sampled_at = t.sampled_at"
            connection.execute(text(f"CREATE TEMPORARY TABLE newest_{table} AS SELECT t.* {current}"))
        for turn in range(rows // TURN, 0, -1):
            for table in (models.reports, models.containers):
                connection.execute(text(_copy(table, url)), {"age_s": since_s + turn * PERIOD_S})
            connection.commit()


def forget(url: str) -> None:
    """Empties the tables that grow; the hosts stay."""
    verb = "DELETE FROM" if url.startswith("sqlite") else "TRUNCATE TABLE"
    with connected(url) as connection:
        for table in (models.containers, models.reports):
            connection.execute(text(f"{verb} {table}"))
        connection.commit()


def forget_newest(url: str) -> None:
    """Removes every host's newest report, from which its past was made: the past comes first in the tables then."""
    with connected(url) as connection:
        first = connection.scalar(text("SELECT MIN(sampled_at) FROM hosts"))
        for table in (models.containers, models.reports):
            connection.execute(text(f"DELETE FROM {table} WHERE sampled_at >= :first"), {"first": first})  # noqa: S608 - ours
        connection.commit()


def _copy(table: Table, url: str) -> str:
    moved = MOVED["sqlite" if url.startswith("sqlite") else "mysql"]
    columns = [column.name for column in table.columns if column.name != "id"]
    moments = ("sampled_at", "received_at")
    values = [moved.format(column=name) if name in moments else name for name in columns]
    return f"INSERT INTO {table} ({','.join(columns)}) SELECT {','.join(values)} FROM newest_{table}"  # noqa: S608 - our own columns


@contextmanager
def connected(url: str, *, writes: bool = True) -> Iterator[Connection]:
    """One connection to the database, beside the server."""
    engine = dialect_for(settings_for(url, Path())).engine(Role("history", read_timeout_s=600, writes=writes))
    with engine.connect() as connection:
        yield connection
    engine.dispose()
