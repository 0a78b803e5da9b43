"""The database server killed, hanging and locked under load."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.elapsed import within
from tests.fault_table import note
from tests.faultkit import until
from tests.fleet import LONGEST_S, Fleet
from tests.outages import (
    FULL,
    RATE,
    SERVERS,
    SHARE,
    WORKERS,
    connections,
    controllable,
    hanging,
    locked,
    memory_mib,
    reporting,
)
from tests.programs import MAIN, Program, program
from tests.servers import Server
from tests.service import settings_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

KILLS, DOWN_S = (10, 10) if FULL else (2, 5)
# A pause is longer than the deadline of 15 s, so that some are refused.
PAUSES, PAUSE_S = (10, 30) if FULL else (1, 17)
HOLD_S = 10
# Fewer than ask at once, so that some wait for a connection.
POOL = {"DATABASE_POOL_SIZE": "4", "DATABASE_MAX_OVERFLOW": "0"}
READERS = 16


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    return controllable(servers(request.param))


class Kill(NamedTuple):
    """What came of one: seconds from the server's first answer to the next acknowledgement, and the workers' memory."""

    recovery_s: float
    memory_mib: dict[int, float]


def killed(server: Server, one: Program, fleet: Fleet) -> Kill:
    server.kill()
    time.sleep(DOWN_S)
    told = one.answers("/health", 503)
    server.start()
    answered = time.monotonic()
    fleet.await_acks(SHARE // KILLS)
    assert told
    return Kill(fleet.first_ack_since(answered), memory_mib(one))


def test_a_killed_database_costs_nothing_that_was_acknowledged(server: Server, tmp_path: Path) -> None:
    url = server.url(server.create_database())
    with reporting(url, tmp_path) as (one, fleet):
        fleet.await_acks(2 * RATE)
        before = memory_mib(one)
        kills = [killed(server, one, fleet) for _ in range(KILLS)]
        assert all(kill.memory_mib.keys() == before.keys() for kill in kills), "a worker was started anew"
    verdict = fleet.check(settings_for(url, tmp_path), statuses=(200, 503))
    growth = max(kill.memory_mib[pid] - before[pid] for kill in kills for pid in before)
    recovery = max(kill.recovery_s for kill in kills)
    note("kill -9 the database", server.name, verdict, kills=KILLS, recovery_s=recovery, growth_mib=growth)
    assert growth <= 64
    fleet.in_time()
    within(recovery, 5, "s to be back")


def paused(server: Server, one: Program, fleet: Fleet) -> tuple[float, float]:
    """Lets the server hang; gives the seconds from its awakening to the next acknowledgement, and the longest read."""
    with ThreadPoolExecutor(READERS) as threads:
        with hanging(server):
            reads = [threads.submit(read_s, one.port) for _ in range(READERS)]
            time.sleep(PAUSE_S)
            assert one.answers("/health", 503)
        resumed = time.monotonic()
        fleet.await_acks(SHARE // PAUSES)
        return fleet.first_ack_since(resumed), max(read.result() for read in reads)


def read_s(port: int) -> float:
    """Seconds that one read took; by hand, as a client of a library would keep the agents' thread from its work."""
    began = time.monotonic()
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        client.request("GET", "/api/hosts")
        assert client.getresponse().status in (200, 503)
    return time.monotonic() - began


def test_a_hanging_database_is_waited_for_no_longer_than_the_deadline(server: Server, tmp_path: Path) -> None:
    url = server.url(server.create_database())
    limit = WORKERS * (int(POOL["DATABASE_POOL_SIZE"]) + 2)  # besides the readers the writer and the probe
    with reporting(url, tmp_path, **POOL) as (one, fleet):
        fleet.await_acks(RATE)
        pauses = [paused(server, one, fleet) for _ in range(PAUSES)]
        until(lambda: connections(server, url) <= limit, 60)
        left = connections(server, url)
    verdict = fleet.check(settings_for(url, tmp_path), statuses=(200, 503))
    recovery, read = (max(one) for one in zip(*pauses, strict=True))
    slowest = {"slowest_s": fleet.slowest_s, "slowest_read_s": read}
    note("the database hangs", server.name, verdict, recovery_s=recovery, **slowest, connections=left)
    assert {"0", "DB_UNAVAILABLE"} <= fleet.codes.keys() <= {"0", "DB_UNAVAILABLE", "COMMIT_UNKNOWN"}
    fleet.in_time()
    within(recovery, 5, "s to be back")
    within(read, LONGEST_S, "s for a read")


def test_a_host_that_a_stranger_holds_keeps_no_other_waiting(server: Server, tmp_path: Path) -> None:
    url = server.url(server.create_database())
    with program(MAIN, url, tmp_path, SERVER_WORKERS=str(WORKERS)) as one:
        others = Fleet([one.ready(WORKERS).port], agents=64, rate=RATE, name="others")
        owner = Fleet([one.port], agents=2, hosts=1, rate=10, name="owner", host="held")
        with others.reporting(), owner.reporting():
            while len(others.acknowledged) < SHARE:
                others.await_acks(RATE)
                with locked(server, url, "held-0"):
                    time.sleep(HOLD_S)
    verdict = others.check(settings_for(url, tmp_path), statuses=(200,))
    owner.check(settings_for(url, tmp_path), statuses=(200, 503))
    note("a row is locked", server.name, verdict, others_s=others.slowest_s, owner_s=owner.slowest_s)
    assert owner.slowest_s > HOLD_S / 2, "it was not held"
    owner.in_time()
    within(others.slowest_s, 5, "s for an answer")
