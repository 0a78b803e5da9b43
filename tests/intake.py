"""What the tests of the intake share: how an answer is read, and that a refused report left nothing behind."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import httpx

from tests import canary
from tests.service import Service

INTAKES = ("/api/resources", "/monitor_info")


def stored(answer: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    """The data of an accepted report."""
    body = answer.json()
    assert (answer.status_code, body["success"], body["resultCode"]) == (200, True, "0"), answer.text
    return body["data"]


def refused(answer: httpx.Response, status: int, code: str) -> Any:  # noqa: ANN401 - JSON
    """The data of a refusal, which is the envelope like everything else."""
    body = answer.json()
    assert body.keys() == {"success", "resultCode", "resultMessage", "data"}
    assert (answer.status_code, body["success"], body["resultCode"]) == (status, False, code), answer.text
    return body["data"]


def rows(service: Service) -> tuple[int, ...]:
    """How many hosts, reports, containers and minutes there are."""
    tables = ("hosts", "reports", "containers", "rollup_pending")
    return tuple(service.sql("SELECT " + ", ".join(f"(SELECT COUNT(*) FROM {table})" for table in tables))[0])


@contextmanager
def unwritten(service: Service) -> Iterator[None]:
    """Nothing is written meanwhile."""
    before = rows(service)
    yield
    assert rows(service) == before


def host_of(service: Service, name: str) -> dict[str, Any]:
    """The one host of a name."""
    [host] = service.data("/api/hosts", host_name=name)
    assert isinstance(host, dict)
    return host


def containers_of(service: Service, name: str) -> list[dict[str, Any]]:
    """A host's current containers."""
    found: list[dict[str, Any]] = service.data("/api/containers", host_name=name)
    return found


def until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    """Waits for a condition."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


class Wire:
    """A bare connection: what no client library would send, and when the server closes."""

    def __init__(self, service: Service) -> None:
        self._socket = socket.create_connection(("127.0.0.1", service.port), timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def head(self, path: str = "/api/resources", **headers: str) -> None:
        """Sends a POST's request line and headers."""
        lines = [
            f"POST {path} HTTP/1.1",
            "Host: test",
            *(f"{name.replace('_', '-')}: {headers[name]}" for name in headers),
        ]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._socket.sendall(data)

    def answer(self) -> httpx.Response:
        """The answer, when the server has closed the connection behind it."""
        received = b""
        while piece := self._socket.recv(65536):
            received += piece
        assert canary.leaks(received) == []
        head, _, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
        return httpx.Response(int(status.split()[1]), headers=headers, content=body)
