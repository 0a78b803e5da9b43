"""The server as the agent sees it: one connection that is kept, and answers that are envelopes."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import ssl
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from agent import VERSION

# Longer than the server's own 15 s, after which it says that it does not know.
TIMEOUT_S = 20.0
COMPRESSED_BYTES = 1000
MAX_ANSWER_BYTES = 4 << 20


class ServerError(Exception):
    """No answer; its text is one line for the operator."""


class Answer(NamedTuple):
    """What came back; `envelope` is empty if it is not this server's own."""

    status: int
    envelope: dict[str, Any]
    retry_after_s: float

    @property
    def said(self) -> str:
        """For a person."""
        code, message = self.envelope.get("resultCode", ""), self.envelope.get("resultMessage", "")
        return (
            f"{self.status} {code}: {message}" if self.envelope else f"{self.status}, and not the server's own answer"
        )


class Server:
    """Sends bodies. Used by one thread."""

    def __init__(self, url: str, token: str, ca_file: str) -> None:
        self.url = url
        self._parts = urlsplit(url)
        self._token = token
        self._tls = ssl.create_default_context() if self._parts.scheme == "https" else None
        if self._tls and ca_file:
            self._tls.load_verify_locations(ca_file)
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, text: str, key: str = "") -> Answer:
        """One POST. Raises ServerError if there is no answer: whether it arrived is not known then."""
        body = text.encode()
        headers = {"Content-Type": "application/json", "User-Agent": f"resource-monitor-agent/{VERSION}"}
        if len(body) > COMPRESSED_BYTES:
            body, headers["Content-Encoding"] = gzip.compress(body, 5), "gzip"
        if key:
            headers["Idempotency-Key"] = key
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            return self._exchange(path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ServerError(f"{self.url}: {_said(error)}") from error

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def _exchange(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        kept = self._connection is not None
        try:
            return self._ask(path, body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            if not kept:  # else it may have been closed for its idleness: the key makes a second try harmless
                raise
            self.close()
            return self._ask(path, body, headers)

    def _ask(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        if self._connection is None:
            self._connection = self._connected()
        self._connection.request("POST", self._parts.path + path, body, headers)
        response = self._connection.getresponse()
        content = response.read(MAX_ANSWER_BYTES)
        if response.will_close or not response.isclosed():
            self.close()
        retry_after = response.headers.get("Retry-After", "")
        return Answer(response.status, _envelope(content), float(retry_after) if retry_after.isdecimal() else 0.0)

    def _connected(self) -> http.client.HTTPConnection:
        host, port = str(self._parts.hostname), self._parts.port
        if self._tls:
            return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


def _envelope(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    own = (
        isinstance(found, dict) and isinstance(found.get("success"), bool) and isinstance(found.get("resultCode"), str)
    )
    return found if own else {}


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message} (see --ca-file)"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved"
    if isinstance(error, socket.timeout):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    return getattr(error, "strerror", None) or f"{type(error).__name__} {error}".strip()
