"""What a report costs on disk: fills fresh databases and divides their size by what is in them.

`python -m benchmarks.sizes` prints bytes per container row (its share of the report included) for SQLite, and for the
MySQL or MariaDB server that DATABASE_URL names, whose database must be empty.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from config.config import Settings, load
from database import batch, hosts, schema
from database.dialect import Dialect, Role, dialect_for
from database.rows import Prepared, prepare
from model.schemas import Report
from utils.utils import SECOND

HOSTS, REPORTS, CONTAINERS = 100, 5_000, 20
NAMES = [f"service-{number:02}-worker" for number in range(CONTAINERS)]


def main() -> None:
    """Measures each database there is."""
    with tempfile.TemporaryDirectory() as folder:
        measure({"DATABASE_URL": f"sqlite:///{folder}/sizes.db"})
    if os.environ.get("DATABASE_URL"):
        measure({"DATABASE_URL": os.environ["DATABASE_URL"]})


def measure(environ: dict[str, str]) -> None:
    """Fills one database and prints what a row takes."""
    settings = load(environ, Path("no-such-config.ini"))
    dialect = dialect_for(settings)
    engine = dialect.engine(Role("sizes", size=2, read_timeout_s=600))
    schema.prepare(engine, dialect, migrate=True, zone=None)
    fill(engine, dialect)
    rows = REPORTS * CONTAINERS
    total = size(engine, settings)
    with engine.connect() as connection:
        name = dialect.facts(connection).engine
    engine.dispose()
    sys.stdout.write(f"{name}: {total / rows:.0f} bytes per container row ({total >> 20} MiB for {rows} rows)\n")


def fill(engine: Engine, dialect: Dialect) -> None:
    """Writes reports ten seconds apart, as a fleet would."""
    begin = time.time_ns() // 1_000 - REPORTS // HOSTS * 10 * SECOND
    with engine.connect() as connection:
        hosts.create(connection, [f"host-{number:03}" for number in range(HOSTS)], begin)
        ids = hosts.find(connection, [f"host-{number:03}" for number in range(HOSTS)])
        connection.commit()
        for turn in range(REPORTS // HOSTS):
            at = begin + turn * 10 * SECOND
            reports = [_report(name, host_id, at, dialect) for name, host_id in ids.items()]
            batch.write(connection, dialect, reports, packet=1 << 20, now=at, skip_locked=False)
            connection.commit()


def _report(name: str, host_id: int, at: int, dialect: Dialect) -> Prepared:
    metrics: dict[str, Any] = {"cpu_percentage": 12.34, "memory_usage": 1.25, "memory_percentage": 3.91}
    containers = [{"container_name": each, "status": "running", **metrics} for each in NAMES]
    report = Report.model_validate({"host": {"host_name": name, **metrics}, "containers": containers})
    prepared = prepare(report, key=str(at), received_at=at, now_local="2026-01-01 00:00:00", dialect=dialect)
    prepared.host_id = host_id
    return prepared


def size(engine: Engine, settings: Settings) -> int:
    """The database's bytes: the file, or what the server says of its tables."""
    if settings.sqlite_path:
        with engine.connect() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
            return int(pages * connection.execute(text("PRAGMA page_size")).scalar_one())
    statement = "SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE()"
    with engine.connect() as connection:
        for table in ("hosts", "reports", "containers", "rollup_pending"):
            connection.execute(text(f"ANALYZE TABLE {table}"))
        return int(connection.execute(text(statement)).scalar_one())


if __name__ == "__main__":
    main()
