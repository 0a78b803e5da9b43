"""HTTP by hand, for what no client library would send."""

import json
import socket
from typing import Any, NamedTuple

from tests import canary
from tests.service import Service

TIMEOUT_S = 15.0


class Answer(NamedTuple):
    """One answer as it came: `headers` in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The envelope's result code; anything but a whole envelope fails here."""
        envelope: dict[str, Any] = json.loads(self.body)
        assert envelope.keys() == {"success", "resultCode", "resultMessage", "data"}
        assert self.headers["x-request-id"]
        code: str = envelope["resultCode"]
        return code


def connect(server: Service | int) -> socket.socket:
    """A connection to a service, or to whatever listens on a port."""
    return socket.create_connection(("127.0.0.1", server if isinstance(server, int) else server.port), TIMEOUT_S)


def received(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    everything = b"".join(parts)
    assert canary.leaks(everything) == []
    return everything


def answers(raw: bytes) -> list[Answer]:
    """Takes apart what was received; an interim answer is one too."""
    found = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = int(headers.get("content-length", 0))
        found.append(Answer(int(first.split()[1]), headers, raw[:size]))
        raw = raw[size:]
    return found


def exchange(service: Service, *parts: bytes) -> list[Answer]:
    """Sends the parts on one connection and gives every answer until the server closes."""
    with connect(service) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before everything was sent
        return answers(received(connection))


def posted(body: bytes, *headers: str, target: str = "/api/resources") -> bytes:
    """A whole POST whose body has its right length."""
    lines = [f"POST {target} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body
