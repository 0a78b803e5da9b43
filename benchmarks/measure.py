"""One measured run: warm up, load, and compare the tables with what was acknowledged."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from sqlalchemy import create_engine, text

from benchmarks import load, procs
from benchmarks.contestants import COUNT, Contestant
from benchmarks.table import Line
from database.dialect_sqlite import sqlite_module
from tests.programs import Program

SECONDS = int(os.environ.get("BENCH_SECONDS", "15"))
WARM_UP_S = min(3, SECONDS)
SETTLE_S = 0.5
# How many reports and containers are stored.
Count = Callable[[], tuple[int, int]]


def counting(url: str, contestant: Contestant) -> Count:
    """Counts what a server has stored, on a plain connection that neither waits for its writers nor makes them wait."""
    statement = text(f"SELECT {contestant.reports}, {COUNT.format('containers')}")
    module = {"module": sqlite_module()} if url.startswith("sqlite") else {}

    def count() -> tuple[int, int]:
        engine = create_engine(url, **module)
        with engine.connect() as connection:
            reports, containers = connection.execute(statement).one()
        engine.dispose()
        return int(reports), int(containers)

    return count


def settled(count: Count) -> tuple[int, int]:
    """The counts, once the requests that wrk cut off are done with."""
    counts = [count()]
    while len(counts) < 2 or counts[-1] != counts[-2]:  # noqa: PLR2004 - the last two
        time.sleep(SETTLE_S)
        counts.append(count())
    return counts[-1]


def run(
    engine: str,
    contestant: Contestant,
    server: Program,
    bodies: Path,
    *,
    database: Sequence[psutil.Process] = (),
    count: Count | None = None,
) -> Line:
    """Loads a server; `database` are the engine's processes."""
    target = f"{server.url}/api/resources"
    load.run(target, WARM_UP_S, bodies=bodies)
    before = settled(count) if count else None
    used = procs.cpu_s(server.tree), procs.cpu_s(database)
    seen = load.run(target, SECONDS * contestant.times, bodies=bodies)
    after = settled(count) if count else None
    return Line(
        engine,
        contestant.title,
        rate=seen.rate,
        reports=seen.ok,
        cpu_s=(
            procs.cpu_s(server.tree) - used[0],
            procs.cpu_s(database) - used[1] if database else None,
            seen.cpu_s,
        ),
        p50_ms=seen.p50_ms,
        p99_ms=seen.p99_ms,
        peak_bytes=procs.peak_bytes(server.tree),
        failed=seen.refused + seen.broken,
        stored=(after[0] - before[0], after[1] - before[1]) if before and after else None,
    )
