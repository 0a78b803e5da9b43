"""What asking for tokens costs the intake: `python -m benchmarks.tokens`.

Two servers on one engine, `[security] mode = off` and `enforce`, each on a database of its own, are loaded in turn by
BENCH_SECONDS each, BENCH_ROUNDS times; in `enforce` every report shows one token, good for all hosts of the load.
BENCH_ENGINES=sqlite,mysql narrows it.
"""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import load
from benchmarks.costs import ROUNDS, told
from benchmarks.engines import Store
from benchmarks.measure import SECONDS, WARM_UP_S
from tests.console import manage
from tests.programs import MAIN, program

TARGET = 0.92


class Rival(NamedTuple):
    """Where a server takes reports, and the token that they show."""

    url: str
    token: str


def main() -> None:
    """Prints the rates of each engine, and the median of their ratios."""
    told(("engine", "off", "enforce", f"ratio (target ≥ {TARGET:.0%})"), _measured)


def _measured(store: Store, folder: Path, bodies: Path) -> tuple[str, ...]:
    with _served(store, folder, "off") as off, _served(store, folder, "enforce") as enforce:
        rounds = [_round(number, off, enforce, bodies) for number in range(ROUNDS)]
    rates = [statistics.median(column) for column in zip(*rounds, strict=True)]
    # The median of the ratios: what else the machine does comes and goes, and meets both of a round.
    ratio = statistics.median(enforced / free for free, enforced in rounds)
    return store.title, *(f"{rate:,.0f}" for rate in rates), f"{ratio:.1%}"


@contextmanager
def _served(store: Store, folder: Path, mode: str) -> Iterator[Rival]:
    made = folder / f"{store.name}-{mode}"
    made.mkdir()
    with store.database() as url:
        manage(url, "db", "upgrade")
        token = manage(url, "token", "create", "--scope", "ingest", "--hosts", "docker-host-*").lines[0]
        with program(MAIN, url, made, SECURITY_MODE=mode) as server:
            yield Rival(f"{server.ready().url}/api/resources", token)


def _round(number: int, off: Rival, enforce: Rival, bodies: Path) -> tuple[float, float]:
    """What both reached; the one that went last in the last round goes first in this one."""
    order = (off, enforce) if number % 2 == 0 else (enforce, off)
    rates = {one: _rate(one, bodies) for one in order}
    return rates[off], rates[enforce]


def _rate(rival: Rival, bodies: Path) -> float:
    load.run(rival.url, WARM_UP_S, bodies=bodies, token=rival.token)
    seen = load.run(rival.url, SECONDS, bodies=bodies, token=rival.token)
    if seen.refused or seen.broken:
        raise RuntimeError(f"reports were refused: {seen}")
    return seen.rate


if __name__ == "__main__":
    main()
