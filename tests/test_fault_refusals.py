"""What the database refuses under load: values that only it finds fault with, and packets beyond its limit."""

import json
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from sqlalchemy import text

from config.config import Settings
from database.dialect import Role, dialect_for
from tests import raw
from tests.conftest import SERVER_CLASSES
from tests.elapsed import within
from tests.fault_table import note
from tests.faultkit import until
from tests.fleet import ACKS, Fleet
from tests.outages import FULL, RATE, SERVERS, SHARE, reporting
from tests.programs import MAIN, Program, program
from tests.servers import Server
from tests.service import report, settings_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

POISON = "poison"
BATCH = 200
EXTRA = 16  # 2 log2 200
TRIES = 20 if FULL else 3
SPAN_S = 2.0
# One report in 200 at the agents' rate.
POISON_EVERY_S = BATCH / RATE
LARGE = 20 if FULL else 2
WHALE = "\U0001f433"
MEBIBYTE = 1 << 20
NAMES = ("container_name", "cluster_name", "node_name", "engine_type", "status")


@contextmanager
def stranger(settings: Settings, statement: str) -> Iterator[None]:
    """Another client's transaction, which has executed a statement and is rolled back at the end."""
    engine = dialect_for(settings).engine(Role("stranger"))
    with engine.connect() as connection:
        connection.execute(text(statement))
        yield
        connection.rollback()
    engine.dispose()


def refuse_poison(settings: Settings) -> None:
    """Lets the database refuse containers of a name, which validation knows nothing of."""
    statement = f"ALTER TABLE containers ADD CONSTRAINT refuse CHECK (container_name <> '{POISON}')"
    if settings.sqlite_path:
        statement = (
            f"CREATE TRIGGER refuse BEFORE INSERT ON containers WHEN NEW.container_name = '{POISON}' "
            "BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed'); END"
        )
    engine = dialect_for(settings).engine(Role("owner"))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


class Batch(NamedTuple):
    """What came of reports that were written together; `took_s` from the stranger's end until the last success."""

    statuses: list[int]
    transactions: int
    took_s: float


def in_one_batch(one: Program, settings: Settings, bodies: Sequence[object]) -> Batch:
    """Posts reports while the writer waits for a stranger who holds another report's host; the last may be refused."""
    log = len(one.log)
    plug, *ends = [raw.connect(one.port) for _ in range(len(bodies) + 1)]
    with stranger(settings, "UPDATE hosts SET cpu_cores = 1 WHERE host_name = 'plug'"):
        send(plug, report("plug"))
        time.sleep(0.5)  # so that it is being written when the others come
        for end, body in zip(ends, bodies, strict=True):
            send(end, body)
        until(lambda: one.get("/health").json()["data"]["queue_depth"] == len(bodies) + 1)
    plugged = status(plug)  # SQLite asks only every 100 ms whether the lock is free: that wait is not the batch's
    began = time.monotonic()
    statuses = [status(end) for end in ends[:-1]]
    took_s = time.monotonic() - began
    statuses += [status(ends[-1]), plugged]
    until(lambda: settled(one.log[log:]) == len(statuses))
    return Batch(statuses[:-1], one.log[log:].count("INTO reports (") - 1, took_s)


def send(end: socket.socket, body: object) -> None:
    end.sendall(raw.posted(json.dumps(body).encode(), "Connection: close"))


def status(end: socket.socket) -> int:
    with end:
        return raw.answers(raw.received(end))[0].status


def settled(log: str) -> int:
    """How many reports were committed or refused; the log comes a moment after the answers."""
    return sum(map(int, re.findall(r" commit reports=(\d+)", log))) + log.count(" report_refused_by_database ")


def test_one_poisoned_report_of_two_hundred_is_refused_alone(
    engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url = new_url(engine)
    settings = settings_for(url, tmp_path)
    sound = [report(f"host-{n}", "web") for n in range(BATCH)]
    poisoned = [*sound[:-1], report(f"host-{BATCH - 1}", POISON)]
    with program(MAIN, url, tmp_path, DATABASE_ECHO="true") as one:  # its log shows every statement
        assert one.ready().post(report("plug")).status_code == 200
        refuse_poison(settings)
        in_one_batch(one, settings, sound)  # makes the hosts
        tries = [(in_one_batch(one, settings, sound), in_one_batch(one, settings, poisoned)) for _ in range(TRIES)]
    assert all(base.statuses == [200] * BATCH and base.transactions == 1 for base, _ in tries)
    assert all(batch.statuses == [200] * (BATCH - 1) + [422] for _, batch in tries)
    extra = max(batch.transactions for _, batch in tries) - 1
    base_s, took_s = (statistics.median(one.took_s for one in batches) for batches in zip(*tries, strict=True))
    note("one poisoned report in 200", engine, extra_transactions=extra, base_s=base_s, slowest_success_s=took_s)
    assert extra <= EXTRA
    within(took_s, 5 * base_s)


@contextmanager
def poisoning(port: int) -> Iterator[list[int]]:
    """Posts a poisoned report now and then while the block runs; gives their statuses."""
    over, statuses = threading.Event(), []

    def post() -> None:
        while not over.wait(POISON_EVERY_S):
            end = raw.connect(port)
            send(end, report("host-0", POISON))
            statuses.append(status(end))

    with ThreadPoolExecutor(1) as thread:
        posting = thread.submit(post)
        try:
            yield statuses
        finally:
            over.set()
            posting.result(30)


def span(fleet: Fleet) -> float:
    """The 99th percentile of the seconds that answers took in the next moments."""
    began = time.monotonic()
    time.sleep(SPAN_S)
    return fleet.p99_s(began, time.monotonic())


def held_up(quiet: Sequence[float], poisoned: Sequence[float]) -> bool:
    """Whether poison costs others too much; something else may keep the machine busy, so that more turns decide it."""
    return len(poisoned) < 9 and statistics.median(poisoned) > 5 * statistics.median(quiet)


def test_poison_now_and_then_holds_nobody_up(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> None:
    url = new_url(engine)
    settings = settings_for(url, tmp_path)
    quiet: list[float] = []
    poisoned: list[float] = []
    with reporting(url, tmp_path, SERVER_WORKERS="1") as (one, fleet):
        refuse_poison(settings)
        fleet.await_acks(RATE)
        # In turns, as other work of the machine comes and goes.
        while len(poisoned) < 3 or len(fleet.acknowledged) < ACKS // 3 or held_up(quiet, poisoned):
            quiet.append(span(fleet))
            with poisoning(one.port) as statuses:
                poisoned.append(span(fleet))
            assert set(statuses) == {422}
    verdict = fleet.check(settings, statuses=(200,))
    base_s, p99_s = statistics.median(quiet), statistics.median(poisoned)
    note("poisoned reports now and then", engine, verdict, base_p99_s=base_s, p99_s=p99_s)
    fleet.in_time()
    within(p99_s, 5 * base_s, "s for 99 of 100 answers")


@pytest.fixture(params=SERVERS)
def narrow(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that takes no more than a mebibyte at once."""
    with SERVER_CLASSES[request.param]("--max-allowed-packet=1M") as server:
        yield server


def largest(host: str, containers: int, fields: Sequence[str]) -> bytes:
    """A report of a mebibyte: so many containers whose names are as long as they may be, or as there is room for.

    Four bytes a letter are the most that a name can weigh, and twice that as SQL if it holds a quote.
    """
    one = json.dumps(dict.fromkeys(fields, "'"))
    room = (MEBIBYTE - len(host.encode()) - 100) // containers - len(one) - 2
    letters = min(254, room // len(fields) // 4)
    full = one.replace("'", "'" + WHALE * letters)
    return f'{{"host": {{"host_name": "{host}"}}, "containers": [{", ".join([full] * containers)}]}}'.encode()


def test_the_largest_reports_pass_through_a_small_packet(narrow: Server, tmp_path: Path) -> None:
    url = narrow.url(narrow.create_database())
    host = "'" + WHALE * 254  # it stands for the clusters and nodes that are not named
    bodies = {2000: largest(host, 2000, NAMES[:1]), 190: largest(host, 190, NAMES)}
    assert all(0.9 * MEBIBYTE < len(body) <= MEBIBYTE for body in bodies.values())
    with reporting(url, tmp_path) as (one, fleet):
        statuses = []
        for _ in range(LARGE):
            for body in bodies.values():
                statuses.append(httpx.post(f"{one.url}/api/resources", content=body, timeout=30).status_code)
                fleet.await_acks(SHARE // LARGE // len(bodies))
    verdict = fleet.check(settings_for(url, tmp_path), statuses=(200,))
    containers = f"{url.rpartition('/')[2]}.containers"
    rows = narrow.execute(f"SELECT COUNT(*) FROM {containers} WHERE container_name LIKE %s", "'%")
    note("a packet of 1 MiB, the largest reports", narrow.name, verdict, large=len(statuses), slowest_s=fleet.slowest_s)
    assert set(statuses) == {200}
    assert rows == ((LARGE * sum(bodies),),)
    fleet.in_time()
