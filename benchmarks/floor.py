"""How fast the database alone is here: multi-row INSERT of the same rows in batches, without HTTP.

Only statements and COMMIT are timed: their text, or on SQLite the tuples, is built before. What else the service
writes, hosts and pending minutes, is left out.
"""

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert

from benchmarks import fleet
from database import schema
from database.dialect import Role, dialect_for
from model import models
from tests.service import settings_for

BATCH = 100
HOST = ("cpu_percentage", "cpu_cores", "cpu_threads", "memory_usage", "memory_percentage", "get_datetime")
METRICS = ("cpu_percentage", "memory_usage", "memory_percentage", "get_datetime")
CONTAINER = ("engine_type", "cluster_name", "node_name", "container_name", "status", *METRICS)
TABLES = {
    f"reports (host_id,containers_count,{','.join(HOST)},received_at,sampled_at)": 2 + len(HOST) + 2,
    f"containers (host_id,{','.join(CONTAINER)},sampled_at)": 1 + len(CONTAINER) + 1,
}
Row = tuple[Any, ...]
Statement = tuple[str, list[Row] | None]


class Floor(NamedTuple):
    """How many reports were written, in how much time, and what that cost this process."""

    reports: int
    wall_s: float
    cpu_s: float


def measure(url: str, seconds: float) -> Floor:
    """Fills an empty database for so many seconds of the database's work."""
    dialect = dialect_for(settings_for(url, Path()))
    engine = dialect.engine(Role("floor", size=2, read_timeout_s=600))
    schema.prepare(engine, dialect, migrate=True, zone=None)
    numbers = range(fleet.HOSTS)
    with engine.connect() as connection:
        hosts = [{"id": n + 1, "host_name": fleet.host_name(n), "created_at": datetime.now(UTC)} for n in numbers]
        connection.execute(insert(models.hosts), hosts)
        connection.commit()
        floor = _fill(connection, _batches(embedded=url.startswith("sqlite")), seconds)
    engine.dispose()
    return floor


def _fill(connection: Connection, batches: Iterator[list[Statement]], seconds: float) -> Floor:
    wall_s = cpu_s = 0.0
    done = 0
    while wall_s < seconds:
        statements = next(batches)
        began, used = time.perf_counter(), time.thread_time()
        for statement, rows in statements:
            connection.exec_driver_sql(statement, rows, execution_options={"no_parameters": rows is None})
        connection.commit()
        wall_s, cpu_s = wall_s + time.perf_counter() - began, cpu_s + time.thread_time() - used
        done += BATCH
    return Floor(done, wall_s, cpu_s)


def _batches(*, embedded: bool) -> Iterator[list[Statement]]:
    """The fleet's reports for ever, each batch at a moment of its own."""
    reports = fleet.reports()
    rows = [_rows(n % fleet.HOSTS + 1, report) for n, report in enumerate(reports)]
    shapes = list(zip(TABLES, TABLES.values(), strict=True))
    for start in itertools.cycle(range(0, len(rows), BATCH)):
        now = str(datetime.now(UTC).replace(tzinfo=None))
        batch = list(zip(*rows[start : start + BATCH], strict=True))
        moved = [[(*row, now) for part in parts for row in part] for parts in batch]
        yield [_statement(*shape, given, embedded=embedded) for shape, given in zip(shapes, moved, strict=True)]


def _rows(host_id: int, report: dict[str, Any]) -> tuple[list[Row], list[Row]]:
    """A report's rows of both tables without their last column, the moment."""
    host, containers = report["host"], report["containers"]
    one = (host_id, len(containers), *(host[name] for name in HOST), "2026-01-23 03:02:59.000000")
    return [one], [(host_id, *(container[name] for name in CONTAINER)) for container in containers]


def _statement(table: str, width: int, rows: list[Row], *, embedded: bool) -> Statement:
    if embedded:
        return f"INSERT INTO {table} VALUES ({','.join('?' * width)})", rows  # noqa: S608 - constants
    return f"INSERT INTO {table} VALUES {','.join(map(str, rows))}", None  # noqa: S608 - our own rows
