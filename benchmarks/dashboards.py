"""What open dashboards cost the intake: `python -m benchmarks.dashboards`.

One server on each engine is loaded by BENCH_SECONDS without and with 50 open pages of the fleet, in turn, BENCH_ROUNDS
times. A page asks for what changed every five seconds and for the last hour every minute, as `fleet.js` does; what a
browser draws of it is not part of this. BENCH_ENGINES=sqlite,mysql narrows it. The jobs of every minute take seconds
of it: BENCH_SECONDS=60 has one of each in every measurement, a shorter one has one or none, and tells less.
"""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks import load
from benchmarks.costs import ROUNDS, told
from benchmarks.engines import Store
from benchmarks.measure import SECONDS, WARM_UP_S
from tests.programs import MAIN, program

PAGES, LOOK_S, PAST_EVERY = 50, 5.0, 12
TARGET = 0.90
ROWS = 100


def main() -> None:
    """Prints the rates of each engine, and the median of their ratios."""
    told(("engine", "no page", f"{PAGES} pages", f"ratio (target > {TARGET:.0%})", "per page and 5 s"), _measured)


def _measured(store: Store, folder: Path, bodies: Path) -> tuple[str, ...]:
    made = folder / f"{store.name}-dashboards"
    made.mkdir()
    with store.database() as url, program(MAIN, url, made) as server:
        address = server.ready().url
        load.run(f"{address}/api/resources", WARM_UP_S, bodies=bodies)
        rounds = [_round(number, address, bodies) for number in range(ROUNDS)]
    rates = [statistics.median(column) for column in zip(*rounds, strict=True)]
    ratio = statistics.median(watched / alone for alone, watched, _ in rounds)
    return store.title, f"{rates[0]:,.0f}", f"{rates[1]:,.0f}", f"{ratio:.1%}", f"{rates[2] / 1000:.1f} kB"


def _round(number: int, address: str, bodies: Path) -> tuple[float, float, float]:
    """The rates without and with the pages, and the bytes that a page received in five seconds."""
    rates: dict[bool, float] = {}
    received = 0.0
    for watched in (number % 2 == 0, number % 2 == 1):
        with _watched(address, PAGES if watched else 0) as pages:
            rates[watched] = _rate(address, bodies)
        received = sum(page.received for page in pages) / max(len(pages), 1) / SECONDS * LOOK_S or received
    return rates[False], rates[True], received


def _rate(address: str, bodies: Path) -> float:
    seen = load.run(f"{address}/api/resources", SECONDS, bodies=bodies)
    if seen.refused or seen.broken:
        raise RuntimeError(f"reports were refused: {seen}")
    return seen.rate


class _Page(threading.Thread):
    """An open page of the fleet, without its drawing."""

    def __init__(self, address: str, place: int) -> None:
        super().__init__(name=f"page-{place}")
        self.received = 0
        self._address = address
        self._place, self._wait_s = place, place / PAGES * LOOK_S
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()
        if self.ident is not None:  # None: it was never started
            self.join()

    def run(self) -> None:
        looks, snapshot, ids = 0, None, list[int]()
        with httpx.Client(base_url=self._address, timeout=30) as client:
            while not self._closed.wait(self._wait_s):
                seen = self._get(client, "/api/fleet", {"changed_since": snapshot} if snapshot else {})
                snapshot = seen["snapshot"]
                ids = ids or [host["id"] for host in seen["hosts"][:ROWS]]
                if (looks + self._place) % PAST_EVERY == 0:
                    self._look_back(client, ids)
                looks, self._wait_s = looks + 1, LOOK_S

    def _look_back(self, client: httpx.Client, ids: list[int]) -> None:
        self._get(client, "/api/trends", {})
        self._get(client, "/api/trends", {"host_ids": ",".join(map(str, ids))} if ids else {})
        self._get(client, "/api/events", {"limit": "15"})

    def _get(self, client: httpx.Client, path: str, asked: dict[str, str]) -> dict[str, Any]:
        with client.stream("GET", path, params=asked) as answer:
            answer.raise_for_status()
            answer.read()
            self.received += answer.num_bytes_downloaded
        data: dict[str, Any] = answer.json()["data"]
        return data


@contextmanager
def _watched(address: str, count: int) -> Iterator[list[_Page]]:
    pages = [_Page(address, place) for place in range(count)]
    try:
        for page in pages:
            page.start()
        time.sleep(2 * LOOK_S if pages else 0)  # they are open, and look for what changed
        for page in pages:
            page.received = 0
        yield pages
        if not all(page.is_alive() for page in pages):
            raise RuntimeError("a page was refused something, and looked no more")
    finally:
        for page in pages:
            page.close()


if __name__ == "__main__":
    main()
