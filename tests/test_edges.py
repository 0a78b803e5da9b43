import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from routers import protocol
from routers.protocol import Protocol
from routers.serving import options
from tests.envelopes import envelope
from tests.logs import wait_until
from tests.processes import free_port
from tests.raw import answers, connect, posted, received
from tests.service import SAMPLE, Service, process, running, settings_for

DOCS = ("/docs", "/redoc", "/openapi.json", "/docs-assets/swagger-ui.css")
EDGES = {
    "too many headers": (b"GET /health/live HTTP/1.1\r\nHost: h\r\n" + b"X: a\r\n" * 101 + b"\r\n", 431),
    "too long an address": (b"GET /health/live?" + b"a" * 9000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 431),
    "no host": (b"GET /health/live HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "chunked in HTTP/1.0": (b"POST /api/resources HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "HTTP/2.0": (b"GET /health/live HTTP/2.0\r\nHost: h\r\nConnection: close\r\n\r\n", 400),
    "not UTF-8": (b"GET /%ff HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 400),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a process that the owner's own command started, which knows nothing of our protocol."""
    folder, port = tmp_path_factory.mktemp("plain"), free_port()
    environ = {"DATABASE_URL": f"sqlite:///{folder}/test.db", "LOGGING_FILE_PATH": str(folder / "app.log")}
    command = ["-m", "uvicorn", "main:app", "--http", "httptools", "--port", str(port)]
    with process(command, environ, folder):
        wait_until(lambda: "running on" in (folder / "out.log").read_text(), 30)
        yield port


def test_docs_are_there_by_default(sqlite: Service) -> None:
    assert [sqlite.client.get(path).status_code for path in DOCS] == [200] * 4


def test_docs_can_be_switched_off(new_url: Callable[[str], str], tmp_path: Path) -> None:
    with running(settings_for(new_url("sqlite"), tmp_path, APP_DOCS="false")) as service:
        assert [envelope(service.client.get(path))["resultCode"] for path in DOCS] == ["NOT_FOUND"] * 4
        assert not set(service.data("/")["links"].values()) & set(DOCS)
        assert service.post(SAMPLE).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("edge", EDGES)
def test_edges_hold_under_plain_uvicorn_too(plain: int, edge: str) -> None:
    raw, status = EDGES[edge]
    with connect(plain) as connection:
        connection.sendall(raw)
        found = answers(received(connection))
    assert [answer.status for answer in found] == [status]
    assert found[0].code in ("BAD_REQUEST", "HEADERS_TOO_LARGE")


def test_protocol_reaches_the_workers(sqlite: Service) -> None:
    config = uvicorn.Config("main:app", **options(sqlite.settings))
    arrived: uvicorn.Config = pickle.loads(pickle.dumps(config))  # noqa: S301 - as uvicorn hands it to its workers
    arrived.load()
    assert arrived.http_protocol_class is Protocol


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_protocol_works_on_either_loop(loop: str, tmp_path: Path) -> None:
    """Windows has no uvloop."""
    port = free_port()
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/test.db", "LOGGING_FILE_PATH": str(tmp_path / "app.log")}
    command = ["-m", "uvicorn", "main:app", "--http", "routers.protocol:Protocol", "--loop", loop, "--port", str(port)]
    with process(command, environ, tmp_path):
        wait_until(lambda: "running on" in (tmp_path / "out.log").read_text(), 30)
        with connect(port) as connection:
            connection.sendall(posted(b"{}") + b"garbage\r\n\r\n")
            assert [answer.code for answer in answers(received(connection))] == ["VALIDATION", "BAD_REQUEST"]
        with connect(port) as connection:
            connection.sendall(posted(b" " * 2_000_000))
            assert [answer.code for answer in answers(received(connection))] == ["TOO_LARGE"]


def test_server_does_not_say_what_it_runs_on(sqlite: Service) -> None:
    assert "server" not in sqlite.client.get("/health/live").headers


def test_forwarded_addresses_are_not_believed(sqlite: Service) -> None:
    forged = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Forwarded-Proto": "https"}
    sqlite.client.get("/nothing", headers={**forged, "X-Request-ID": "forged"})
    wait_until(lambda: any("request_id=forged" in line and " request " in line for line in sqlite.log.splitlines()))
    line = next(line for line in sqlite.log.splitlines() if "request_id=forged" in line and " request " in line)
    assert "peer=127.0.0.1" in line


def test_addresses_in_answers_do_not_believe_the_host_header(sqlite: Service) -> None:
    for name in ("one", "two"):
        sqlite.post({"host": {"host_name": name}})
    link = sqlite.client.get("/api/hosts?limit=1", headers={"Host": "evil.example"}).headers["link"]
    assert link.startswith("</api/hosts?limit=1&cursor=")


def test_connection_is_kept_for_the_next_report(sqlite: Service) -> None:
    with httpx.Client(base_url=sqlite.url) as client:
        for _ in range(3):
            assert "connection" not in client.post("/api/resources", json=SAMPLE).headers


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n"])
def test_t27_silence_before_the_first_request_is_ended(
    sqlite: Service, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    assert protocol.FIRST_REQUEST_S == 10
    monkeypatch.setattr(protocol, "FIRST_REQUEST_S", 0.3)
    with connect(sqlite.port) as connection:
        connection.sendall(sent)
        assert received(connection) == b""


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n"])
def test_t27_silence_behind_an_answer_is_ended(sqlite: Service, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    complete = Protocol.on_response_complete

    def impatient(self: Protocol) -> None:
        assert self.timeout_keep_alive == 75
        self.timeout_keep_alive = 0.3  # type: ignore[assignment]
        complete(self)

    monkeypatch.setattr(Protocol, "on_response_complete", impatient)
    with connect(sqlite.port) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n" + sent)
        assert [answer.code for answer in answers(received(connection))] == ["0"]


def test_t27_a_connection_that_was_answered_may_wait_longer_than_a_new_one(
    sqlite: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "FIRST_REQUEST_S", 2.0)
    with connect(sqlite.port) as connection, connect(sqlite.port) as silent:
        connection.sendall(posted(b"{}"))
        answer = b""
        while not answer.endswith(b"}"):  # its head may come before its body
            piece = connection.recv(1 << 16)
            assert piece, answer
            answer += piece
        assert answer.startswith(b"HTTP/1.1 422 ")
        assert received(silent) == b""
        connection.sendall(posted(b"{}", "Connection: close"))
        assert [answer.code for answer in answers(received(connection))] == ["VALIDATION"]
