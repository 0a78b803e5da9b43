"""The command that drives a server like many agents."""

import asyncio
import time

import pytest

from demo.load import Load
from tests.console import run
from tests.processes import free_port
from tests.scripted import Answers, Asked, Reply, Scripted, scripted
from tests.service import Service

pytestmark = pytest.mark.agent


def load(*arguments: str) -> tuple[int, list[str]]:
    done = run("load", *arguments)
    return done.status, done.lines


def url(server: Scripted) -> str:
    return f"http://127.0.0.1:{server.address}"


def slow(seconds: float) -> Answers:
    def answer(_asked: Asked) -> Reply:
        time.sleep(seconds)
        return Reply(200, {})

    return answer


def test_every_agent_reports_at_its_interval(fresh: Service) -> None:
    status, lines = load(
        "--server", fresh.url, "--hosts", "30", "--containers", "3", "--interval", "1", "--seconds", "3"
    )
    assert status == 0
    assert lines[0] == "30 hosts with 3 containers, every 1 s: 30.0 reports/s are due"
    assert lines[-1].startswith("in all: 30.0 reports/s, p50 ")
    assert fresh.sql("SELECT COUNT(*), COUNT(DISTINCT report_key) FROM reports") == [(90, 90)]
    assert fresh.sql("SELECT COUNT(*) FROM containers") == [(270,)]
    hosts = fresh.data("/api/hosts")
    assert len(hosts) == 30
    assert all(host["host_name"].startswith("load-") for host in hosts)


def test_an_unanswered_report_does_not_delay_the_next() -> None:
    """The open loop: a server that takes 0.5 s for each report is sent one every 0.3 s all the same."""
    with scripted(slow(0.5)) as server:
        fleet = Load(url(server), 2, 0, 0.3)
        asyncio.run(fleet.run(1.8, lambda _line: None))
    assert (len(fleet.took_ms), fleet.skipped) == (12, 0)
    assert min(fleet.took_ms) >= 500


def test_an_agent_that_is_answered_keeps_its_connection() -> None:
    with scripted(slow(0)) as server:
        asyncio.run(Load(url(server), 1, 0, 1).run(3, lambda _line: None))
    assert [asked.connection for asked in server.asked] == [1] * 3


def test_a_connection_that_the_server_ended_is_not_used_again() -> None:
    with scripted(lambda _asked: Reply(200, {}, {"Connection": "close"})) as server:
        fleet = Load(url(server), 1, 0, 0.2)
        asyncio.run(fleet.run(1, lambda _line: None))
    assert [asked.connection for asked in server.asked] == [1, 2, 3, 4, 5]
    assert not fleet.others


def test_what_is_due_while_four_are_unanswered_is_counted() -> None:
    with scripted(slow(2)) as server:
        fleet = Load(url(server), 1, 0, 0.1)
        asyncio.run(fleet.run(1, lambda _line: None))
    assert (len(fleet.took_ms), fleet.skipped) == (4, 6)


def test_whatever_is_not_200_is_told() -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(503, {"resultCode": "OVERLOADED"}) if asked.headers["idempotency-key"] < "8" else Reply(502, "?")

    with scripted(answer) as server:
        status, lines = load("--server", url(server), "--hosts", "40", "--interval", "1", "--seconds", "1")
    assert status == 1
    assert "x 503 OVERLOADED" in lines[-1]
    assert "x 502 not this server's answer" in lines[-1]


def test_a_server_that_is_not_there_is_told() -> None:
    status, lines = load(
        "--server", f"http://127.0.0.1:{free_port()}", "--hosts", "2", "--interval", "1", "--seconds", "1"
    )
    assert status == 1
    assert lines[-1] == "in all: 0.0 reports/s, 2 x no connection (ConnectionRefusedError)"


@pytest.mark.parametrize("option", ["--interval", "--seconds"])
def test_a_number_that_is_none_is_refused(option: str) -> None:
    status, lines = load(option, "nan")
    assert (status, lines[-1]) == (2, f"Error: Invalid value for '{option}': should be a number")


@pytest.mark.parametrize("address", ["monitor:8000", "ftp://monitor", "http://", "http://[::1", "http://a:99999"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    status, lines = load("--server", address)
    assert status == 2
    assert lines[-1].endswith("should be http://host:port")
