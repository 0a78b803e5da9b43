"""The operators' reads, measured: `python -m benchmarks.reads` prints a table for the README.

1,000 hosts with 20 current containers each, in a database without a past and in one with 5 million rows of history
(BENCH_ROWS) behind them; of several rounds the best one counts. BENCH_ENGINES=sqlite,mysql narrows it.
"""

import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import history, load
from benchmarks.engines import chosen, started
from benchmarks.history import Served
from benchmarks.load import Seen
from benchmarks.machine import described

ROWS = int(os.environ.get("BENCH_ROWS", "5_000_000"))
SECONDS, ROUNDS = 2, 3
# What a server does after so much at once, flushing pages, is none of its readers' doing.
REST_S = 3
CONNECTIONS = (1, 8)
TARGETS = {"/api/hosts": "< 25", "/api/containers": "< 40"}
HEADS = (
    "engine",
    "read",
    "connections",
    "no history: p50 ms",
    "p99 ms",
    f"{ROWS:,} rows: p50 ms",
    "p99 ms",
    "p50 grows by",
    "target p50 ms",
)


class Read(NamedTuple):
    """A path, and by how many connections at once it is asked for."""

    path: str
    connections: int


READS = [Read(path, connections) for path in TARGETS for connections in CONNECTIONS]


def main() -> None:
    """Measures every engine and prints the table."""
    with tempfile.TemporaryDirectory() as made:
        rows = [row for name in chosen() for row in _engine(name, Path(made))]
        about = described(Path(made))
    lines = [HEADS, ("---",) * len(HEADS), *rows]
    sys.stdout.write(
        f"{about}; best of {ROUNDS} rounds of {SECONDS} s.\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
    )


def _engine(name: str, folder: Path) -> Iterator[tuple[str, ...]]:
    """Two databases on one server, asked in turn: what else the machine does meets both."""
    with (
        started(name, folder) as store,
        history.served(store, folder / f"{name}-young", 0, workers=1) as young,
        history.served(store, folder / f"{name}-old", ROWS, workers=1) as old,
    ):
        time.sleep(REST_S)
        for read in READS:
            rounds = [[_asked(one, read) for one in (young, old)] for _ in range(ROUNDS)]
            best = [min(seen, key=lambda one: one.p50_ms or math.inf) for seen in zip(*rounds, strict=True)]
            yield (store.title, *_row(read, *best))


def _asked(served: Served, read: Read) -> Seen:
    return load.run(served.server.url + read.path, SECONDS, connections=read.connections)


def _row(read: Read, young: Seen, old: Seen) -> tuple[str, ...]:
    times = [time for seen in (young, old) for time in _times(seen)]
    growth = f"{old.p50_ms / young.p50_ms - 1:+.0%}" if young.p50_ms and old.p50_ms else "-"
    target = TARGETS[read.path] if read.connections == 1 else ""
    return (f"`{read.path}`", str(read.connections), *times, growth, target)


def _times(seen: Seen) -> tuple[str, str]:
    """What was refused quickly, or did not come in time, is no figure."""
    failed = seen.refused or seen.broken or not seen.ok
    return ("failed", "failed") if failed else (f"{seen.p50_ms:.1f}", f"{seen.p99_ms:.1f}")


if __name__ == "__main__":
    main()
