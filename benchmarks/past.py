"""The past, measured: `python -m benchmarks.past` fills a day of 20 hosts with 20 containers at 10 s and aggregates it.

It prints how fast the job aggregates, what a sample costs on disk as a row and in the aggregates, how long
`/api/history` takes for an hour and a day of a container, of its host, and of sums over containers, and the bytes of a
row of each table, from which `model/widths.py` has its figures. BENCH_HOURS and BENCH_HOSTS fill more or less,
BENCH_ENGINES=sqlite,mysql narrows it.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from sqlalchemy import Connection, Engine, text

from benchmarks import load
from benchmarks.contestants import ours
from benchmarks.engines import chosen, started
from benchmarks.machine import described
from database import batch, rollups, schema
from database.dialect import Dialect, Role, dialect_for
from database.host_ids import HostIds
from database.rows import Prepared, prepare
from model.history import METRICS, TIERS
from model.models import metadata
from model.schemas import Report
from tests.service import settings_for
from utils.utils import SECOND, moment

HOURS = int(os.environ.get("BENCH_HOURS", "24"))
HOSTS, CONTAINERS, PERIOD_S = int(os.environ.get("BENCH_HOSTS", "20")), 20, 10
SECONDS = 3
CLUSTER = "past"
# Days for which each tier is kept by default, and days of a month: what a month of samples leaves in it.
KEPT_DAYS, MONTH_DAYS = (14, 90, 730), 30
SPANS = {"1 h": 3_600, "1 d": 86_400}
# Of the coarser tiers a run has too few rows; they are those of the finest.
WEIGHED = ("reports", "containers", "rollup_60")
TARGETS_MS = {"container": "< 100", "host": "< 60"}


class Cost(NamedTuple):
    """What was measured of one database, besides the reads."""

    rows_s: float
    raw: float
    aggregated: float


def main() -> None:
    """Measures every engine and prints the table."""
    with tempfile.TemporaryDirectory() as made:
        lines = [line for name in chosen() for line in _engine(name, Path(made))]
        about = described(Path(made))
    sys.stdout.write(f"{about}; {HOSTS} hosts, {CONTAINERS} containers each, every {PERIOD_S} s for {HOURS} h.\n\n")
    sys.stdout.write("| engine | what | figure | target |\n|---|---|---|---|\n")
    sys.stdout.write("".join(f"| {' | '.join(line)} |\n" for line in lines))


def _engine(name: str, folder: Path) -> Iterator[tuple[str, str, str, str]]:
    with started(name, folder) as store, store.database() as url:
        cost = _filled(url)
        yield store.title, "rows aggregated", f"{cost.rows_s:,.0f} rows/s", ""
        yield store.title, "a metric of a sample, as a row", f"{cost.raw:.1f} bytes", ""
        yield store.title, "a month of them, aggregated", f"{cost.aggregated:.1f} bytes", "≤ 5"
        with ours(1).start(url, _made(folder / f"{name}-log")) as server:
            for whose, params in (("container", {"container_name": "service-00"}), ("host", {})):
                for span, seconds in SPANS.items():
                    seen = load.run(f"{server.url}/api/history?{_asked(params, seconds)}", SECONDS, connections=1)
                    figure = f"p50 {seen.p50_ms:.1f} ms, p99 {seen.p99_ms:.1f} ms" if seen.ok else "failed"
                    yield store.title, f"`/api/history`, a {whose}, {span}", figure, TARGETS_MS[whose]
            for line in _sums(server.url):
                yield store.title, *line
        for table, width in _widths(url).items():
            yield store.title, f"a row of `{table}`", f"{width:.0f} bytes", ""


def _sums(url: str) -> Iterator[tuple[str, str, str]]:
    """The sum over the containers of a host, and over those of all hosts, which are one cluster."""
    for whose, params in (("host's", {"host_id": "1", "of": "containers"}), ("cluster's", {"cluster_name": CLUSTER})):
        for span, seconds in SPANS.items():
            seen = load.run(f"{url}/api/history?{urlencode({**params, **_span(seconds)})}", SECONDS, connections=1)
            figure = f"p50 {seen.p50_ms:.1f} ms, p99 {seen.p99_ms:.1f} ms" if seen.ok else "failed"
            yield f"`/api/history`, the sum over a {whose} containers, {span}", figure, ""


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _asked(params: dict[str, str], seconds: int) -> str:
    return urlencode({"host_id": 1, **params, **_span(seconds)})


def _span(seconds: int) -> dict[str, str]:
    """The last so many seconds."""
    now = time.time_ns() // 1_000
    return {"from": f"{moment(now - seconds * SECOND).isoformat()}Z", "to": f"{moment(now).isoformat()}Z"}


def _filled(url: str) -> Cost:
    """Fills an empty database with the past, aggregates it, and weighs both."""
    settings = settings_for(url, Path())
    dialect = dialect_for(settings)
    engine = dialect.engine(Role("past", size=2, read_timeout_s=600))
    schema.prepare(engine, dialect, migrate=True, zone=None)
    with engine.connect() as connection:
        now = dialect.now(connection)
        _fill(connection, dialect, now)
        rows = HOURS * 3_600 // PERIOD_S * HOSTS * CONTAINERS
        before = _bytes(engine)
        began = time.monotonic()
        while rollups.step(connection, moment(now) + 2 * rollups.SETTLE):
            connection.commit()
        rows_s = rows / (time.monotonic() - began)
        connection.rollback()
    cost = Cost(rows_s, before / rows / len(METRICS), _month(engine, before))
    engine.dispose()
    return cost


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
        {"container_name": f"service-{each:02}", "status": "running", "cluster_name": CLUSTER, **_metrics(dice)}
        for each in range(CONTAINERS)
    ]
    report = Report.model_validate({"host": {"host_name": f"host-{number:03}", **_metrics(dice)}, "containers": shown})
    return prepare(report, key=None, received_at=at, now_local="2026-01-01 00:00:00", dialect=dialect)


def _metrics(dice: random.Random) -> dict[str, Any]:
    return {name: round(dice.uniform(0, 100), 2) for name in METRICS}


def _month(engine: Engine, before: int) -> float:
    """Bytes a metric of a sample, if a month of samples has left in each tier what is kept of it by default.

    A row of each tier is the same: what the database has grown by since, divided by them all.
    """
    tables = " + ".join(f"(SELECT COUNT(*) FROM rollup_{seconds})" for seconds in TIERS)  # noqa: S608 - our own names
    with engine.connect() as connection:
        made: int = connection.execute(text(f"SELECT {tables}")).scalar_one()
    kept = sum(min(days, MONTH_DAYS) * 86_400 / seconds for seconds, days in zip(TIERS, KEPT_DAYS, strict=True))
    samples = MONTH_DAYS * 86_400 / PERIOD_S
    return (_bytes(engine) - before) / made * kept / samples / len(METRICS)


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


def _bytes(engine: Engine) -> int:
    """What the database takes, by the engine's own words."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            pages: int = connection.execute(text("PRAGMA page_count")).scalar_one()
            return pages * int(connection.execute(text("PRAGMA page_size")).scalar_one())
        for table in ("reports", "containers", *(f"rollup_{seconds}" for seconds in TIERS)):
            connection.execute(text(f"ANALYZE TABLE {table}"))
        statement = (
            "SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE()"
        )
        return int(connection.execute(text(statement)).scalar_one())


if __name__ == "__main__":
    main()
