import json
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from model.envelope import STATUS, Code
from routers.bodies import MAX_BATCH_BYTES
from tests import raw
from tests.deployed import Front, nginx
from tests.envelopes import envelope
from tests.processes import free_port
from tests.programs import wait_for
from tests.service import Service, report, running, settings_for

pytestmark = pytest.mark.slow
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
SILENT = b""


class Stub(socketserver.ThreadingTCPServer):
    """An instance that notes what reaches it; it answers with these bytes, or hangs up if there are none."""

    daemon_threads = True

    def __init__(self, answer: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.answer = answer
        self.port = int(self.server_address[1])
        self.connections = 0
        self.requests: list[bytes] = []


class Exchange(socketserver.StreamRequestHandler):
    server: Stub

    def handle(self) -> None:
        self.server.connections += 1
        while line := self.rfile.readline():
            head = b"".join([line, *iter(self.rfile.readline, b"\r\n")]).lower()
            self.rfile.read(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0))
            self.server.requests.append(head)
            if not self.server.answer:
                return
            self.wfile.write(self.server.answer)


@contextmanager
def stub(answer: bytes) -> Iterator[Stub]:
    with Stub(answer) as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield one
        finally:
            one.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def front(sqlite: Service) -> Iterator[Front]:
    """A service behind nginx, as both of its instances."""
    with nginx(sqlite.port, sqlite.port) as one:
        yield one


def test_nginx_takes_the_sample(front: Front) -> None:
    tested = subprocess.run([*front.command, "-t"], capture_output=True, text=True, check=False)
    assert (tested.returncode, "[warn]" in tested.stderr) == (0, False), tested.stderr


def test_reports_reach_an_instance_by_http_and_by_tls(front: Front, sqlite: Service) -> None:
    for name, url in (("plain", front.url), ("encrypted", front.tls_url)):
        answer = httpx.post(f"{url}/api/resources", json=report(name, "web"), verify=front.trust)
        assert (answer.status_code, envelope(answer)["resultCode"]) == (200, "0")
        assert len(sqlite.data("/api/hosts", host_name=name)) == 1


def test_t31_instance_knows_the_client_by_the_address_that_nginx_saw(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path, SERVER_FORWARDED_ALLOW_IPS="127.0.0.1")
    client = httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2"))
    with running(settings) as service, nginx(service.port, service.port) as front, client:
        forged = {"X-Forwarded-For": "127.0.0.1", "X-Request-ID": "forged"}
        assert client.post(f"{front.url}/api/resources", json={}, headers=forged).status_code == 422
        wait_for(lambda: " request method=POST" in service.log)
        [line] = [line for line in service.log.splitlines() if "request_id=forged" in line and " request " in line]
    assert "peer=127.0.0.2" in line


@pytest.mark.parametrize(
    ("path", "address"),
    [*((path, "127.0.0.1") for path in ("/", "/api/hosts", "/redoc", "/nothing")), ("/api/hosts", "127.0.0.2")],
)
def test_t06_each_header_is_there_once_behind_nginx(front: Front, sqlite: Service, path: str, address: str) -> None:
    """Also where nginx itself refuses, as it does from elsewhere."""
    browser = {"Accept": "text/html"}
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
        answer = client.get(front.url + path, headers=browser)
    own = sqlite.client.get(path, headers=browser)
    for name in ("content-security-policy", "referrer-policy", "x-content-type-options"):
        assert answer.headers.get_list(name) == own.headers.get_list(name)


def test_batch_of_the_largest_size_reaches_an_instance_and_a_larger_one_is_refused(front: Front) -> None:
    body = json.dumps({"reports": [report("batch", "web")]}).encode()
    url, kind = f"{front.url}/api/resources/batch", {"Content-Type": "application/json"}
    assert httpx.post(url, content=body.ljust(MAX_BATCH_BYTES), headers=kind).status_code == 200
    refused = httpx.post(url, content=body.ljust(MAX_BATCH_BYTES + 1), headers=kind)
    assert (refused.status_code, envelope(refused)["resultCode"]) == (413, "TOO_LARGE")


def test_nobody_deletes_a_host_through_nginx(front: Front, sqlite: Service) -> None:
    host_id = sqlite.post(report("kept")).json()["data"]["host_id"]
    refused = httpx.delete(f"{front.url}/api/hosts/{host_id}")
    assert (refused.status_code, envelope(refused)["resultCode"]) == (403, "FORBIDDEN")
    assert sqlite.data(f"/api/hosts/{host_id}")["host_name"] == "kept"


def test_reading_is_for_the_networks_that_are_listed(front: Front) -> None:
    outsider = httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2"))
    paths = ("/api/hosts", "/config", "/docs", "/health", "/")
    with outsider:
        assert {outsider.get(front.url + path).status_code for path in paths} == {403}
        assert outsider.post(f"{front.url}/monitor_info", json={"node_name": "outside"}).status_code == 200
        for path in ("/api/login", "/api/tokens", "/.change"):
            assert envelope(outsider.post(front.url + path))["resultMessage"] == "not allowed from here"
    allowed = {path: httpx.get(front.url + path).status_code for path in paths}
    assert allowed == {**dict.fromkeys(paths, 200), "/config": 403}  # which is for admins, and nobody here has a token


@pytest.mark.parametrize("given", ["agent-7.42", "not an id!", None])
def test_request_is_found_by_one_id_in_answer_and_logs(front: Front, sqlite: Service, given: str | None) -> None:
    headers = {"X-Request-ID": given} if given else {}
    answer = httpx.get(f"{front.url}/api/containers", headers=headers)
    found = answer.headers.get_list("x-request-id")
    assert len(found) == 1
    assert (found[0] == given) is (given == "agent-7.42")
    wait_for(lambda: f"request_id={found[0]}" in sqlite.log and found[0] in front.log)


@pytest.mark.parametrize(
    ("line", "header", "code"),
    [
        (b"GET /", b"Host: another", "BAD_REQUEST"),
        (b"TRACE /", b"X: y", "BAD_REQUEST"),
        (b"POST /api/resources", b"Transfer-Encoding: odd", "BAD_REQUEST"),
        (b"GET /", b"X: " + b"a" * 40_000, "HEADERS_TOO_LARGE"),
        (b"GET /" + b"a" * 40_000, b"X: y", "HEADERS_TOO_LARGE"),
        (b"nonsense", b"X: y", "BAD_REQUEST"),
    ],
    ids=["two hosts", "trace", "encoding", "header", "address", "no http"],
)
def test_what_nginx_refuses_by_itself_is_an_envelope(front: Front, line: bytes, header: bytes, code: str) -> None:
    with raw.connect(front.port) as connection:
        connection.sendall(
            line + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + header.ljust(1, b"A") + b"\r\n\r\n"
        )
        [answer] = raw.answers(raw.received(connection))
    assert (answer.status, answer.code) == (STATUS[Code(code)], code)


def test_report_that_an_instance_may_have_committed_goes_to_no_other() -> None:
    with stub(SILENT) as one, stub(SILENT) as other, nginx(one.port, other.port) as front:
        answer = httpx.post(f"{front.url}/api/resources", json=report("once"))
        assert (answer.status_code, envelope(answer)["resultCode"]) == (503, "COMMIT_UNKNOWN")
        assert answer.headers["retry-after"] == "2"
        assert len(one.requests + other.requests) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_change_that_an_instance_may_have_made_goes_to_no_other(method: str) -> None:
    """By nginx's own rule what is idempotent would."""
    with stub(SILENT) as one, stub(SILENT) as other, nginx(one.port, other.port) as front:
        answer = httpx.request(method, f"{front.url}/api/hosts/7/tags?a=%2F")
        assert (answer.status_code, envelope(answer)["resultCode"]) == (503, "COMMIT_UNKNOWN")
        [request] = one.requests + other.requests
    assert request.startswith(f"{method} /api/hosts/7/tags?a=%2F http/1.1\r\n".lower().encode())


def test_instance_is_told_the_host_that_was_asked_with_its_port() -> None:
    with stub(OK) as one, nginx(one.port, one.port) as front:
        httpx.get(f"{front.url}/api/hosts")
        with raw.connect(front.port) as connection:
            connection.sendall(b"GET /api/hosts HTTP/1.0\r\n\r\n")
            raw.received(connection)
        asked = [request.partition(b"\r\nhost: ")[2].partition(b"\r\n")[0] for request in one.requests]
    assert asked == [f"127.0.0.1:{front.port}".encode(), b"monitor.example.internal"]


def test_reading_is_tried_at_another_instance() -> None:
    with stub(SILENT) as one, stub(OK) as other, nginx(one.port, other.port) as front:
        assert {httpx.get(f"{front.url}/api/hosts").status_code for _ in range(5)} == {200}


def test_instance_that_is_down_costs_one_report_in_two_seconds_and_is_passed_over() -> None:
    with stub(OK) as one, nginx(one.port, free_port()) as front:
        began = time.monotonic()
        statuses = [httpx.post(f"{front.url}/api/resources", json=report("a")).status_code for _ in range(20)]
        assert statuses.count(503) <= 1 + (time.monotonic() - began) // 2
        assert set(statuses) <= {200, 503}


def test_connections_to_the_instances_are_kept() -> None:
    with stub(OK) as one, nginx(one.port, one.port) as front:
        for _ in range(20):
            httpx.post(f"{front.url}/api/resources", json=report("a"))
        assert one.connections <= 2
