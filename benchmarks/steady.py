"""What the background jobs cost the intake: `python -m benchmarks.steady`, about twenty minutes an engine.

Each of two databases holds BENCH_ROWS container rows that are older than samples are kept. One server runs no job, the
other all of them: it aggregates each minute that ended, brings the ledger up to date and removes what is old. They are
loaded in turn for BENCH_SECONDS, over 256 connections for the rate, BENCH_ROUNDS times, and then once each at 40 % and
60 % of that (BENCH_PACED=0.4,0.6), for the p99 and for whether the jobs keep up.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import text

from benchmarks import fleet, history, load
from benchmarks.contestants import Contestant, ours, with_jobs
from benchmarks.engines import Store, chosen, started
from benchmarks.history_size import OPTIONS
from benchmarks.machine import described
from config.settings import Monitoring
from demo.load import Load
from tests.programs import Program, wait_for

SECONDS = int(os.environ.get("BENCH_SECONDS", "60"))
ROWS = int(os.environ.get("BENCH_ROWS", "6_000_000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2"))
KEPT_S = Monitoring().retention_raw_days * 86_400
PACED = [float(share) for share in os.environ.get("BENCH_PACED", "0.4,0.6").split(",")]
DRAINED_S, ONCE_S = 600, 5
# A server goes on flushing and purging what the jobs left behind.
REST_S = 60
# A minute that began so long ago and is still due is not kept up with.
BEHIND_S = 120
TARGET, TARGET_P99 = 0.7, 2
OFF, BUSY = with_jobs("off"), with_jobs("busy")
# The first minute under load is due 70 seconds after it began.
WARM_UP_S = {OFF: min(10, SECONDS), BUSY: min(70, 2 * SECONDS)}
RATES = ("rows in/s", "aggregated/s", "removed/s", "late minutes")
HEADS = ("engine", "load", "jobs off", "jobs at work", "ratio", *RATES)


class State(NamedTuple):
    """How far the jobs are at a moment: samples in aggregates, the oldest row's moment, and minutes due for long."""

    at: float
    aggregated: int
    oldest: float
    late: int


class Run(NamedTuple):
    """What one run reached: reports a second, p99, and how far the jobs were before and after."""

    rate: float
    p99_ms: float
    before: State
    after: State

    @property
    def seconds(self) -> float:
        """Between the two looks at the database."""
        return self.after.at - self.before.at

    @property
    def aggregated(self) -> float:
        """Samples a second that went into aggregates of the minute."""
        return (self.after.aggregated - self.before.aggregated) / self.seconds

    @property
    def removed(self) -> float:
        """Container rows a second, by how far the oldest that is left moved through the past."""
        return (self.after.oldest - self.before.oldest) / history.PERIOD_S * history.TURN / self.seconds


def main() -> None:
    """Measures every engine and prints the table."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        lines = [line for name in chosen() for line in _engine(name, folder)]
        about = described(folder)
    sys.stdout.write(f"{about}; {SECONDS} s each, the median of {ROUNDS} rounds.\n\n")
    sys.stdout.write("".join(f"| {' | '.join(line)} |\n" for line in (HEADS, ("---",) * len(HEADS), *lines)))


def _engine(name: str, folder: Path) -> Iterator[tuple[str, ...]]:
    options = OPTIONS.get(name, "").split()
    with (
        started(name, folder, *options) as store,
        old(store, folder) as off,
        old(store, folder) as busy,
    ):
        _drain(busy, folder)
        rounds = [(measured(OFF, off, folder), measured(BUSY, busy, folder)) for _ in range(ROUNDS)]
        rate = statistics.median(one.rate for one, _ in rounds)
        yield store.title, "256 connections", *_rates(rounds)
        for share in PACED:
            _drain(busy, folder)
            paced = [measured(one, url, folder, share * rate) for one, url in ((OFF, off), (BUSY, busy))]
            yield store.title, f"{share:.0%} of that", *_latencies(*paced)


def _rates(rounds: list[tuple[Run, Run]]) -> tuple[str, ...]:
    """The medians of both, and of the ratio within a round: what else the machine does meets both of it."""
    off, busy = (statistics.median(run.rate for run in runs) for runs in zip(*rounds, strict=True))
    ratio = statistics.median(two.rate / one.rate for one, two in rounds)
    shown = f"{off:,.0f} reports/s", f"{busy:,.0f} reports/s", f"{ratio:.0%} (target ≥ {TARGET:.0%})"
    return *shown, *_pace(rounds[-1][1])


def _latencies(off: Run, busy: Run) -> tuple[str, ...]:
    ratio = f"{busy.p99_ms / off.p99_ms:.1f} (target < {TARGET_P99})"
    return f"p99 {off.p99_ms:,.0f} ms", f"p99 {busy.p99_ms:,.0f} ms", ratio, *_pace(busy)


def _pace(run: Run) -> tuple[str, ...]:
    return f"{run.rate * fleet.CONTAINERS:,.0f}", f"{run.aggregated:,.0f}", f"{run.removed:,.0f}", f"{run.after.late:,}"


@contextmanager
def old(store: Store, folder: Path) -> Iterator[str]:
    """A database of old rows, no aggregate of which is due, and of the hosts that will report."""
    with store.database() as url:
        with OFF.start(url, folder) as server:
            history.report(server.url)
            history.fill(url, ROWS, since_s=KEPT_S)
            history.forget_newest(url)
            history.report(server.url)
            _once(server)
        sys.stderr.write(f"{store.title}: {ROWS:,} old rows are there\n")
        yield url


def measured(contestant: Contestant, url: str, folder: Path, rate: float | None = None) -> Run:
    """At most so many reports a second, or as many as the server takes."""
    with contestant.start(url, folder) as server:
        target, bodies = f"{server.url}/api/resources", fleet.write(folder / "bodies")
        load.run(target, WARM_UP_S[contestant], bodies=bodies, rate=rate)
        before = _state(url)
        seen = load.run(target, SECONDS, bodies=bodies, rate=rate)
        if seen.refused or seen.broken:
            raise RuntimeError(f"reports were refused: {seen}")
        return _told(contestant, Run(seen.rate, seen.p99_ms, before, _state(url)))


def _once(server: Program) -> None:
    """Every host reports once."""
    driver = Load(server.url, fleet.HOSTS, fleet.CONTAINERS, ONCE_S)
    asyncio.run(driver.run(ONCE_S, lambda _line: None))


def _drain(url: str, folder: Path) -> None:
    """Lets the shipped server aggregate what is due and bring the ledger up to the last reports, then rests."""
    with ours(1).start(url, folder):
        wait_for(lambda: not _scalar(url, "SELECT COUNT(*) FROM rollup_pending"), every_s=1, within_s=DRAINED_S)
    time.sleep(REST_S)


def _told(contestant: Contestant, run: Run) -> Run:
    sys.stderr.write(f"{contestant.title}: {run.rate:,.0f} reports/s, p99 {run.p99_ms:,.0f} ms, {_pace(run)}\n")
    return run


def _state(url: str) -> State:
    at = time.time()
    aggregated = _scalar(url, "SELECT COALESCE(SUM(samples), 0) FROM rollup_60")
    oldest = _scalar(url, f"SELECT {_SECONDS[_kind(url)]} FROM containers ORDER BY id LIMIT 1")  # noqa: S608 - our own
    late = _scalar(url, f"SELECT COUNT(*) FROM rollup_pending WHERE minute < {_AGO[_kind(url)]}")  # noqa: S608 - our own
    if oldest > at - KEPT_S:
        sys.stderr.write("no old row is left: BENCH_ROWS has to be more\n")
    return State(at, int(aggregated), min(oldest, at - KEPT_S), int(late))


_SECONDS = {"sqlite": "strftime('%s', sampled_at) + 0", "mysql": "TIMESTAMPDIFF(SECOND, '1970-01-01', sampled_at)"}
_AGO = {
    "sqlite": f"strftime('%Y-%m-%d %H:%M:%S', 'now', '-{BEHIND_S} seconds')",
    "mysql": f"UTC_TIMESTAMP() - INTERVAL {BEHIND_S} SECOND",
}


def _kind(url: str) -> str:
    return "sqlite" if url.startswith("sqlite") else "mysql"


def _scalar(url: str, statement: str) -> float:
    with history.connected(url, writes=False) as connection:
        return float(connection.execute(text(statement)).scalar_one())


if __name__ == "__main__":
    main()
