"""Whether the intake slows down with what is stored: `python -m benchmarks.history_size`, about ten minutes.

Two databases on one MySQL server, one without a past and one with 20 million container rows (BENCH_ROWS) behind it, are
loaded in turn by BENCH_SECONDS each; BENCH_ENGINES=mariadb takes another server. It has the memory and the redo log
that `deploy/compose.yaml` gives it; BENCH_OPTIONS= takes the 128 MiB and 100 MiB that MySQL has by itself.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import fleet, history, load
from benchmarks.engines import started
from benchmarks.history import Served
from benchmarks.machine import described
from benchmarks.measure import SECONDS, WARM_UP_S

ROWS = int(os.environ.get("BENCH_ROWS", "20_000_000"))
ENGINE = os.environ.get("BENCH_ENGINES", "mysql")
OPTIONS = {
    "mysql": "--innodb-buffer-pool-size=1G --innodb-redo-log-capacity=1G",
    "mariadb": "--innodb-buffer-pool-size=1G --innodb-log-file-size=1G",
}
# An even number: each database is as often the first of a round.
ROUNDS, REST_S = 10, 2
# A server goes on flushing what filling it left behind; that is no part of having a past.
FLUSHED_S = 60
TARGET = 0.95


def main() -> None:
    """Prints what both reached in each round, and the median of their ratios."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        workers = 1 if ENGINE == "sqlite" else 2
        with (
            started(ENGINE, folder, *os.environ.get("BENCH_OPTIONS", OPTIONS.get(ENGINE, "")).split()) as store,
            history.served(store, folder / "young", 0, workers=workers) as young,
            history.served(store, folder / "old", ROWS, workers=workers) as old,
        ):
            time.sleep(FLUSHED_S)
            bodies = fleet.write(folder / "bodies")
            rates = [_round(number, young, old, bodies) for number in range(ROUNDS)]
            title = store.title
        sys.stdout.write(f"{title}; {described(folder)}; {SECONDS} s each.\n\n{_table(rates)}")


def _round(number: int, young: Served, old: Served, bodies: Path) -> tuple[float, float]:
    """What both reached, in reports a second; the one that went last in the last round goes first in this one."""
    history.forget(young.url)
    order = (young, old) if number % 2 == 0 else (old, young)
    rates = {one.url: _rate(one, bodies) for one in order}
    return rates[young.url], rates[old.url]


def _rate(served: Served, bodies: Path) -> float:
    target = f"{served.server.url}/api/resources"
    load.run(target, WARM_UP_S, bodies=bodies)
    seen = load.run(target, SECONDS, bodies=bodies)
    time.sleep(REST_S)  # what was cut off shall not run into the other's time
    if seen.refused or seen.broken:
        raise RuntimeError(f"reports were refused: {seen}")
    return seen.rate


def _table(rates: list[tuple[float, float]]) -> str:
    lines: list[tuple[str, ...]] = [("round", "no history", f"{ROWS:,} rows", "ratio"), ("---",) * 4]
    rounds = [(young, old, old / young) for young, old in rates]
    lines += [_line(str(number), *one) for number, one in enumerate(rounds, 1)]
    # The median of the ratios: what else the machine does comes and goes, and meets both of a round.
    lines.append(_line(f"median (target ≥ {TARGET:.0%})", *map(statistics.median, zip(*rounds, strict=True))))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _line(name: str, young: float, old: float, ratio: float) -> tuple[str, ...]:
    return name, f"{young:,.0f}", f"{old:,.0f}", f"{ratio:.1%}"


if __name__ == "__main__":
    main()
