"""A database that is not there at the start, and one whose place another server takes, under load."""

import itertools
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import outages
from tests.conftest import SERVER_CLASSES
from tests.elapsed import within
from tests.fault_table import note
from tests.faultkit import until
from tests.fleet import Fleet
from tests.outages import (
    FULL,
    SERVERS,
    SHARE,
    Absence,
    Switch,
    connections,
    controllable,
    follow,
    reporting,
    take_over,
    turn_read_only,
)
from tests.programs import MAIN, Program, program, wait_for
from tests.servers import Server
from tests.service import settings_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

# Whether its login fails or its database is missing, each server tells in its own words; in the others none is reached.
TOLD = [outages.wrong_password, outages.unknown_database]
UNREACHED = [outages.refused, outages.blackholed, outages.unresolved]
ABSENCES = [
    *itertools.product(SERVERS, TOLD),
    *itertools.product(SERVERS if FULL else SERVERS[:1], UNREACHED),
]
# How long the log is watched while the database is away.
WATCH_S = 30 if FULL else 5
ALARM = re.compile(r" - (?:WARNING|ERROR|CRITICAL) - ")
# How long the old server refuses to write before the port leads to the new one.
READ_ONLY_S = 3


def started(stack: ExitStack, arguments: list[str], url: str, folder: Path) -> tuple[Program, float]:
    """A server, and the seconds until it answered."""
    folder.mkdir()
    began = time.monotonic()
    one = stack.enter_context(program(arguments, url, folder, COVERAGE_PROCESS_CONFIG=""))
    wait_for(partial(one.answers, "/health/live"))
    return one, time.monotonic() - began


def longest_start_s(folder: Path) -> float:
    """What a start may take while the machine is busy: two seconds more than two whose database is at hand."""
    with ExitStack() as stack:
        return 2 + 2 * started(stack, MAIN, f"sqlite:///{folder}/at-hand.db", folder / "at-hand")[1]


class Outage(NamedTuple):
    """What came of an outage: the alarms in the log, the longest wait for a refusal, and the time to be found again."""

    alarms: int
    refusal_s: float
    ready_s: float


def ended(away: Absence, one: Program, fleet: Fleet) -> Outage:
    """Lets agents report in vain for a while, then brings the database about."""
    time.sleep(1)  # the state of the database is told once, and so is the first refusal
    told = alarms(one)
    assert told > 0
    time.sleep(WATCH_S)
    told = alarms(one) - told
    refusals = list(fleet.answers)
    came = time.monotonic()
    away.end()
    wait_for(one.answers, what=lambda: one.output)
    assert {refusal.status for refusal in refusals} == {503}
    return Outage(told, max(refusal.took_s for refusal in refusals), time.monotonic() - came)


def alarms(one: Program) -> int:
    """The lines of the log that tell of something wrong, be it with one request or with the database."""
    return len(ALARM.findall(one.log))


@pytest.mark.parametrize(("engine", "absence"), ABSENCES)
def test_a_database_that_is_absent_at_the_start_is_found_when_it_comes(
    engine: str,
    absence: Callable[[Server, ExitStack, Path], Absence],
    servers: Callable[[str], Server],
    tmp_path: Path,
) -> None:
    server = controllable(servers(engine))
    with ExitStack() as stack:
        away = absence(server, stack, tmp_path)
        one, live_s = started(stack, away.arguments, away.url, tmp_path / "server")
        limit_s = 3 if live_s <= 3 else longest_start_s(tmp_path)
        assert one.answers("/health", 503)
        with Fleet([one.port], agents=8, rate=40).reporting() as fleet:
            outage = ended(away, one, fleet)
            fleet.await_acks(40)
        verdict = fleet.check(settings_for(away.there, tmp_path), statuses=(200, 503))
    kind = absence.__name__.replace("_", " ")
    note(f"no database at the start: {kind}", server.name, verdict, live_s=live_s, **outage._asdict())
    assert outage.alarms <= WATCH_S / 5
    fleet.in_time()
    within(live_s, limit_s, "s to answer")
    within(outage.refusal_s, 5, "s to a refusal")
    within(outage.ready_s, 5, "s to be ready")


@pytest.fixture(params=SERVERS)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Server]]:
    """A server, and another that writes whatever the first one writes."""
    engine = SERVER_CLASSES[request.param]
    with engine("--server-id=1", "--log-bin=log", "--sync-binlog=1") as old, engine("--server-id=2") as new:
        follow(new, old)
        yield old, new


def test_a_failover_to_another_server_is_followed(pair: tuple[Server, Server], tmp_path: Path) -> None:
    old, new = pair
    url = old.url(old.create_database())
    with (
        closing(Switch(old.port)) as switch,
        reporting(url.replace(f":{old.port}/", f":{switch.port}/"), tmp_path) as (one, fleet),
    ):
        fleet.await_acks(SHARE // 2, timeout_s=900)
        assert all(one.answers("/api/hosts") for _ in range(8))  # so that the readers have connections to lose
        turn_read_only(old)
        time.sleep(READ_ONLY_S)
        take_over(new, old)
        switch.move(new.port)
        moved = time.monotonic()
        until(lambda: connections(old, url) == 0)
        left_s = time.monotonic() - moved
        fleet.await_acks(SHARE // 2, timeout_s=900)
        assert all(one.answers("/api/hosts") for _ in range(8))
    verdict = fleet.check(settings_for(new.url(url.rpartition("/")[2]), tmp_path), statuses=(200, 503))
    recovery_s = fleet.first_ack_since(moved)
    note("failover, the old server read-only", old.name, verdict, recovery_s=recovery_s, left_old_server_s=left_s)
    fleet.in_time()
    within(recovery_s, 10, "s to be back")
    within(left_s, 10, "s to leave the old server")
