"""A million rows, downloaded: `python -m benchmarks.downloads` prints seconds and the server's memory for each form.

10,000 hosts of 100 containers on SQLite (BENCH_ROWS makes it fewer or more), and every sample of one host over a month;
each form is asked of a server of its own.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from sqlalchemy import Connection

from benchmarks import procs
from benchmarks.contestants import ours
from benchmarks.engines import started
from benchmarks.machine import described
from database import schema
from database.dialect import Role, dialect_for
from model import models
from tests.programs import Program
from tests.service import settings_for

ROWS, EACH = int(os.environ.get("BENCH_ROWS", "1_000_000")), 100
PERIOD_S, MONTH_S = 10, 30 * 86_400
FORMS = ("text/csv", "application/x-ndjson")
PART = 10_000


class Asked(NamedTuple):
    """What is downloaded, in which form."""

    path: str
    form: str


class Got(NamedTuple):
    """What a download came to; memory in MiB."""

    rows: int
    mib: float
    seconds: float


def main() -> None:
    """Measures and prints the table."""
    with tempfile.TemporaryDirectory() as made:
        lines = list(_measured(Path(made)))
        about = described(Path(made))
    sys.stdout.write(f"{about}.\n\n| download | form | rows | MiB | seconds | server before: MiB | peak MiB |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines))


def _measured(folder: Path) -> Iterator[tuple[str, ...]]:
    since = (datetime.now(UTC) - timedelta(days=31)).strftime("%Y-%m-%d")
    paths = ("/api/containers", f"/api/history?host_id=1&step=raw&from={since}")
    with started("sqlite", folder) as store, store.database() as url:
        with filled(url) as connection:
            fleet(connection, ROWS // EACH, EACH)
            month(connection)
        for number, (path, form) in enumerate((path, form) for path in paths for form in FORMS):
            logs = folder / f"log-{number}"
            logs.mkdir()
            with ours(1).start(url, logs) as server:
                before = procs.peak_bytes(server.tree) / 2**20
                got = fetched(server, Asked(path, form))
                peak = procs.peak_bytes(server.tree) / 2**20
            figures = (f"{got.rows:,}", f"{got.mib:.0f}", f"{got.seconds:.0f}", f"{before:.0f}", f"{peak:.0f}")
            yield (f"`{path.partition('?')[0]}`", f"`{form}`", *figures)


def fetched(server: Program, asked: Asked) -> Got:
    """Downloads to the end, keeping nothing; a CSV's line of names is no row."""
    began, rows, size = time.monotonic(), -int(asked.form == "text/csv"), 0
    headers = {"Accept": asked.form}
    with httpx.stream("GET", server.url + asked.path, headers=headers, timeout=60) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            rows += piece.count(b"\n")
            size += len(piece)
    return Got(rows, size / 2**20, time.monotonic() - began)


@contextmanager
def filled(url: str) -> Iterator[Connection]:
    """A connection to a database with empty tables; what is written is committed at the end."""
    dialect = dialect_for(settings_for(url, Path()))
    engine = dialect.engine(Role("downloads", size=2, read_timeout_s=600))
    schema.prepare(engine, dialect, migrate=True, zone=None)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def fleet(connection: Connection, hosts: int, each: int) -> None:
    """So many hosts with so many current containers each."""
    at = datetime.now(UTC).replace(tzinfo=None)
    state = {"created_at": at, "sampled_at": at, "last_seen": at, "containers_count": each, "containers_running": each}
    rows = [{"id": number, "host_name": f"host-{number:06}", **state, **_metrics(number)} for number in _ids(hosts)]
    connection.execute(models.hosts.insert(), rows)
    for first in range(0, hosts, max(1, PART // each)):
        some = _ids(hosts)[first : first + max(1, PART // each)]
        connection.execute(
            models.containers.insert(), [_container(host, box, at) for host in some for box in _ids(each)]
        )


def month(connection: Connection) -> None:
    """A month of samples of the first host."""
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    for first in range(0, MONTH_S, PART * PERIOD_S):
        moments = [
            now - timedelta(seconds=age_s) for age_s in range(first, min(MONTH_S, first + PART * PERIOD_S), PERIOD_S)
        ]
        rows = [
            {"host_id": 1, "sampled_at": at, "received_at": at, "containers_count": 0, **_metrics(5)} for at in moments
        ]
        connection.execute(models.reports.insert(), rows)


def _ids(count: int) -> range:
    return range(1, count + 1)


def _container(host: int, box: int, at: datetime) -> dict[str, Any]:
    node = f"host-{host:06}"
    names = {"cluster_name": node, "node_name": node, "container_name": f"service-{box:04}", "status": "running"}
    return {"engine_type": "docker", **names, "host_id": host, "sampled_at": at, **_metrics(box)}


def _metrics(number: int) -> dict[str, float]:
    return {"cpu_percentage": number % 97 / 7, "memory_usage": number % 89 / 11, "memory_percentage": number % 83 / 3}


if __name__ == "__main__":
    main()
