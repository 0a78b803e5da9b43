"""The intake, measured: `python -m benchmarks.intake` prints a table for the README.

wrk loads the limits of HTTP here, then on every engine the straightforward server and ours, one after the other; the
tables are compared with what was acknowledged. BENCH_ENGINES=sqlite,mysql and BENCH_SECONDS=8 narrow it.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import fleet, floor, measure, procs, table
from benchmarks.contestants import CONSTANTS, NAIVE, ours
from benchmarks.engines import Store, chosen, started
from benchmarks.machine import described
from benchmarks.measure import SECONDS
from benchmarks.table import Line


def main() -> None:
    """Measures every engine and prints the table; wrong tables are an error, missed targets are not."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        lines = [_told(line) for line in _lines(folder)]
        about = described(folder)
    sys.stdout.write(
        f"{about}; {SECONDS} s each ({NAIVE.title}: {SECONDS * NAIVE.times} s).\n\n{table.markdown(lines, NAIVE.title)}"
    )
    if wrong := [line.wrong for line in lines if line.wrong]:
        sys.exit("\n".join(wrong))


def _told(line: Line) -> Line:
    """Shows that it goes on."""
    sys.stderr.write(f"{line.engine}, {line.server}: {line.rate:,.0f} reports/s\n")
    return line


def _lines(folder: Path) -> Iterator[Line]:
    for constant in CONSTANTS:
        with constant.start(None, folder) as server:
            yield measure.run("no database", constant, server, fleet.write(folder / "bodies"))
    for name in chosen():
        with started(name, folder) as store:
            yield from _engine(store, folder)


def _engine(store: Store, folder: Path) -> Iterator[Line]:
    with store.database() as url:
        yield _floor(store, url)
    for contestant in (NAIVE, ours(1), *([] if store.name == "sqlite" else [ours(2)])):
        with store.database() as url, contestant.start(url, folder) as server:
            count, bodies = measure.counting(url, contestant), fleet.write(folder / "bodies")
            yield measure.run(store.title, contestant, server, bodies, database=store.processes, count=count)


def _floor(store: Store, url: str) -> Line:
    processes = store.processes
    before = procs.cpu_s(processes)
    done = floor.measure(url, SECONDS)
    used = done.cpu_s, procs.cpu_s(processes) - before if processes else None, None
    return Line(store.title, "INSERT without HTTP", done.reports / done.wall_s, done.reports, used)


if __name__ == "__main__":
    main()
