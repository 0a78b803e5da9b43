"""What something costs the intake: a row of figures for each engine, each measured in rounds of one run."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import fleet
from benchmarks.engines import Store, chosen, started
from benchmarks.machine import described
from benchmarks.measure import SECONDS

# An even number: each of two rivals is as often the first of a round.
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "6"))
Row = tuple[str, ...]


def told(heads: Row, measured: Callable[[Store, Path, Path], Row]) -> None:
    """Prints the row that is measured on each engine; given are its store, a folder and a file of reports."""
    rows: list[Row] = [heads, ("---",) * len(heads)]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        bodies = fleet.write(folder / "bodies")
        for name in chosen():
            with started(name, folder) as store:
                rows.append(measured(store, folder, bodies))
        about = described(folder)
    sys.stdout.write(f"{about}; reports/s, {ROUNDS} times {SECONDS} s each.\n\n")
    sys.stdout.write("".join(f"| {' | '.join(row)} |\n" for row in rows))
