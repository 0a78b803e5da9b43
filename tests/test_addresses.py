import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts

from routers.clients import Proxies
from services.access import INTAKE, PROXIED, SIGN_IN
from tests.envelopes import envelope
from tests.logs import wait_until
from tests.raw import answers, connect, received
from tests.service import SAMPLE, Service, report, running, settings_for

pytestmark = pytest.mark.security

PROXY, OTHER = "10.0.0.5", "203.0.113.9"
CHAINS: list[tuple[str, list[bytes], str | None]] = [
    (PROXY, [], PROXY),
    (PROXY, [b"203.0.113.9"], OTHER),
    (PROXY, [b"203.0.113.9:4711"], OTHER),
    (PROXY, [b"127.0.0.1, 203.0.113.9"], OTHER),
    (PROXY, [b"127.0.0.1", b"203.0.113.9"], OTHER),
    (PROXY, [b"127.0.0.1, 203.0.113.9, 10.1.2.3,10.0.0.5"], OTHER),
    (PROXY, [b"::ffff:203.0.113.9"], OTHER),
    ("::ffff:10.0.0.5", [b"203.0.113.9"], OTHER),
    (PROXY, [b"2001:db8::1"], "2001:db8::1"),
    (PROXY, [b"[2001:DB8::1]:4711"], "2001:db8::1"),
    (PROXY, [b"10.1.2.3"], "10.1.2.3"),
    (PROXY, [b"127.0.0.1"], "127.0.0.1"),
    (PROXY, [b"127.0.0.1, unknown"], None),
    (PROXY, [b"127.0.0.1,"], None),
    (PROXY, [b"fe80::1%any\tthing"], None),
    (PROXY, [b""], None),
    (OTHER, [b"127.0.0.1"], OTHER),
    ("10.0.0.6", [b"127.0.0.1"], "10.0.0.6"),
    ("not an address", [b"127.0.0.1"], "not an address"),
]


@pytest.mark.parametrize(("peer", "forwarded", "client"), CHAINS)
def test_t31_the_client_is_the_first_from_the_right_that_is_no_proxy_of_ours(
    peer: str, forwarded: list[bytes], client: str | None
) -> None:
    headers = [(b"x-forwarded-for", value) for value in forwarded]
    found = Proxies([PROXY, "10.1.0.0/16"]).client({"client": (peer, 1), "headers": headers})
    assert (found[0] if found else None) == client


def test_t31_a_socket_without_an_address_has_none() -> None:
    assert Proxies([PROXY]).client({"client": None, "headers": [(b"x-forwarded-for", b"127.0.0.1")]}) is None


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that takes this machine for its proxy, and is reached by one name and one address."""
    folder = tmp_path_factory.mktemp("behind")
    given = {"SERVER_FORWARDED_ALLOW_IPS": "127.0.0.1", "SERVER_ALLOWED_HOSTS": "Monitor.example,127.0.0.1,::1"}
    with running(settings_for(f"sqlite:///{folder}/test.db", folder, **given)) as one:
        yield one


def test_t31_a_forwarded_address_is_the_one_of_the_log(behind: Service) -> None:
    behind.client.get("/nothing", headers={"X-Forwarded-For": "127.0.0.1, 203.0.113.9", "X-Request-ID": "far"})
    wait_until(lambda: "status=404" in behind.log and "request_id=far" in behind.log)
    lines = [line for line in behind.log.splitlines() if "request_id=far" in line]
    assert lines
    assert all("peer=203.0.113.9" in line for line in lines)


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        (None, 404),
        ("127.0.0.1", 403),
        ("::1", 403),
        ("203.0.113.9", 403),
        ("127.0.0.1, 203.0.113.9", 403),
        ("127.0.0.1, x", 403),
    ],
)
def test_t31_who_comes_through_a_proxy_is_not_the_machine_itself(
    behind: Service, forwarded: str | None, status: int
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert behind.client.delete("/api/hosts/404", headers=headers).status_code == status


def test_t31_a_forwarded_address_is_ignored_unless_its_sender_is_listed(sqlite: Service) -> None:
    sqlite.client.get("/nothing", headers={"X-Forwarded-For": "203.0.113.9", "X-Request-ID": "unlisted"})
    wait_until(lambda: "request_id=unlisted" in sqlite.log)
    line = next(line for line in sqlite.log.splitlines() if "request_id=unlisted" in line)
    assert "peer=127.0.0.1" in line


@pytest.mark.parametrize("mode", ["off", "observe"])
def test_t31_nothing_is_changed_through_a_proxy_while_no_token_is_asked_for(tmp_path: Path, mode: str) -> None:
    """Whatever a proxy on this machine adds: everybody it speaks for would be this machine otherwise."""
    ids = {"host_id": "1", "token_id": "0" * 12, "refused_id": "1"}
    with running(settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path, SECURITY_MODE=mode)) as service:
        assert len(changes(service)) >= 6
        for method, path in changes(service):
            body: dict[str, str] | None = None if method == "DELETE" else {}
            ask = partial(service.client.request, method, path.format(**ids), json=body)
            assert ask().status_code in (404, 422), path
            assert {ask(headers={name: "x"}).status_code for name in PROXIED} == {403}, path


def changes(service: Service) -> list[tuple[str, str]]:
    """The method and path of every route that changes something, but for those of reports and of people's sign-ins."""
    routes = iter_route_contexts(service.app.routes)
    found = [(method, route.path or "") for route in routes for method in route.methods or ()]
    return [(method, path) for method, path in found if method not in ("GET", "HEAD") and path not in INTAKE | SIGN_IN]


HOSTS = {
    "monitor.example": 200,
    "MONITOR.example:8000": 200,
    "127.0.0.1:1": 200,
    "[::1]": 200,
    "[::1]:8000": 200,
    "evil.example": 400,
    "monitor.example.evil.example": 400,
    "evil.example:80@monitor.example": 400,
    "": 400,
    "[::2]": 400,
}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/api/hosts", "/", "/docs", "/health", "/static/docs.js"])
def test_t30_another_host_is_refused(behind: Service, host: str, path: str) -> None:
    answer = behind.client.get(path, headers={"Host": host})
    assert answer.status_code == HOSTS[host]
    if answer.status_code == 400:
        assert envelope(answer)["resultCode"] == "BAD_REQUEST"


@pytest.mark.parametrize("path", ["/api/resources", "/monitor_info", "/api/resources/batch"])
def test_t30_a_report_to_another_host_is_refused_and_not_stored(behind: Service, path: str) -> None:
    body = {**report("misled"), "reports": [report("misled")]}
    assert behind.client.post(path, json=body, headers={"Host": "evil.example"}).status_code == 400
    assert behind.data("/api/hosts", host_name="misled") == []


def test_t30_without_a_host_none_is_the_right_one(behind: Service) -> None:
    with connect(behind) as connection:
        connection.sendall(b"GET /api/hosts HTTP/1.0\r\n\r\n")
        [answer] = answers(received(connection))
    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


def test_t30_whoever_watches_the_process_may_call_it_anything(behind: Service) -> None:
    assert behind.client.get("/health/live", headers={"Host": socket.gethostname()}).status_code == 200


def test_t30_any_host_is_served_by_default(sqlite: Service) -> None:
    assert sqlite.client.get("/api/hosts", headers={"Host": "any.example"}).status_code == 200


def test_t30_no_answer_repeats_the_host(sqlite: Service) -> None:
    sqlite.post(SAMPLE)
    sqlite.post(report("another"))
    for path in ("/", "/docs", "/redoc", "/openapi.json", "/api/hosts?limit=1", "/nothing", "/static", "/api/hosts//"):
        answer = sqlite.client.get(path, headers={"Host": "evil.example", "Accept": "text/html"})
        assert "evil.example" not in answer.text
        assert not [value for value in answer.headers.values() if "evil.example" in value]
