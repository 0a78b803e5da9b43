"""What sharing the interpreter finely brings on SQLite: `python -m benchmarks.interpreter` loads ours in three ways.

As shipped; with Python's own switch interval; and with `json_each`, as on libraries before 3.51. The ways take turns,
so that what else the machine does meets all of them.
"""

import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmarks import fleet, load
from benchmarks.engines import Store, started
from benchmarks.machine import described
from tests.programs import program

ROUNDS, WARM_UP_S, SECONDS = 3, 2, 5
SERVE = (
    "import main; from routers import serving; from database import dialect_sqlite_json as json; {}; "
    "serving.serve(main.app, main.settings_in_force)"
)
# Settings are read at import, the rest when the server starts: what is changed in between holds for the whole run.
WAYS = {
    "as shipped": "pass",
    "Python's own switch interval, 5 ms": "main.SWITCH_INTERVAL_S = 0.005",
    "`json_each`": "json.each_of = lambda version: 'json_each'",
}


def main() -> None:
    """Prints the medians and their ratios."""
    rates: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as made, started("sqlite", Path(made)) as store:
        bodies = fleet.write(Path(made) / "bodies")
        for _ in range(ROUNDS):
            for way, change in WAYS.items():
                rates[way].append(_rate(store, Path(made), change, bodies))
        about = described(Path(made))
    medians = {way: statistics.median(seen) for way, seen in rates.items()}
    shipped = medians["as shipped"]
    rows = "".join(f"| {way} | {rate:,.0f} | {rate / shipped:.2f} |\n" for way, rate in medians.items())
    sys.stdout.write(f"{about}; median of {ROUNDS}.\n\n| way | reports/s | ratio |\n|---|---|---|\n{rows}")


def _rate(store: Store, folder: Path, change: str, bodies: Path) -> float:
    with store.database() as url, program(["-c", SERVE.format(change)], url, folder) as server:
        target = f"{server.ready().url}/api/resources"
        load.run(target, WARM_UP_S, bodies=bodies)
        return load.run(target, SECONDS, bodies=bodies).rate


if __name__ == "__main__":
    main()
