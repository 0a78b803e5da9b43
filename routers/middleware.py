"""The edge of every request: its id, what is refused before any route, the last resort, and its line in the log."""

import logging
import random
import re
import time
from itertools import chain
from urllib.parse import unquote_to_bytes

from fastapi import Request
from starlette._utils import get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config.config import Settings
from logger import event, request_id
from model.envelope import Code, Failure
from routers.clients import Proxies, host_of, peer_of
from routers.errors import Bugs, on_failure
from routers.headers import values
from routers.pages import NoPage
from routers.protocol import MAX_HEADER_BYTES, MAX_HEADERS, MAX_LINE_BYTES, REFUSED, malformed, too_large
from services.access import INTAKE
from utils.token_text import hide_alone

logger = logging.getLogger("routers.access")

# Tells everyone the same, and is asked by whoever watches over the process, by whatever address it has there.
LIVE = "/health/live"
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# What every answer carries; a page brings a policy of its own, and nothing else that is answered is to do anything.
_PAGE: tuple[tuple[bytes, bytes], ...] = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
_DATA = (*_PAGE, (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"))
# What a token showed is nobody else's; what may be kept says so itself.
_FRESH = (b"cache-control", b"no-store")


class Edge:
    """Pure ASGI, outermost of ours: whatever happens inside, an envelope leaves and one line is written."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = Bugs(app)
        server = settings.server
        self._hosts = None if "*" in server.allowed_hosts else frozenset(server.allowed_hosts)
        self._proxies = Proxies(server.forwarded_allow_ips) if server.forwarded_allow_ips else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request; anything but HTTP passes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, _plainly(send))
            return
        if self._proxies:
            scope["client"] = self._proxies.client(scope)
        exchange = _Exchange(scope, receive, send)
        token = request_id.set(exchange.id)
        try:
            await self._answer(scope, exchange)
        finally:
            exchange.log()
            request_id.reset(token)

    async def _answer(self, scope: Scope, exchange: "_Exchange") -> None:
        _rooted(scope)
        if failure := _refused(scope) or self._misled(scope) or _unreadable(scope):
            answer = await on_failure(Request(scope), failure)
            await answer(scope, exchange.receive, exchange.send)
        else:
            await self._app(scope, exchange.receive, exchange.send)

    def _misled(self, scope: Scope) -> Failure | None:
        """Refuses a host that is not ours: a web page may have led a browser here by a name of its own."""
        if self._hosts is None or scope["path"] == LIVE or host_of(scope) in self._hosts:
            return None
        return Failure(Code.BAD_REQUEST, "this host is not served here")


def _rooted(scope: Scope) -> None:
    """Takes off what `uvicorn --root-path` puts before the path, so that all of ours judges what the router matches.

    Links get it back from `app_root_path`, which is Starlette's name for it.
    """
    scope["app_root_path"] = scope.get("root_path", "").rstrip("/")
    scope["path"], scope["root_path"] = get_route_path(scope).rstrip("/") or "/", ""


def _plainly(send: Send) -> Send:
    """A start that is refused says its one sentence, not where in the code it was said."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            kind, _, sentence = message["message"].strip().rpartition("\n")[2].partition(": ")
            message["message"] = sentence if kind.endswith("StartRefused") else message["message"]
        await send(message)

    return wrapped


class _Exchange:
    """One request and what was answered to it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._began = time.perf_counter()
        self.status: int | None = None
        self._replayed = False
        given = values(scope, b"x-request-id")
        own = len(given) != 1 or not _ID.fullmatch(given[0])
        # Not from `secrets`: it names, keeps no secret, and asking the system would hand the writer's thread our turn.
        self.id = f"{random.getrandbits(64):016x}" if own else given[0].decode()

    async def receive(self) -> Message:
        """Raises the protocol's Failure when the rest of the body cannot be read."""
        message = await self._receive()
        if failure := self._scope.get(REFUSED):
            raise failure
        return message

    async def send(self, message: Message) -> None:
        """Adds what every answer carries."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given, ours, kept = message.get("headers", ()), _DATA, self._scope["method"] == "POST"
            for name, _ in given:
                if name == b"idempotent-replayed":
                    self._replayed = True
                elif name == b"content-security-policy":
                    ours = _PAGE
                elif name == b"cache-control":
                    kept = True
            message["headers"] = [*given, (b"x-request-id", self.id.encode()), *ours, *(() if kept else (_FRESH,))]
        await self._send(message)

    def log(self) -> None:
        """One INFO line; a report that was committed rides on its commit's line and has its own at DEBUG."""
        scope = self._scope
        committed = scope["path"] in INTAKE and self.status == 200 and not self._replayed  # noqa: PLR2004
        level = logging.DEBUG if committed else logging.INFO
        if not logger.isEnabledFor(level):
            return
        route = getattr(scope.get("route"), "path", None) or hide_alone(scope["path"])
        took = (time.perf_counter() - self._began) * 1000
        peer = peer_of(scope)
        status = self.status or "aborted"
        logger.log(level, event("request", method=scope["method"], route=route, status=status, ms=took, peer=peer))


def _refused(scope: Scope) -> Failure | None:
    """What no route gets to see; most of it our protocol finds first, but plain `uvicorn` comes without it."""
    if failure := scope.get(REFUSED):
        found: Failure = failure
        return found
    headers = scope["headers"]
    size = sum(map(len, chain.from_iterable(headers))) + 4 * len(headers)
    line = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES or line > MAX_LINE_BYTES:
        return too_large()
    old = scope["http_version"] == "1.0"
    hosts = len(values(scope, b"host"))
    ambiguous = hosts > 1 or (hosts == 0 and not old) or (old and values(scope, b"transfer-encoding"))
    if ambiguous or scope["http_version"] not in ("1.0", "1.1"):
        return malformed()
    return None


def _unreadable(scope: Scope) -> Failure | None:
    if _is_utf8(scope["query_string"]) and _is_utf8(scope.get("raw_path") or b""):
        return None
    return NoPage(Code.BAD_REQUEST, "the address is not UTF-8")


def _is_utf8(raw: bytes) -> bool:
    if b"%" not in raw and raw.isascii():
        return True
    try:
        unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        return False
    return True
