"""SQLite under load: on a disk that is full, and with commands and readers beside a server that is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from config.config import ROOT, Settings
from database.dialect import Role, dialect_for
from tests.disks import disk
from tests.elapsed import within
from tests.fault_table import note
from tests.fleet import ACKS, LONGEST_S, Fleet, Verdict
from tests.processes import free_port
from tests.programs import MAIN, Program, program, wait_for
from tests.service import report, settings_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 + ACKS // 100)]
NOTHING = Verdict(0, 0, 0, 0)
# About half of what a server does here.
RATE = 600

FULL = "disk full under the SQLite file"
DISK_BYTES = 16 << 20
# A disk takes so many reports with their write-ahead log and is still not full before it is filled.
REPORTS = min(ACKS // 2, 10_000)
DISKS = range(ACKS // 2 // REPORTS)
FULL_S = 2
KILLS = 2 if ACKS < 300_000 else 20


def intact(settings: Settings) -> bool:
    """Whether SQLite finds nothing to complain about in the whole file."""
    engine = dialect_for(settings).engine(Role("check"))
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA integrity_check").scalar_one()
    engine.dispose()
    return bool(found == "ok")


class Filled(NamedTuple):
    """What came of a disk that was full for a while."""

    verdict: Verdict
    slowest_s: float
    refused_in_s: float
    acknowledged_in_s: float


@pytest.mark.parametrize("killed", [False, True], ids=["served", "killed"])
def test_a_full_disk_is_503_in_time_and_passes(tmp_path: Path, *, killed: bool) -> None:
    runs = [filled(tmp_path / str(number), killed=killed) for number in DISKS]
    verdict = sum((run.verdict for run in runs), NOTHING)
    refused_in_s = max(run.refused_in_s for run in runs)
    acknowledged_in_s = max(run.acknowledged_in_s for run in runs)
    fault = f"{FULL}, kill -9 meanwhile" if killed else FULL
    note(fault, "sqlite", verdict, refused_within_s=refused_in_s, ack_after_freeing_s=acknowledged_in_s)
    within(max(run.slowest_s for run in runs), LONGEST_S, "s for an answer")
    within(refused_in_s, 5, "s to a refusal")
    within(acknowledged_in_s, 5, "s to be back")


def filled(folder: Path, *, killed: bool) -> Filled:
    """A server under load on a disk that is filled, looked at, and freed."""
    folder.mkdir()
    with disk(folder / "disk", DISK_BYTES, FULL) as small, ExitStack() as stack:
        url, port = f"sqlite:///{small.path}/test.db", free_port()
        fleet = Fleet([port], containers=1, rate=RATE)
        one = stack.enter_context(program(MAIN, url, folder, port)).ready()
        with fleet.reporting():
            fleet.await_acks(REPORTS // 2)
            small.fill()
            await_refusal(fleet)
            if killed:
                one.stop(signal.SIGKILL)
                one = stack.enter_context(program(MAIN, url, folder, port))
                await_refusal(fleet)
            look_at(one)
            small.free()
            freed = time.monotonic()
            fleet.await_acks(REPORTS // 2)
        return judged(fleet, settings_for(url, folder), freed)


def await_refusal(fleet: Fleet) -> None:
    """Waits for the next refusal: until it is full itself SQLite's log takes reports on a full disk."""
    before = fleet.codes["STORAGE_FULL"]
    wait_for(lambda: fleet.codes["STORAGE_FULL"] > before, what=lambda: fleet.codes)


def look_at(one: Program) -> None:
    """While the disk is full everything can be read, and health tells that nothing can be written."""
    until = time.monotonic() + FULL_S
    while time.monotonic() < until:
        assert one.get("/api/hosts").status_code == 200
        health = one.get("/health")
        assert (health.status_code, health.json()["resultCode"]) == (503, "STORAGE_FULL")


def judged(fleet: Fleet, settings: Settings, freed: float) -> Filled:
    """Nothing is lost or damaged, and nothing but the full disk was given as a reason."""
    verdict = fleet.check(settings)
    assert intact(settings)
    assert fleet.codes.keys() == {"0", "STORAGE_FULL"}
    refused_in_s = max(answer.took_s for answer in fleet.answers if answer.status == 503)
    return Filled(verdict, fleet.slowest_s, refused_in_s, fleet.first_ack_since(freed))


def test_commands_and_readers_beside_a_server_that_is_killed_meet_no_lock(
    new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url, port = new_url("sqlite"), free_port()
    settings, fleet, operator = settings_for(url, tmp_path), Fleet([port], rate=RATE), Operator(url, port)
    reading, slow = partial(read, settings, 0), partial(read, settings, 1)
    with ExitStack() as servers:
        one = servers.enter_context(program(MAIN, url, tmp_path, port)).ready()
        # Ends before the last server does: an operator's turn begins with a report that is acknowledged.
        with repeating(commands=operator.turn, reads=reading, slow_reads=slow) as turns, fleet.reporting():
            for _ in range(KILLS):
                fleet.await_acks(ACKS // (KILLS + 1))
                one.stop(signal.SIGKILL)
                one = servers.enter_context(program(MAIN, url, tmp_path, port))
            fleet.await_acks(ACKS // (KILLS + 1))
    verdict = fleet.check(settings, statuses=(200, None))
    note("commands and readers beside SQLite, kill -9", "sqlite", verdict, kills=KILLS, **turns)
    assert intact(settings)
    assert (operator.refused, "locked" in one.log + one.output) == ([], False)
    assert turns.keys() == {"commands", "reads", "slow_reads"}
    fleet.in_time()


@contextmanager
def repeating(**acts: Callable[[], None]) -> Iterator[Counter[str]]:
    """Does each thing again and again in a thread of its own, and counts; what goes wrong is raised at the end."""
    over, turns = threading.Event(), Counter[str]()

    def repeat(name: str) -> None:
        while not over.wait(0.05):
            acts[name]()
            turns[name] += 1

    with ThreadPoolExecutor(len(acts)) as threads:
        started = [threads.submit(repeat, name) for name in acts]
        try:
            yield turns
        finally:
            over.set()
        for one in started:
            one.result(60)


class Operator:
    """Deletes a host and brings the schema up to date by commands, while the server writes."""

    def __init__(self, url: str, port: int) -> None:
        self._url, self._port = url, port
        self.refused: list[str] = []

    def turn(self) -> None:
        wait_for(self._report)
        for arguments in (["host", "delete", "leaving"], ["db", "upgrade"]):
            command = [sys.executable, str(ROOT / "manage.py"), *arguments]
            environ = {**os.environ, "DATABASE_URL": self._url}
            done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
            if done.returncode:
                self.refused.append(done.stderr)

    def _report(self) -> bool:
        with suppress(httpx.TransportError):
            address = f"http://127.0.0.1:{self._port}/api/resources"
            return httpx.post(address, json=report("leaving", "web")).status_code == 200
        return False


def read(settings: Settings, for_s: float) -> None:
    """Reads the file as a program beside the server may; a transaction sees one state however long it lasts."""
    engine = dialect_for(settings).engine(Role("reader", writes=False))
    with engine.connect() as connection:
        counts = [connection.exec_driver_sql("SELECT COUNT(*) FROM reports").scalar_one()]
        time.sleep(for_s)
        counts.append(connection.exec_driver_sql("SELECT COUNT(*) FROM reports").scalar_one())
    engine.dispose()
    assert counts[0] == counts[1]
