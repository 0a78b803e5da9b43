"""An HTTP server, on a port or a Unix socket, that answers as a test wants, and remembers what it was asked."""

import gzip
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """One request; `connection` tells which of the connections it came by."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: int


class Reply(NamedTuple):
    """What to answer with; a body that is no text is sent as JSON."""

    status: int
    body: Any = b""
    headers: Mapping[str, str] = MappingProxyType({})


Answers = Callable[[Asked], Reply]


class Scripted:
    """What was asked so far, and how to ask."""

    def __init__(self, address: Any) -> None:  # noqa: ANN401 - a port or a path
        self.address = address
        self.asked: list[Asked] = []


@contextmanager
def scripted(answers: Answers, *, path: Path | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """A server that ends with the test; on a Unix socket if a path is given."""
    seen = Scripted(path)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet: else each answer waits 40 ms for an acknowledgement
        connections = 0

        def setup(self) -> None:
            super().setup()
            Handler.connections += 1
            self.number = Handler.connections

        def do_GET(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            raw = gzip.decompress(raw) if self.headers.get("Content-Encoding") == "gzip" else raw
            names = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, names, json.loads(raw) if raw else None, self.number)
            seen.asked.append(asked)
            reply = answers(asked)
            body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the library's names

        def address_string(self) -> str:
            return "-"

        def log_message(self, *_: object) -> None:
            pass

    kind: Any = socketserver.ThreadingUnixStreamServer if path else socketserver.ThreadingTCPServer
    with kind(str(path) if path else ("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.socket.listen(128)  # as an engine does; of more than five at once a Unix socket refuses some
        server.handle_error = lambda *_: None  # a client that went away is what some tests are about
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        seen.address = path or server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()
