import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import uvicorn

from config.config import load
from routers import limits
from routers.bodies import FREE_BYTES
from routers.limits import BODIES_BYTES, Budget, Connections
from routers.serving import options
from tests.intake import Wire, refused, stored, until, unwritten
from tests.logs import Reader
from tests.raw import answers, connect, posted, received
from tests.service import SAMPLE, Service, report, running, settings_for

pytestmark = pytest.mark.security

GET = b"GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n"
MOST = 5


def connections(**environ: str) -> Connections:
    return Connections(load(environ, Path("no-such-file")))


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Service]:
    """A service that grants each address few connections."""
    given = {"SECURITY_MAX_CONNECTIONS_PER_IP": str(MOST)}
    with running(settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path, **given)) as one:
        yield one


def alive(connection: socket.socket) -> bool:
    """Whether one more request on it is answered."""
    connection.sendall(GET)
    answer = b""
    while not answer.endswith(b"}}"):
        piece = connection.recv(1 << 16)
        if not piece:
            return False
        answer += piece
    return answer.startswith(b"HTTP/1.1 200 ")


def from_address(service: Service, address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), 15, (address, 0))


def test_t27_surplus_connections_of_an_address_are_closed_and_no_others(narrow: Service) -> None:
    log = Reader(narrow)
    with ExitStack() as stack:
        held = [stack.enter_context(from_address(narrow, "127.0.0.2")) for _ in range(MOST)]
        for one in held:
            assert alive(one)
        for _ in range(3):
            with from_address(narrow, "127.0.0.2") as surplus:
                assert received(surplus) == b""
        stored(narrow.post(SAMPLE))
        for one in held:
            assert alive(one)
        held[0].close()
        until(lambda: served(narrow, "127.0.0.2"))
    lines = [line for line in log.all() if "too_many_connections" in line]
    assert len(lines) == 1
    assert "peer=127.0.0.2 limit=5" in lines[0]


def served(service: Service, address: str) -> bool:
    with from_address(service, address) as one:
        one.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        return bool(received(one))


def test_t27_no_address_is_limited_by_default() -> None:
    found = connections()
    assert all(found.enter("192.0.2.1") for _ in range(100))


def test_t27_a_trusted_proxy_may_have_as_many_as_it_likes() -> None:
    found = connections(SECURITY_MAX_CONNECTIONS_PER_IP="2", SERVER_FORWARDED_ALLOW_IPS="10.0.0.0/8")
    assert all(found.enter("10.0.0.1") for _ in range(10))
    assert [found.enter("192.0.2.1") for _ in range(3)] == [True, True, False]


def test_t27_of_ipv6_the_network_is_limited_and_a_proxy_in_it_is_not() -> None:
    found = connections(SECURITY_MAX_CONNECTIONS_PER_IP="2", SERVER_FORWARDED_ALLOW_IPS="2001:db8::1")
    assert all(found.enter("2001:db8::1") for _ in range(10))
    assert [found.enter(f"2001:db8::a:{number}") for number in range(3)] == [True, True, False]
    assert [found.enter(address) for address in ("2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1")] == [True] * 3
    assert not found.enter("::ffff:192.0.2.1")
    found.leave("2001:db8::a:0")
    assert found.enter("2001:db8::b")


def test_t27_lines_of_one_network_are_one_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    found = connections(SECURITY_MAX_CONNECTIONS_PER_IP="1")
    found.enter("2001:db8::1")
    assert not any(found.enter(f"2001:db8::{number}") for number in range(2, 9))
    assert len(caplog.records) == 1


def test_t27_of_addresses_without_a_connection_nothing_is_kept() -> None:
    found = connections(SECURITY_MAX_CONNECTIONS_PER_IP="1")
    for number in range(1000):
        address = f"10.0.{number // 250}.{number % 250}"
        assert found.enter(address)
        assert not found.enter(address)
        found.leave(address)
    assert (found._all, len(found._of)) == (0, 0)


@pytest.mark.parametrize(("files", "most"), [(256, 192), (100, 75), (65_536, 65_472)])
def test_t27_connections_leave_files_to_the_database_and_the_log(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int
) -> None:
    monkeypatch.setattr(limits, "files_allowed", lambda: files)
    found = connections()
    granted = [found.enter(str(number)) for number in range(most + 3)]
    assert granted == [True] * most + [False] * 3
    found.leave("0")
    assert found.enter("again")


def test_t27_where_nothing_limits_files_nothing_limits_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "files_allowed", lambda: None)
    found = connections()
    assert all(found.enter("192.0.2.1") for _ in range(100_000))


@pytest.fixture
def small(sqlite: Service, monkeypatch: pytest.MonkeyPatch) -> Budget:
    """The service's budget for bodies, of 100 kB."""
    budget = Budget(100_000)
    monkeypatch.setattr(sqlite.state["limits"], "bodies", budget)
    return budget


def padded(host: str, size: int) -> bytes:
    return json.dumps(report(host)).encode().ljust(size)


def test_bodies_that_are_being_received_share_64_mib(sqlite: Service) -> None:
    assert sqlite.state["limits"].bodies.left == BODIES_BYTES == 64 << 20


@pytest.mark.parametrize("path", ["/api/resources", "/monitor_info", "/api/resources/batch"])
def test_surplus_bodies_are_refused_while_usual_reports_come_through(sqlite: Service, small: Budget, path: str) -> None:
    with ExitStack() as stack:
        for _ in range(2):
            holder = stack.enter_context(Wire(sqlite))
            holder.head(Content_Length="1000000")
            holder.send(b" " * (FREE_BYTES + 45_000))
        until(lambda: small.left == 10_000)
        with unwritten(sqlite):
            surplus = stack.enter_context(Wire(sqlite))
            surplus.head(path, Content_Length="1000000")
            surplus.send(b" " * (FREE_BYTES + 20_000))
            answer = surplus.answer()
            refused(answer, 503, "OVERLOADED")
        assert (answer.headers["retry-after"], answer.headers["connection"]) == ("2", "close")
        stored(sqlite.post(SAMPLE))
        in_pieces(sqlite, padded("usual", FREE_BYTES))
        in_pieces(sqlite, padded("a little more", FREE_BYTES + 10_000))
    until(lambda: small.left == 100_000)
    in_pieces(sqlite, padded("large", FREE_BYTES + 100_000))


def in_pieces(service: Service, body: bytes) -> None:
    """Sends a report so that the handler sees it come in parts."""
    with connect(service) as connection:
        raw = posted(body, "Connection: close")
        connection.sendall(raw[:-1000])
        time.sleep(0.05)  # the handler has begun to wait for the rest
        connection.sendall(raw[-1000:])
        [answer] = answers(received(connection))
    assert answer.code == "0"


ENDS: dict[str, Callable[[Wire], object]] = {
    "hangs up": lambda wire: wire.send(b""),
    "is too large": lambda wire: wire.send(b"200000\r\n" + b" " * 0x200000 + b"\r\n0\r\n\r\n"),
    "is no json": lambda wire: wire.send(b"0\r\n\r\n"),
    "breaks": lambda wire: wire.send(b"zz\r\n"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_body_gives_back_what_it_held_however_it_ends(sqlite: Service, small: Budget, end: str) -> None:
    with Wire(sqlite) as wire:
        wire.head(Transfer_Encoding="chunked")
        wire.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        until(lambda: small.left == 100_000 - 0x10000 + FREE_BYTES)
        ENDS[end](wire)
    until(lambda: small.left == 100_000)


def test_a_report_in_one_piece_asks_no_budget(sqlite: Service, small: Budget) -> None:
    small.left = 0
    stored(sqlite.post(SAMPLE))
    answer = httpx.post(f"{sqlite.url}/api/resources", content=padded("large", 500_000))
    refused(answer, 503, "OVERLOADED")


def test_t28_idle_connections_are_no_load(sqlite: Service) -> None:
    assert uvicorn.Config(sqlite.app, **options(sqlite.settings)).limit_concurrency is None
    with ExitStack() as stack:
        idle = [stack.enter_context(connect(sqlite)) for _ in range(300)]
        for one in idle:
            assert alive(one)
        for number in range(20):
            stored(sqlite.post(report(f"beside-{number}")))
        for one in idle:
            assert alive(one)
