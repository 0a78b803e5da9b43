"""The Engine API of Docker and Podman: finds engines, and asks them over a Unix socket or TCP with TLS."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import math
import os
import socket
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Of connecting, of asking, and of the whole answer: one that comes byte by byte would hold up the report for good.
TIMEOUT_S = 3.0
# The newest version of the API whose answers the recorded ones in the tests show.
NEWEST_API = (1, 51)
_CLOSED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
_DOCKER, _PODMAN = "/var/run/docker.sock", "/run/podman/podman.sock"


class EngineError(Exception):
    """An engine that does not answer; its text is one line for the operator."""


def addresses(environ: Mapping[str, str]) -> list[str]:
    """Where engines are when nobody said so: DOCKER_HOST, or else the usual sockets that exist, each once."""
    if environ.get("DOCKER_HOST"):
        return [environ["DOCKER_HOST"]]
    rootless = [f"{environ['XDG_RUNTIME_DIR']}/podman/podman.sock"] if environ.get("XDG_RUNTIME_DIR") else []
    return each_once(f"unix://{path}" for path in (_DOCKER, _PODMAN, *rootless) if Path(path).exists())


def each_once(given: Iterable[str]) -> list[str]:
    """Without those that are another's socket: the package podman-docker makes one a link to the other."""
    found: dict[str, str] = {}
    for address in given:
        found.setdefault(_real(address), address)
    return list(found.values())


def _real(address: str) -> str:
    scheme, _, path = address.partition("://")
    return f"unix://{os.path.realpath(path)}" if scheme == "unix" else address


class Engine:
    """One engine. Its calls come from several threads; connections are kept for the next ones."""

    def __init__(self, address: str, environ: Mapping[str, str]) -> None:
        self.address = address
        self.kind = "docker"
        self.name = ""
        self.memory_bytes = math.inf
        self._tls = _tls(environ)
        self._version = ""
        self._idle: list[http.client.HTTPConnection] = []

    def connect(self) -> None:
        """Asks which engine this is, which API version both know, and what its host is.

        Raises EngineError if it does not answer; an answer of another shape raises whatever comes of reading it.
        """
        version = self._ask("/version")
        names = [str(part.get("Name")) for part in version.get("Components") or ()]
        self.kind = "podman" if any("podman" in name.lower() for name in names) else "docker"
        newest, oldest = (_number(str(version.get(key) or "1.24")) for key in ("ApiVersion", "MinAPIVersion"))
        self._version = "/v{}.{}".format(*max(min(newest, NEWEST_API), oldest))
        info = self.ask("/info")
        self.name, self.memory_bytes = str(info.get("Name") or ""), float(info.get("MemTotal") or math.inf)

    def ask(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """The answer to a GET, read from JSON. Raises EngineError."""
        return self._ask(self._version + path)

    def close(self) -> None:
        """Ends the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    def _ask(self, path: str) -> Any:  # noqa: ANN401 - JSON
        try:
            kept = self._kept()
            if kept is not None:
                with contextlib.suppress(*_CLOSED):  # meanwhile, by the engine: then it is asked anew
                    return self._get(kept, path)
            return self._get(_connection(self.address, self._tls), path)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise EngineError(_said(self.address, error)) from error

    def _kept(self) -> http.client.HTTPConnection | None:
        with contextlib.suppress(IndexError):  # another thread may take the last one at any time
            return self._idle.pop()
        return None

    def _get(self, connection: http.client.HTTPConnection, path: str) -> Any:  # noqa: ANN401 - JSON
        connection.response_class = _Answer
        if connection.sock:
            connection.sock.settimeout(TIMEOUT_S)
        try:
            connection.request("GET", path, headers={"Host": "engine"})
            answer = connection.getresponse()
            body = answer.read()
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if answer.status != http.client.OK:
            raise EngineError(f"{self.address}: {answer.status} for {path.partition('?')[0]}")
        return json.loads(body)


class _Answer(http.client.HTTPResponse):
    """An answer that has to be complete in time: a socket's own limit is for each of its reads."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - the library's own
        super().__init__(sock, *arguments, **named)
        self.fp = io.BufferedReader(_Until(time.monotonic() + TIMEOUT_S, sock, self.fp.detach()))


class _Until(io.RawIOBase):
    """What a socket gives until a moment; then it raises what the socket does for a read that takes too long."""

    def __init__(self, moment: float, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._moment, self._sock, self._raw = moment, sock, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - the library's own
        left = self._moment - time.monotonic()
        if left <= 0:
            raise socket.timeout
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


def _connection(address: str, tls: ssl.SSLContext | None) -> http.client.HTTPConnection:
    parts = urlsplit(address)
    if parts.scheme == "unix":
        if not hasattr(socket, "AF_UNIX"):
            raise EngineError(f"{address}: this system's Python has no Unix sockets")
        return _UnixConnection(parts.path)
    if parts.scheme not in ("tcp", "http", "https") or not parts.hostname:
        raise EngineError(f"{address}: should be unix:///path or tcp://host:port")
    if tls is not None or parts.scheme == "https":
        return http.client.HTTPSConnection(
            parts.hostname, parts.port or 2376, timeout=TIMEOUT_S, context=tls or ssl.create_default_context()
        )
    return http.client.HTTPConnection(parts.hostname, parts.port or 2375, timeout=TIMEOUT_S)


def _tls(environ: Mapping[str, str]) -> ssl.SSLContext | None:
    """As the docker command has it: DOCKER_TLS_VERIFY asks for it, DOCKER_CERT_PATH holds the three files."""
    if not environ.get("DOCKER_TLS_VERIFY"):
        return None
    folder = Path(environ.get("DOCKER_CERT_PATH") or Path.home() / ".docker")
    try:
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    except OSError as error:
        raise EngineError(f"{folder}: ca.pem, cert.pem and key.pem are needed there: {error}") from error
    return context


def _number(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor or 0)


def _said(address: str, error: Exception) -> str:
    """One line that says what to do, where that is known."""
    hints: Iterable[tuple[type[Exception], str]] = (
        (FileNotFoundError, "there is no such socket: is the engine running?"),
        (
            PermissionError,
            "permission denied: let the agent's user into the socket's group, or run it as root",
        ),
        (ConnectionRefusedError, "nobody listens there: is the engine running?"),
        (socket.gaierror, "the name is not known"),
        (socket.timeout, f"no answer within {TIMEOUT_S:.0f} s"),
        (ssl.SSLError, f"TLS failed: {getattr(error, 'reason', None) or error}"),
    )
    known = [hint for kind, hint in hints if isinstance(error, kind)]
    return f"{address}: {known[0] if known else f'{type(error).__name__}: {error}'}"
