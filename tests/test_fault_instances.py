"""Several instances of the server over one database: first started at once, and killed behind a proxy."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.conftest import ENGINES
from tests.deployed import nginx
from tests.elapsed import within
from tests.fault_table import note
from tests.fleet import ACKS, Fleet
from tests.processes import free_port
from tests.programs import MAIN, Program, program, wait_for
from tests.service import report, settings_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]
SERVERS = [engine for engine in ENGINES if engine != "sqlite"]
KILLS, STARTS = (20, 20) if ACKS >= 300_000 else (2, 1)
PROCESSES = 8


class Instance(ExitStack):
    """One of several servers over a database: it keeps its port from start to start, and `close` kills it."""

    def __init__(self, url: str, parent: Path) -> None:
        super().__init__()
        self.port, self._url, self._parent = free_port(), url, parent

    def start(self) -> None:
        folder = self._parent / f"{self.port}-{time.monotonic_ns()}"
        folder.mkdir()
        self._program = self.enter_context(program(MAIN, self._url, folder, self.port)).ready()

    @property
    def busy(self) -> bool:
        """Whether anybody is connected to it."""
        ends = psutil.Process(self._program.child.pid).net_connections("tcp")
        return any(end.laddr.port == self.port and end.raddr for end in ends)


def test_an_instance_killed_behind_nginx_takes_nothing_with_it(new_url: Callable[[str], str], tmp_path: Path) -> None:
    url = new_url("mysql")
    with (
        Instance(url, tmp_path) as one,
        Instance(url, tmp_path) as other,
        nginx(one.port, other.port) as front,
    ):
        one.start()
        other.start()
        fleet = Fleet([front.port], name="instances")
        with fleet.reporting():
            for turn in range(KILLS):
                replaced((one, other)[turn % 2], fleet)
    verdict = fleet.check(settings_for(url, tmp_path))
    note("kill -9 an instance behind nginx", "mysql", verdict, kills=KILLS, refused=fleet.statuses[503])
    fleet.in_time()


def replaced(instance: Instance, fleet: Fleet) -> None:
    """Kills an instance at a random instant, and starts it again while the other one carries on alone."""
    wait_for(lambda: instance.busy, what=lambda: "the proxy does not use the instance")
    fleet.await_acks(ACKS // KILLS // 2, timeout_s=600)
    time.sleep(random.uniform(0, 0.5))
    instance.close()
    fleet.await_acks(ACKS // KILLS // 2, timeout_s=600)
    instance.start()


@pytest.mark.parametrize("engine", SERVERS)
def test_first_starts_at_once_make_one_schema(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> None:
    waits_s = []
    for turn in range(STARTS):
        began = time.monotonic()
        with all_at_once(new_url(engine), tmp_path / str(turn)) as started:
            wait_for(lambda: all(one.answers() for one in started), every_s=0.1, within_s=100)
            waits_s.append(time.monotonic() - began)
            assert {one.post(report("shared", "web")).status_code for one in started} == {200}
            assert [host["host_name"] for host in started[0].get("/api/hosts").json()["data"]] == ["shared"]
            assert sum(one.log.count("Running upgrade  -> 0001") for one in started) == 1
            assert "ERROR" not in "".join(one.log for one in started)
    note("first starts at once", engine, processes=PROCESSES, starts=STARTS, slowest_ready_s=max(waits_s))
    within(max(waits_s), 15, "s to be ready")


def test_of_first_starts_at_once_on_sqlite_one_comes_up(new_url: Callable[[str], str], tmp_path: Path) -> None:
    waits_s = []
    for turn in range(STARTS):
        began = time.monotonic()
        with all_at_once(new_url("sqlite"), tmp_path / str(turn)) as started:
            wait_for(lambda: len(alive(started)) == 1, every_s=0.1, within_s=100)
            assert alive(started)[0].ready().post(report("alone", "web")).status_code == 200
            waits_s.append(time.monotonic() - began)
            refused = [one for one in started if one.child.returncode]
            assert len(refused) == PROCESSES - 1
            assert {one.output.count("is in use by another server process") for one in refused} == {1}
    note("first starts at once", "sqlite", refused=PROCESSES - 1, starts=STARTS, slowest_ready_s=max(waits_s))
    within(max(waits_s), 15, "s to be ready")


@contextmanager
def all_at_once(url: str, parent: Path) -> Iterator[list[Program]]:
    """Starts every process on one database at the same moment."""
    folders = [parent / str(number) for number in range(PROCESSES)]
    with ExitStack() as stack:
        for folder in folders:
            folder.mkdir(parents=True)
        yield [stack.enter_context(program(MAIN, url, folder)) for folder in folders]


def alive(started: list[Program]) -> list[Program]:
    return [one for one in started if one.child.poll() is None]
