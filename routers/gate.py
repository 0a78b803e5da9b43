"""Who asks, told by the token or sign-in before anything of a request is read, and what that lets them do."""

import logging
import re
from dataclasses import replace
from functools import partial
from typing import cast
from urllib.parse import unquote_to_bytes

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from database import tokens
from database.tokens import Token
from logger import audit
from model.envelope import Code, Failure, unavailable
from routers.clients import PRINCIPAL, host_of, peer_of, principal_of
from routers.deps import State, state_of
from routers.errors import on_failure
from routers.headers import values
from routers.pages import wanted
from routers.writes import written
from services.access import ASSETS, Principal, authenticate, covers, from_here, may_report, needed, signed_in
from utils.networks import network_of
from utils.utils import moment

# A token, or a JWT of those that sign in; a host may well be called platforms_1.
SECRET = re.compile(rb"rms_[0-9a-f]{12}_|eyJ[\w-]+\.eyJ")
HEALTH = frozenset({"/health", "/health/live"})


class Gate:
    """Pure ASGI: what is refused goes no further."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request; the lifespan passes through."""
        try:
            if scope["type"] == "http":
                admit(scope)
        except Failure as failure:
            response = await on_failure(Request(scope), failure)
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def admit(scope: Scope) -> None:
    """Notes who asks. Raises UNAUTHORIZED or FORBIDDEN where tokens are asked for, before the body is read."""
    if scope["query_string"] and SECRET.search(unquote_to_bytes(scope["query_string"])):
        raise _unauthorized("a token belongs into the header Authorization, never into an address")
    state = cast("State", scope["state"])
    rules = state["settings"].security
    principal = scope[PRINCIPAL] = None if rules.mode == "off" else _principal(scope, state)
    if rules.rate_limit_per_minute and scope["path"] not in HEALTH and not scope["path"].startswith(ASSETS):
        _count(scope, state, principal)
    if rules.mode == "enforce":
        _check(scope, state, principal)


def _count(scope: Scope, state: State, principal: Principal | None) -> None:
    """Who is known counts by themselves: a fleet may sit behind one address."""
    if failure := state["limits"].too_often(principal.key if principal else network_of(peer_of(scope))):
        raise failure


def shown(scope: Scope) -> str | None:
    """What the header Authorization shows as a bearer; of two such headers neither counts."""
    given = values(scope, b"authorization")
    kind, _, text_ = given[0].decode("latin-1").partition(" ") if len(given) == 1 else ("", "", "")
    return text_.strip() if kind.lower() == "bearer" else None


def _principal(scope: Scope, state: State) -> Principal | None:
    bearer = shown(scope)
    if bearer is None:
        return None
    database = state["database"]
    now = moment(database.clock.now())
    if not bearer.startswith("rms_"):
        return signed_in(bearer, state["people"].key.known, database.credentials, now)
    principal = authenticate(bearer, database.credentials, now)
    if principal and principal.token:
        database.credentials.note(principal.token.id, previous=principal.previous)
    return principal


def _check(scope: Scope, state: State, principal: Principal | None) -> None:
    need = needed(scope["method"], scope["path"], page=wanted(scope))
    if need == "nothing" or _nowhere(scope, state):
        return
    if principal is None:
        if not values(scope, b"authorization"):
            raise _unauthorized("show a token: Authorization: Bearer rms_...")
        if not state["database"].credentials.loaded:
            raise unavailable()
        raise _unauthorized("this token is not known, or no more", ' error="invalid_token"')
    if not covers(principal.scope, need):
        raise Failure(Code.FORBIDDEN, f"this takes a token of the scope {need}")


def _nowhere(scope: Scope, state: State) -> bool:
    """A browser at an address that no route has: it is told so by a page without data, signed in or not."""
    return wanted(scope) and not state["methods_of"](scope["path"])


def _unauthorized(message: str, error: str = "") -> Failure:
    return Failure(Code.UNAUTHORIZED, message, headers={"WWW-Authenticate": f"Bearer{error}"})


async def check_host(request: Request, host_name: str) -> str | None:
    """The id of the token that is good for the host; binds one that is to be bound to its first host.

    Raises FORBIDDEN if the token is good for other hosts alone; where that is not refused, it is as good as none.
    """
    principal = principal_of(request.scope)
    token = principal.token if principal and covers(principal.scope, "ingest") else None
    if token is None:
        return None
    if token.binding == "first" and token.host_name is None:
        token = await _bound(request, token, host_name)
    if may_report(token, host_name):
        return token.id
    _spoofed(request, token.id, host_name)
    return None


async def _bound(request: Request, token: Token, host_name: str) -> Token:
    """The token, bound to its first host: once, however many reports of a batch come with it."""
    database = state_of(request)["database"]
    async with state_of(request)["binding"]:
        token = database.credentials.find(token.id) or token
        if token.host_name is not None:
            return token
        now, bound = moment(database.clock.now()), None
        if database.credentials.holder(host_name, now) is None:  # else no statement need tell
            bound = await written(request, partial(tokens.bind, id_=token.id, host_name=host_name, now=now))
        if bound is not None:
            database.credentials.bound(token.id, bound)
        return replace(token, host_name=bound or "")  # "": another has the host, or it was revoked just now


def _spoofed(request: Request, token_id: str, host_name: str) -> None:
    peer, state = peer_of(request.scope), state_of(request)
    suppressed = state["refusals"].allow((network_of(peer), token_id, "host_spoof"))
    if suppressed is not None:
        also = {"by": f"token:{token_id}", "suppressed": suppressed}
        audit("host_spoof", logging.WARNING, token=token_id, host=host_name, peer=peer, also=also)
    if state["settings"].security.mode == "enforce":
        raise Failure(Code.FORBIDDEN, "this token is not good for this host")


async def admins(request: Request) -> None:
    """Of a route that is for admins alone."""
    allow(request)


def allow(request: Request) -> None:
    """Raises FORBIDDEN unless an admin asks; while no token is asked for, somebody on this very machine."""
    principal = principal_of(request.scope)
    if principal and covers(principal.scope, "admin"):
        return
    enforced = state_of(request)["settings"].security.mode == "enforce"
    if enforced or not from_here(peer_of(request.scope), host_of(request.scope), request.headers):
        raise Failure(
            Code.FORBIDDEN, "only with an admin's token, on this very machine without a proxy, or by manage.py"
        )
