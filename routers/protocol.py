"""HTTP as it arrives: what is no request gets an envelope all the same, and floods end while they come in."""

import asyncio
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from model.envelope import Code, Failure
from routers.limits import Connections, Limits

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 << 10
MAX_LINE_BYTES = 8 << 10
# From a request's first byte to its last: its head and body share one limit of time.
RECEIVE_TIMEOUT_S = 10.0
# From a connection to its first request; between two of them it may be idle for as long as uvicorn is told.
FIRST_REQUEST_S = 10.0
# What is parsed at a time, and with it how much of a flood is seen before it is refused.
PIECE = 16 << 10
# How long a client that is still sending may take to read why it should stop: a reset would destroy the answer.
LINGER_S = 2.0
# Where the protocol leaves, for the first of our middleware, why a request cannot be finished.
REFUSED = "refused"

_CLOSE = {"Connection": "close"}


def too_large() -> Failure:
    """The refusal of a request line or header block over its limit."""
    return Failure(Code.HEADERS_TOO_LARGE, "request line or headers too large", headers=_CLOSE)


def malformed() -> Failure:
    """The refusal of what is not HTTP, or could be read in two ways."""
    return Failure(Code.BAD_REQUEST, "malformed request", headers=_CLOSE)


class Protocol(HttpToolsProtocol):
    """Uvicorn's protocol; a refusal takes its turn among the answers and is made where all others are."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own arguments
        super().__init__(*args, **kwargs)
        self._unparsed = bytearray()
        self._fields = self._head_bytes = 0  # of the parts that are complete
        self._silent_bytes = 0  # parsed since the parser last had something to tell
        self._in_body = False
        self._deaf = False
        self._timer: asyncio.TimerHandle | None = None
        self._counted = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        self._counted = self._connections.enter(self._peer)
        if self._counted:
            self.timeout_keep_alive_task = self.loop.call_later(FIRST_REQUEST_S, self.timeout_keep_alive_handler)
        else:
            self._deaf = True
            transport.close()

    @property
    def _connections(self) -> Connections:
        limits: Limits = self.app_state["limits"]
        return limits.connections

    @property
    def _peer(self) -> str:
        """A Unix socket shows no address."""
        return self.client[0] if self.client else ""

    def connection_lost(self, exc: Exception | None) -> None:
        if self._counted:
            self._connections.leave(self._peer)
        self._deaf = True
        self._unparsed.clear()
        self._stop_timer()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        if not self._deaf:
            self._unparsed += data
            self._parse()

    def _parse(self) -> None:
        """Parses piece by piece, and none while a request waits for its turn: thousands fit into one read."""
        try:
            while self._unparsed and not self.pipeline and not self._deaf:
                piece = bytes(self._unparsed[:PIECE])
                del self._unparsed[:PIECE]
                self._silent_bytes += len(piece)
                self._feed(piece)
                if self._head_bytes + self._silent_bytes > MAX_HEADER_BYTES + MAX_LINE_BYTES:
                    raise too_large()
        except Failure as failure:
            self._refuse(failure)
        except httptools.HttpParserError as error:
            self._refuse(error.__context__ if isinstance(error.__context__, Failure) else malformed())
        if self._unparsed:
            self.flow.pause_reading()

    def _feed(self, piece: bytes) -> None:
        """Ignores an Upgrade: Java's client asks for HTTP/2 beside its report, which the parser would drop."""
        while piece:
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                piece = self._head_without_upgrade() + piece[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)  # the old one takes the rest for another protocol
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        fields = [b"%s: %s\r\n" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"%s %s HTTP/%s\r\n%s\r\n" % (method, self.url, version, b"".join(fields))

    def _should_upgrade_to_ws(self) -> bool:
        return False

    def on_message_begin(self) -> None:
        """Only a request ends idleness: empty lines may come before it for ever."""
        self._unset_keepalive_if_required()
        super().on_message_begin()
        self._fields = self._head_bytes = self._silent_bytes = 0
        self._in_body = False
        self._timer = self._timer or self.loop.call_later(RECEIVE_TIMEOUT_S, self._overdue)

    def on_url(self, url: bytes) -> None:
        self._silent_bytes = 0
        if len(self.url) + len(url) > MAX_LINE_BYTES:
            raise too_large()
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._silent_bytes = 0
        self._fields += 1
        self._head_bytes += len(name) + len(value) + 4
        if self._fields > MAX_HEADERS or self._head_bytes > MAX_HEADER_BYTES:
            raise too_large()
        if not self._in_body:  # a trailer must not pass for a header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.get_method() == b"CONNECT":
            raise malformed()
        if self.parser.should_upgrade():
            return
        self._unset_keepalive_if_required()  # set if the answer before this one ended while its headers came
        super().on_headers_complete()
        self._in_body = True
        self.cycle.transport = cast("asyncio.Transport", _Closing(self))

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_body = False
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._deaf and not self.pipeline:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        if self._unparsed:
            self._parse()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _overdue(self) -> None:
        self._timer = None
        self._refuse(Failure(Code.TIMEOUT, "the request was not received within 10 s", headers=_CLOSE))

    def _refuse(self, failure: Failure) -> None:
        """Answers in the place of the request it is about, behind those before it, and hears no more."""
        self._deaf = True
        self._unparsed.clear()
        self._stop_timer()
        if not self._in_body:
            self._answer_headless(failure)
        elif self.cycle.response_started:
            self.cycle.keep_alive = False
            if self.cycle.response_complete:
                self.transport.close()
        else:
            cast("dict[str, Any]", self.cycle.scope)[REFUSED] = failure
            self.cycle.message_event.set()

    def _answer_headless(self, failure: Failure) -> None:
        """Makes up the request that never became one."""
        if self.scope is None or "method" in self.scope:
            self.on_message_begin()
            self._stop_timer()
        scope = cast("dict[str, Any]", self.scope)
        scope.update({"method": "-", "path": "-", "raw_path": b"-", "query_string": b"", REFUSED: failure})
        before, self.cycle = self.cycle, self._cycle()
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.pipeline.appendleft((self.cycle, self.app))

    def _cycle(self) -> RequestResponseCycle:
        return RequestResponseCycle(
            scope=self.scope,
            transport=cast("asyncio.Transport", _Closing(self)),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )

    def close(self) -> None:
        """Closes behind an answer; one that came while the client was sending is given time to be read."""
        if not (self._in_body or self._deaf) or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._deaf = True
        self._unparsed.clear()
        self.pipeline.clear()
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_S, self.transport.close)


class _Closing:
    """The transport as one request sees it: closing it is left to the protocol."""

    def __init__(self, protocol: Protocol) -> None:
        self._transport = protocol.transport
        self.close = protocol.close

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()
