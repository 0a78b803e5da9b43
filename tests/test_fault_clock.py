"""Clocks that jump under load, the server's and the database's."""

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from config.config import Settings
from database.dialect import Role, dialect_for
from tests.conftest import LEFT_OUT
from tests.disks import leave_out
from tests.fault_table import note
from tests.fleet import ACKS, Fleet
from tests.programs import MAIN, Program, program, wait_for
from tests.servers import MariaDb
from tests.service import report, settings_for

TIMEOUT_S = 240 + ACKS // 100
pytestmark = [pytest.mark.faults, pytest.mark.timeout(TIMEOUT_S)]
FAULT = "clock jump"
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
STEPS = {"+1d": 86_400, "+0": 0, "-1h": -3_600, "-0": 0}
# Whose clock is stepped, on which engine: a file has its server's, a database server tells its own.
CLOCKS = [("server", "sqlite"), ("server", "mysql"), ("database", "mariadb")]
RATE = 300
# The library looks once a second at what the clock is to show, a server four times at what waits too long.
SEEN_S = 1.5
NUMBERS = itertools.count(1)
# In a full run each step outlasts the minute after which the server removes what may go.
REPORTS = max(ACKS // len(CLOCKS) // len(STEPS), RATE)
# While libfaketime 0.9.10 leaves the monotonic clock alone it refuses every `time.sleep` (EINVAL).
PRELUDE = "import threading, time; time.sleep = lambda seconds: threading.Event().wait(seconds); "
START = ["-c", f"{PRELUDE}import runpy; runpy.run_path({MAIN[0]!r}, run_name='__main__')"]


class Clock:
    """A clock that programs see instead of the machine's, and that is stepped while they run."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.environ = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",  # it reads the file once a second
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # as when an operator or NTP sets a machine's clock
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # else waits by that clock last too long, Python's lock among them
        }
        self.step("+0")

    def step(self, offset: str) -> None:
        """Sets it so far off the machine's."""
        new = self._file.with_suffix(".new")
        new.write_text(offset)
        new.replace(self._file)


@pytest.fixture
def clock() -> Iterator[Clock]:
    if LIBRARY is None:
        leave_out(FAULT, "libfaketime is not installed (apt-get install faketime)")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101, S103 - a database server reads it as another user
        yield Clock(Path(folder))


@pytest.mark.parametrize(("whose", "engine"), CLOCKS)
def test_a_clock_that_jumps_costs_no_report_and_freezes_no_host(
    whose: str, engine: str, clock: Clock, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        url = new_url(engine) if whose == "server" else stack.enter_context(database(clock))
        environ = clock.environ if whose == "server" else {}
        one = stack.enter_context(program(START, url, tmp_path, 0, **environ, APP_TIMEZONE="UTC")).ready()
        settings, fleet = settings_for(url, tmp_path), Fleet([one.port], rate=RATE)
        assert not repeated(one)
        with fleet.reporting():
            for offset, seconds in STEPS.items():
                with held(settings):
                    clock.step(offset)
                    time.sleep(SEEN_S)
                # With a database server the server's own clock counts for nothing.
                lives_on(one, fleet, 0 if engine == "mysql" else seconds)
        assert repeated(one)
        assert all(host["status"] == "online" for host in one.get("/api/hosts").json()["data"])
        verdict = fleet.check(settings, statuses=[200])
    note(f"{FAULT}, the {whose}'s", engine, verdict, steps=len(STEPS), slowest_answer_s=fleet.slowest_s)
    fleet.in_time()


@contextmanager
def held(settings: Settings) -> Iterator[None]:
    """Lets a stranger's transaction hold every host, so that reports are on their way when the clock is stepped."""
    engine = dialect_for(settings).engine(Role("stranger"))
    with closing(engine.connect()) as connection:
        connection.execute(text("UPDATE hosts SET cpu_percentage = cpu_percentage"))
        yield
    engine.dispose()


def lives_on(one: Program, fleet: Fleet, off_s: float) -> None:
    """After a step hosts follow their reports, also behind one from the future, and removing removes nothing needed."""
    wait_for(partial(shows, one, off_s))
    follows(one)
    follows(one, get_datetime=f"{datetime.now(UTC) + timedelta(days=365):%F %T}")
    follows(one)
    fleet.await_acks(REPORTS, TIMEOUT_S)
    forget(one)


@contextmanager
def database(clock: Clock) -> Iterator[str]:
    """A database on a server of its own that sees the clock."""
    if reason := LEFT_OUT.get("mariadb") or MariaDb.missing():
        leave_out(FAULT, reason)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in clock.environ.items():
            patched.setenv(name, value)
        server = MariaDb("--max-connections=100")  # an option asks for a server of its own
        server.start()
    try:
        yield server.url(server.create_database())
    finally:
        server.stop()


def post(one: Program, host: str, *, key: str | None = None, **fields: str | int) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    answer = httpx.post(f"{one.url}/api/resources", json=report(host, "web", **fields), headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer


def repeated(one: Program) -> bool:
    """Sends the same report each time: whether the server knows it already."""
    return "Idempotent-Replayed" in post(one, "known", key="known", get_datetime="2025-01-01 00:00:00").headers


def shows(one: Program, off_s: float) -> bool:
    """Whether the time that the server gives a report is so far off."""
    shown = datetime.fromisoformat(post(one, "shown").json()["data"]["timestamp"]).replace(tzinfo=UTC)
    return abs((shown - datetime.now(UTC)).total_seconds() - off_s) < 60


def follows(one: Program, **fields: str) -> None:
    """The row of a host shows its newest report."""
    cpu = next(NUMBERS)
    post(one, "followed", cpu_percentage=cpu, **fields)
    (host,) = one.get("/api/hosts?host_name=followed").json()["data"]
    assert host["cpu_percentage"] == cpu


def forget(one: Program) -> None:
    """Lets the job that removes things run: of what is still needed it must remove nothing."""
    host = post(one, "forgotten").json()["data"]["host_id"]
    assert httpx.delete(f"{one.url}/api/hosts/{host}", timeout=20).status_code == 204
