"""The aggregates, measured: `python -m benchmarks.past` fills a day of 20 hosts with 20 containers at 10 s, as batches.

It prints how fast the job aggregates them, the CPU time of a host's minute, which on a busy machine says more, and the
bytes of a row of each table, from which `model/widths.py` has its figures; `benchmarks.scale` has the reads.
BENCH_HOURS and BENCH_HOSTS fill more or less, BENCH_ENGINES=sqlite,mysql narrows it.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from benchmarks import procs
from benchmarks.engines import Store, chosen, started
from benchmarks.machine import described
from database import batch, rollups, schema
from database.dialect import Dialect, Role, dialect_for
from database.host_ids import HostIds
from database.rows import Prepared, prepare
from model.history import METRICS
from model.models import metadata
from model.schemas import Report
from tests.service import settings_for
from utils.utils import SECOND, moment

HOURS = int(os.environ.get("BENCH_HOURS", "24"))
HOSTS, CONTAINERS, PERIOD_S = int(os.environ.get("BENCH_HOSTS", "20")), 20, 10
# Of the coarser tiers a run has too few rows; they are those of the finest.
WEIGHED = ("reports", "containers", "rollup_60")


def main() -> None:
    """Measures every engine and prints the table."""
    with tempfile.TemporaryDirectory() as made:
        lines = [line for name in chosen() for line in _engine(name, Path(made))]
        about = described(Path(made))
    sys.stdout.write(f"{about}; {HOSTS} hosts, {CONTAINERS} containers each, every {PERIOD_S} s for {HOURS} h.\n\n")
    sys.stdout.write("| engine | what | figure |\n|---|---|---|\n")
    sys.stdout.write("".join(f"| {' | '.join(line)} |\n" for line in lines))


def _engine(name: str, folder: Path) -> Iterator[tuple[str, str, str]]:
    with started(name, folder) as store, store.database() as url:
        cost = _filled(url, store)
        yield store.title, "rows aggregated", f"{cost.rows_s:,.0f} rows/s"
        yield (
            store.title,
            "CPU of a host's minute, ours and the server's",
            f"{cost.ours_ms:.1f} + {cost.server_ms:.1f} ms",
        )
        for table, width in _widths(url).items():
            yield store.title, f"a row of `{table}`", f"{width:.0f} bytes"


class Cost(NamedTuple):
    """What the job took: rows of containers a second, and CPU time for each minute of a host."""

    rows_s: float
    ours_ms: float
    server_ms: float


def _filled(url: str, store: Store) -> Cost:
    """Fills an empty database with the past and aggregates it."""
    settings = settings_for(url, Path())
    dialect = dialect_for(settings)
    engine = dialect.engine(Role("past", size=2, read_timeout_s=600))
    schema.prepare(engine, dialect, migrate=True, zone=None)
    with engine.connect() as connection:
        now = dialect.now(connection)
        _fill(connection, dialect, now)
        began = _clocks(store)
        while portions := rollups.due(connection, moment(now) + 2 * rollups.SETTLE).portions:
            for portion in portions:
                rollups.make(connection, portion)
                connection.commit()
        taken_s, ours_s, server_s = (end - start for start, end in zip(began, _clocks(store), strict=True))
        connection.rollback()
    engine.dispose()
    minutes = HOURS * 60 * HOSTS
    return Cost(
        HOURS * 3_600 // PERIOD_S * HOSTS * CONTAINERS / taken_s, *(1e3 * s / minutes for s in (ours_s, server_s))
    )


def _clocks(store: Store) -> tuple[float, float, float]:
    """Time, our CPU time and the database server's, in seconds."""
    return time.monotonic(), time.process_time(), procs.cpu_s(store.processes)


def _fill(connection: Connection, dialect: Dialect, now: int) -> None:
    ids, dice = HostIds(), random.Random(1)  # noqa: S311 - the same values in every run
    turns = HOURS * 3_600 // PERIOD_S
    for turn in range(turns):
        at = now - (turns - turn) * PERIOD_S * SECOND
        reports = [_report(number, at + number, dice, dialect) for number in range(HOSTS)]
        ids.give(connection, reports, at)
        batch.write(connection, dialect, reports, packet=1 << 20, now=at, skip_locked=False)
        connection.commit()


def _report(number: int, at: int, dice: random.Random, dialect: Dialect) -> Prepared:
    shown = [
        {"container_name": f"service-{each:02}", "status": "running", "cluster_name": "past", **_metrics(dice)}
        for each in range(CONTAINERS)
    ]
    report = Report.model_validate({"host": {"host_name": f"host-{number:03}", **_metrics(dice)}, "containers": shown})
    return prepare(report, key=None, received_at=at, now_local="2026-01-01 00:00:00", dialect=dialect)


def _metrics(dice: random.Random) -> dict[str, Any]:
    return {name: round(dice.uniform(0, 100), 2) for name in METRICS}


def _widths(url: str) -> dict[str, float]:
    """Bytes a row of each table that time fills, its indexes included; it is the end of the database."""
    dialect = dialect_for(settings_for(url, Path()))
    engine = dialect.engine(Role("widths", size=2, read_timeout_s=600))
    with engine.connect() as connection:
        names = [table.name for table in reversed(metadata.sorted_tables)]
        rows = {name: int(connection.scalar(text(f"SELECT COUNT(*) FROM {name}")) or 0) for name in names}  # noqa: S608
        sizes = dialect.used(connection, fresh=True).tables or dict(_dropped(connection, dialect, names))
        connection.rollback()
    engine.dispose()
    return {name: sizes[name] / rows[name] for name in WEIGHED}


def _dropped(connection: Connection, dialect: Dialect, names: list[str]) -> Iterator[tuple[str, int]]:
    """What becomes free as one table after the other is dropped, which SQLite takes back at the end."""
    before = dialect.used(connection, fresh=True).bytes
    for name in names:
        connection.execute(text(f"DROP TABLE {name}"))
        after = dialect.used(connection, fresh=True).bytes
        yield name, before - after
        before = after


if __name__ == "__main__":
    main()
