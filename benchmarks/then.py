"""The state of a moment of the past, measured: `python -m benchmarks.then` asks for that of an hour and of a week ago.

1,000 hosts with 20 containers each: as much of the minute's tier as BENCH_BUCKETS says (an hour) lies around the moment
a week ago, and as many rows as BENCH_ROWS says behind the present. Then `/api/diff` between the two moments.
BENCH_ENGINES=sqlite,mysql narrows it.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from sqlalchemy import insert, literal, select

from benchmarks import history, load
from benchmarks.engines import chosen, started
from benchmarks.machine import described
from database.past_containers import HOSTS
from database.rollups import begin
from model.history import METRICS, rollups, series
from model.models import containers, hosts

ROWS = int(os.environ.get("BENCH_ROWS", "2_000_000"))
BUCKETS = int(os.environ.get("BENCH_BUCKETS", "60"))
SECONDS = 3
AGO = {"an hour ago": timedelta(hours=1), "a week ago": timedelta(days=7)}
ASKED: tuple[tuple[str, dict[str, str], str], ...] = (
    ("/api/containers", {}, "< 150"),
    ("/api/containers", {"sort": "-cpu_percentage"}, ""),
    ("/api/hosts", {}, ""),
    ("/api/hosts", {"limit": "100"}, ""),
)


def main() -> None:
    """Measures every engine and prints the table."""
    with tempfile.TemporaryDirectory() as made:
        lines = [line for name in chosen() for line in _engine(name, Path(made))]
        about = described(Path(made))
    sys.stdout.write(f"{about}; {ROWS:,} rows, {BUCKETS} buckets of each series; {HOSTS} hosts a look.\n\n")
    sys.stdout.write("| engine | read | when | p50 ms | p99 ms | target p50 ms |\n|---|---|---|---|---|---|\n")
    sys.stdout.write("".join(f"| {' | '.join(line)} |\n" for line in lines))


def _engine(name: str, folder: Path) -> Iterator[tuple[str, ...]]:
    with started(name, folder) as store, history.served(store, folder / f"{name}-log", ROWS, workers=1) as past:
        now = datetime.now(UTC).replace(tzinfo=None)
        aggregate(past.url, now - AGO["a week ago"])
        for when, ago in AGO.items():
            for path, params, target in ASKED:
                asked = urlencode({**params, "at": f"{(now - ago).isoformat()}Z"})
                yield (
                    store.title,
                    f"`{path}` {urlencode(params)}",
                    when,
                    *_seen(f"{past.server.url}{path}?{asked}"),
                    target,
                )
        span = urlencode({"from": f"{(now - AGO['a week ago']).isoformat()}Z", "to": f"{now.isoformat()}Z"})
        yield store.title, "`/api/diff`", "a week", *_seen(f"{past.server.url}/api/diff?{span}"), ""


def _seen(url: str) -> tuple[str, str]:
    seen = load.run(url, SECONDS, connections=1)
    return (f"{seen.p50_ms:.1f}", f"{seen.p99_ms:.1f}") if seen.ok else ("failed", "")


def aggregate(url: str, at: datetime) -> None:
    """Gives every current container and every host the minute's buckets around a moment."""
    began, first = time.monotonic(), begin(at, 60) - timedelta(minutes=BUCKETS // 2)
    current = (containers.c.host_id == hosts.c.id) & (containers.c.sampled_at == hosts.c.sampled_at)
    named = (hosts.c.id, containers.c.engine_type, containers.c.container_name)
    columns = ["host_id", "engine_type", "container_name"]
    table = rollups[60]
    values = {f"{metric}_{part}": literal(12.5) for metric in METRICS for part in ("sum", "min", "max")}
    with history.connected(url) as connection:
        connection.execute(insert(series).from_select(columns, select(hosts.c.id, literal(""), literal(""))))
        connection.execute(insert(series).from_select(columns, select(*named).join_from(hosts, containers, current)))
        for place in range(BUCKETS):
            moment = literal(first + timedelta(minutes=place), table.c.begins_at.type)
            given = {"series_id": series.c.id, "begins_at": moment, "samples": literal(6), "status": literal("running")}
            row = given | values
            connection.execute(insert(table).from_select(list(row), select(*row.values()).order_by(series.c.id)))
            connection.commit()
    sys.stderr.write(f"buckets in {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
