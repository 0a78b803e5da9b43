"""The agent as a user runs it, against the server as a user runs it: what was measured is stored, once and in order."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from agent.clock import Clock, Stamp
from agent.notices import Notices
from agent.spool import Spool
from config.config import ROOT
from database.dialect import Role, dialect_for
from tests.elapsed import within
from tests.fake_engine import Fake, FakeEngine, running
from tests.processes import free_port
from tests.programs import MAIN, Program, as_user, program, wait_for
from tests.service import process, settings_for

pytestmark = [pytest.mark.agent, pytest.mark.slow, pytest.mark.timeout(300)]
AWAY_S = 120
INTERVAL_S = 1.0


class Agent:
    """A running agent and what it says."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.process = psutil.Process(pid)
        self._folder = folder

    @property
    def log(self) -> str:
        return (self._folder / "out.log").read_text(encoding="utf-8")


@contextmanager
def agent(folder: Path, url: str, *options: str, interval: float = INTERVAL_S, **environ: str) -> Iterator[Agent]:
    """Starts one whose spool is in the folder; it is ended whatever happens."""
    folder.mkdir(exist_ok=True)
    base = ["-m", "agent", "--server", url, "--interval", str(interval), "--spool", str(folder / "spool")]
    with process([*base, *options], {"DOCKER_HOST": f"unix://{folder}/engine.sock", **environ}, folder) as child:
        yield Agent(child.pid, folder)


def reported(folder: Path, url: str) -> list[tuple[datetime, datetime]]:
    """When each stored report was measured, by the server's axis and by the agent's clock; in order of the axis."""
    engine = dialect_for(settings_for(url, folder)).engine(Role("test", size=1))
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT sampled_at, get_datetime FROM reports ORDER BY sampled_at")).all()
    engine.dispose()
    return [(_moment(row[0]), _moment(row[1])) for row in rows]


def _moment(value: Any) -> datetime:  # noqa: ANN401 - a text on SQLite
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found.replace(tzinfo=UTC)


def reports_gaps(moments: list[datetime]) -> list[float]:
    return [(after - before).total_seconds() for before, after in itertools.pairwise(moments)]


def undelivered(folder: Path) -> int:
    spool = Spool(folder, Clock(), Notices(), max_bytes=1 << 28, max_age_s=86_400)
    spool.close()
    return len(spool)


@contextmanager
def server(folder: Path, url: str, port: int) -> Iterator[Program]:
    folder.mkdir(exist_ok=True)
    with program(MAIN, url, folder, port, APP_TIMEZONE="UTC") as started:
        yield started.ready()


def test_an_outage_of_two_minutes_with_two_kills_loses_and_doubles_nothing(tmp_path: Path) -> None:
    url, port = f"sqlite:///{tmp_path}/server.db", free_port()
    at = f"http://127.0.0.1:{port}"
    kills = 0
    with running(FakeEngine(Fake("web"), Fake("old", "exited")), tmp_path / "engine.sock"):
        with server(tmp_path / "before", url, port), agent(tmp_path, at, TZ="UTC"):
            wait_for(lambda: len(reported(tmp_path, url)) >= 3)
        began = time.monotonic()
        while kills < 2:
            with agent(tmp_path, at, TZ="UTC") as killed:
                time.sleep(AWAY_S / 3)
                killed.process.send_signal(signal.SIGKILL)
            kills += 1
        with agent(tmp_path, at, TZ="UTC") as last:
            time.sleep(max(began + AWAY_S - time.monotonic(), 0))
            with server(tmp_path / "after", url, port) as back:
                wait_for(lambda: "takes reports again" in last.log, lambda: last.log, within_s=90)
                wait_for(lambda: len(reported(tmp_path, url)) >= AWAY_S * 0.9, lambda: last.log)
                time.sleep(3 * INTERVAL_S)
                now = back.get("/api/hosts").json()["data"]
    rows = reported(tmp_path, url)
    clocks = [clock for _, clock in rows]
    assert clocks == sorted(clocks)
    gaps = reports_gaps([sampled for sampled, _ in rows])
    assert all(timedelta(seconds=-1) < sampled - clock < timedelta(seconds=2) for sampled, clock in rows)
    # What is stored twice is there at nearly the same moment twice; a late sample is not that near to the next one.
    assert min(gaps) > INTERVAL_S / 10
    assert len(now) == 1
    assert now[0]["sampled_at"][:23] >= rows[-3][0].isoformat()[:23]
    assert undelivered(tmp_path / "spool") <= 5
    # Each second has its report, but for the starts of the agent after its kills, and where the machine was busy.
    missing = len([gap for gap in gaps if gap > INTERVAL_S * 1.5])
    assert missing <= 2 * 3 * 2
    within(max(gaps), 5, "s between two reports")
    within(missing, 3 * 2, "gaps")


def backlog(folder: Path, count: int) -> None:
    """Fills a spool as an outage of so many intervals does."""
    clock = Clock()
    now = clock.now()
    container = {"engine_type": "docker", "status": "running", "cpu_percentage": 1.5, "memory_usage": 0.25}
    names = [{"container_name": f"service-{number:02}", **container} for number in range(20)]
    report = json.dumps({"host": {"host_name": "backlog", "cpu_percentage": 5.5}, "containers": names})
    spool = Spool(folder, clock, Notices(), max_bytes=1 << 28, max_age_s=86_400)
    for number in range(count):
        spool.append(report, Stamp(now.uptime_s - (count - number), now.boot, now.wall_s))
    spool.close()


def test_10000_reports_drain_in_less_than_30_s_and_delay_no_live_one(tmp_path: Path) -> None:
    url, port = f"sqlite:///{tmp_path}/server.db", free_port()
    backlog(tmp_path / "spool", 10_000)
    with server(tmp_path / "server", url, port), agent(tmp_path, f"http://127.0.0.1:{port}", "--host-name", "live"):
        wait_for(lambda: delays(tmp_path, url, "live") != [])
        began = time.monotonic()
        wait_for(lambda: len(delays(tmp_path, url, "backlog")) == 10_000, within_s=60, every_s=0.5)
        took = time.monotonic() - began
        time.sleep(2 * INTERVAL_S)
    live = delays(tmp_path, url, "live")
    assert len(live) >= took / INTERVAL_S - 1
    within(took, 30)
    within(max(live), INTERVAL_S, "s that a live report was late")


def delays(folder: Path, url: str, host: str) -> list[float]:
    """How many seconds old each stored report of a host was when it came."""
    engine = dialect_for(settings_for(url, folder)).engine(Role("test", size=1))
    query = (
        "SELECT r.sampled_at, r.received_at FROM reports r JOIN hosts h ON h.id = r.host_id WHERE h.host_name = :name"
    )
    with engine.connect() as connection:
        rows = connection.execute(text(query), {"name": host}).all()
    engine.dispose()
    return [(_moment(received) - _moment(sampled)).total_seconds() for sampled, received in rows]


def test_a_spool_that_cannot_be_written_is_one_line_and_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir(mode=0o555)
    url, port = f"sqlite:///{tmp_path}/server.db", free_port()
    with server(tmp_path / "server", url, port) as service:
        command = ["-m", "agent", "--server", service.url, "--interval", "1", "--spool", str(tmp_path / "spool")]
        with process(as_user(command), {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}, tmp_path):
            wait_for(lambda: len(reported(tmp_path, url)) >= 4)
        log = (tmp_path / "out.log").read_text(encoding="utf-8")
    assert log.count("Permission denied; reports are kept in memory only") == 1
    assert log.count("there is no such socket") == 1


def test_it_is_small_and_idle(tmp_path: Path) -> None:
    url, port = f"sqlite:///{tmp_path}/server.db", free_port()
    fake = FakeEngine(*(Fake(f"service-{number:02}") for number in range(20)))
    at = f"http://127.0.0.1:{port}"
    with (
        running(fake, tmp_path / "engine.sock"),
        server(tmp_path / "server", url, port),
        agent(tmp_path, at, interval=10) as one,
    ):
        wait_for(lambda: len(reported(tmp_path, url)) >= 1)
        before = one.process.cpu_times()
        time.sleep(31)
        after, memory = one.process.cpu_times(), one.process.memory_info().rss
    used = after.user + after.system - before.user - before.system
    sys.stdout.write(f"agent with 20 containers: {memory / (1 << 20):.1f} MiB, {used / 0.31:.2f} % of a core\n")
    assert memory < 40 << 20
    # Three reports at least in 31 s.
    within(used, 0.31, "s of a processor")


def test_once_prints_a_report_and_sends_nothing(tmp_path: Path) -> None:
    with running(FakeEngine(Fake("web")), tmp_path / "engine.sock"):
        command = [
            sys.executable,
            "-m",
            "agent",
            "--once",
            "--server",
            "http://127.0.0.1:1",
            "--spool",
            str(tmp_path / "s"),
        ]
        environ = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/engine.sock"}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30, check=True)
    report = json.loads(done.stdout)
    assert [container["container_name"] for container in report["containers"]] == ["web"]
    assert report["host"]["cpu_percentage"] >= 0
    assert not (tmp_path / "s").exists()
