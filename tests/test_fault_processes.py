"""The server's own processes killed, stopped and set against each other under load."""

import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests import raw
from tests.conftest import ENGINES
from tests.elapsed import within
from tests.fault_table import note
from tests.fleet import ACKS, LONGEST_S, Fleet, Verdict
from tests.processes import free_port
from tests.programs import MAIN, Program, program, wait_for
from tests.service import process, settings_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]
SERVERS = [engine for engine in ENGINES if engine != "sqlite"]
WORKERS = (2, 4)
FULL = ACKS >= 300_000
# A short run pairs the engines with the numbers of workers: neither tells anything about the other.
TREES = list(itertools.product(SERVERS, WORKERS) if FULL else zip(SERVERS, WORKERS, strict=False))
# How much slower answers may be while a worker is missing; and what leaves room for those that are still to come.
LIMIT, ENOUGH = 2.0, 1.5
KILLS, DRAINS = (5, 10) if FULL else (2, 2)
ROUNDS = 5
PAIRS = 3
HOSTS = 200
QUIET_S = 2.0
# A request that left its client so short before a signal may not have come to the server yet.
ON_ITS_WAY_S = 0.005
ACKS_TIMEOUT_S = 1800


@pytest.mark.parametrize(("engine", "workers"), TREES)
def test_a_killed_worker_is_replaced_and_takes_nothing_with_it(
    engine: str, workers: int, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url = new_url(engine)
    with program(MAIN, url, tmp_path, SERVER_WORKERS=str(workers)) as one:
        fleet = Fleet([one.ready().port], rate=saturation(one.port) / 2, name="killed")
        with fleet.reporting():
            kills = [killed(one, fleet, folder) for folder in folders(tmp_path, KILLS)]
            # Something else may keep the machine busy during one of them.
            while slowdown(fleet, kills) > ENOUGH and len(kills) < ROUNDS * KILLS:
                kills += [killed(one, fleet, folder) for folder in folders(tmp_path / str(len(kills)), KILLS)]
    verdict = fleet.check(settings_for(url, tmp_path))
    base_s, beside_s, short_s = p99s_s(fleet, kills)
    back_s, start_s = (statistics.median_low(took) for took in zip(*map(times_s, kills), strict=True))
    ratios = {"p99_x_base": short_s / base_s, "p99_x_start_beside": short_s / beside_s}
    tries = {"workers": workers, "rounds": len(kills) // KILLS}
    note("kill -9 a worker", engine, verdict, **tries, back_s=back_s, start_s=start_s, **ratios)
    # It is missed within half a second, and then takes what any start takes on a machine as busy as this one.
    within(back_s, 3 if FULL else max(3, 1 + 2 * start_s), "s without the worker")
    within(slowdown(fleet, kills), LIMIT, "times as slow without it")
    fleet.in_time()


class Span(NamedTuple):
    """From one moment to another."""

    begin: float
    end: float


class Kill(NamedTuple):
    """Before a kill, with nothing else and while a process starts beside; and from the kill until another took over."""

    base: Span
    beside: Span
    short: Span


def p99s_s(fleet: Fleet, kills: Sequence[Kill]) -> list[float]:
    """The 99th percentiles before the kills, beside a start, and while a worker was missing."""
    return [p99_s(fleet, spans) for spans in zip(*kills, strict=True)]


def times_s(kill: Kill) -> tuple[float, float]:
    """How long a worker was missing, and how long a start took just before."""
    return kill.short.end - kill.short.begin, kill.beside.end - kill.beside.begin


def slowdown(fleet: Fleet, kills: Sequence[Kill]) -> float:
    """How many times as slow answers are, in the median of the kills: what else keeps the machine busy meets some.

    A start costs a core for about a second: in a short run, on a small machine, the base is of a time with one.
    """
    each = [p99s_s(fleet, [kill]) for kill in kills]
    ratios = [short_s / (base_s if FULL else max(base_s, beside_s)) for base_s, beside_s, short_s in each]
    return statistics.median(ratios)


def members(one: Program) -> list[psutil.Process]:
    """The workers of a server."""
    return [child for child in one.tree[1:] if is_worker(child)]


def is_worker(child: psutil.Process) -> bool:
    """Whether it serves: the only other child watches over shared memory, and a killed one is no more."""
    with suppress(psutil.NoSuchProcess):
        return "spawn_main" in " ".join(child.cmdline())
    return False


def saturation(port: int) -> float:
    """Acknowledgements a second of agents who never wait."""
    with Fleet([port], agents=64, name="saturation").reporting() as fleet:
        fleet.await_acks(200)
        began = time.monotonic()
        time.sleep(QUIET_S)
        return fleet.rate(began, time.monotonic())


def p99_s(fleet: Fleet, spans: Sequence[Span]) -> float:
    """The 99th percentile of the seconds that successes took which were under way in one of the spans."""
    good = [one for one in fleet.answers if one.status == 200]
    taken = [one.took_s for one in good if any(one.at >= at.begin and one.at - one.took_s < at.end for at in spans)]
    return statistics.quantiles(taken, n=100)[98]


def killed(one: Program, fleet: Fleet, folder: Path) -> Kill:
    """Kills a worker at a random instant, and waits until a new one has acknowledged a report."""
    fleet.await_acks(ACKS // len(TREES) // KILLS, timeout_s=ACKS_TIMEOUT_S)
    base = span(lambda: time.sleep(random.uniform(QUIET_S, QUIET_S + 1)))
    beside = span(lambda: start_beside(folder))
    before = members(one)
    with ExitStack() as probes:
        random.choice(before).kill()
        short = span(lambda: wait_for(lambda: acknowledged_by_another(one, before, probes), every_s=0.05))
    return Kill(base, beside, short)


def span(act: Callable[[], object]) -> Span:
    """How long an act took."""
    began = time.monotonic()
    act()
    return Span(began, time.monotonic())


def start_beside(folder: Path) -> None:
    """Does what a worker does at its start, and ends."""
    with process(["-c", "import main"], {"DATABASE_URL": "sqlite:///unused.db"}, folder) as other:
        assert other.wait(60) == 0


def acknowledged_by_another(one: Program, before: Sequence[psutil.Process], probes: ExitStack) -> bool:
    """Posts a report on a connection of its own, and tells whether a worker that is not of `before` has taken it."""
    probe = probes.enter_context(raw.connect(one.port))
    probe.sendall(raw.posted(b'{"host": {"host_name": "probe"}}', "Content-Type: application/json"))
    with suppress(ConnectionResetError):
        acknowledged = probe.recv(4096).startswith(b"HTTP/1.1 200")
        return acknowledged and any(holds(new, probe.getsockname()[1]) for new in members(one) if new not in before)
    return False


def holds(process: psutil.Process, client_port: int) -> bool:
    """Whether this process has the other end of a connection from a port of ours."""
    with suppress(psutil.NoSuchProcess):
        return any(end.raddr and end.raddr.port == client_port for end in process.net_connections("tcp"))
    return False


def test_a_stop_under_load_answers_what_is_in_flight(
    engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url, port = new_url(engine), free_port()
    fleet = Fleet([port], agents=64, name="drained")
    drains = []
    with fleet.reporting(), ExitStack() as last:
        for folder in folders(tmp_path, DRAINS):
            with program(MAIN, url, folder, port, SERVER_WORKERS=workers_of(engine)) as one:
                fleet.await_acks(ACKS // len(ENGINES) // DRAINS, timeout_s=ACKS_TIMEOUT_S)
                drains.append(drained(one))
        last.enter_context(program(MAIN, url, tmp_path, port))
        fleet.finish()
    verdict = fleet.check(settings_for(url, tmp_path))
    answered = [status for drain in drains for status in in_flight(fleet, drain.at)]
    slowest_s = max(drain.took_s for drain in drains)
    note("stop under load", engine, verdict, slowest_s=slowest_s, in_flight=len(answered))
    assert set(answered) <= {200, None}
    assert answered.count(None) <= DRAINS  # a drain that cuts what is in flight loses dozens
    assert {drain.status for drain in drains} == {0}
    fleet.in_time()
    within(slowest_s, 20, "s to stop")
    # What a server without any time to run had not begun to read looks like an idle connection: it is sent again.
    within(answered.count(None), 0, "answers that a stop cost")


def test_an_idle_tree_stops_at_once(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> None:
    with (
        program(MAIN, new_url(engine), tmp_path, SERVER_WORKERS=workers_of(engine)) as one,
        raw.connect(one.ready().port),
    ):
        drain = drained(one)
    note("stop when idle", engine, took_s=drain.took_s)
    assert drain.status == 0
    within(drain.took_s, 2, "s to stop")


@dataclass(frozen=True)
class Drain:
    """A stop of the whole tree: its moment, how long it took, and how the server ended."""

    at: float
    took_s: float
    status: int


def drained(one: Program) -> Drain:
    """Sends SIGTERM to every process of the server at once, as systemd does."""
    began = time.monotonic()
    for member in one.tree:
        member.terminate()
    status = one.child.wait(30)
    return Drain(began, time.monotonic() - began, status)


def in_flight(fleet: Fleet, moment: float) -> list[int | None]:
    """What those were answered who had sent a report before a moment and were not yet answered then."""
    return [one.status for one in fleet.answers if one.at - one.took_s < moment - ON_ITS_WAY_S and one.at >= moment]


def folders(parent: Path, number: int) -> Iterator[Path]:
    for one in range(number):
        (parent / str(one)).mkdir(parents=True)
        yield parent / str(one)


def workers_of(engine: str) -> str:
    """A SQLite file takes one process."""
    return "1" if engine == "sqlite" else "2"


@pytest.mark.parametrize("engine", SERVERS)
def test_four_workers_on_the_same_hosts_all_get_through(
    engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url, verdicts = new_url(engine), []
    ratios, waits_s = list[float](), list[float]()
    with program(MAIN, url, tmp_path, SERVER_WORKERS="4") as one:
        one.ready(workers=4)
        # Something else may keep the machine busy during one of a pair.
        while len(ratios) < PAIRS or (statistics.median(ratios) < 0.7 and len(ratios) < 3 * PAIRS):
            alone, together = (pushed(one.port, hosts, f"{hosts}-{len(ratios)}") for hosts in (0, HOSTS))
            verdicts.append(together.fleet.check(settings_for(url, tmp_path), statuses=[200]))
            ratios.append(together.rate / alone.rate)
            waits_s.append(together.fleet.slowest_s)
    ratio = statistics.median(ratios)
    note("four workers, the same 200 hosts", engine, total(verdicts), errors=0, throughput_x_uncontended=ratio)
    within(max(waits_s), LONGEST_S, "s for an answer")
    within(1 / ratio, 1 / 0.7, "times as slow as uncontended")


@dataclass(frozen=True)
class Push:
    """Agents that never waited, and how many acknowledgements a second they got."""

    fleet: Fleet
    rate: float


def pushed(port: int, hosts: int, name: str) -> Push:
    """As many agents as hosts: each reports for its own, or for any of so many."""
    with Fleet([port], agents=HOSTS, hosts=hosts, name=name).reporting() as fleet:
        fleet.await_acks(HOSTS)  # all hosts are there, all connections made
        began = time.monotonic()
        fleet.await_acks(ACKS // len(SERVERS) // PAIRS, timeout_s=ACKS_TIMEOUT_S)
        return Push(fleet, fleet.rate(began, time.monotonic()))


def total(verdicts: Sequence[Verdict]) -> Verdict:
    return Verdict(*map(sum, zip(*(vars(verdict).values() for verdict in verdicts), strict=True)))
