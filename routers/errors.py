"""The one table from what went wrong to the envelope, and the log line of a refusal."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from logger import audit, event
from model.envelope import Code, Failure
from model.fields import MESSAGES
from model.history import METRICS
from routers.answers import refusal
from routers.audits import actor
from routers.clients import peer_of, principal_of
from routers.deps import state_of
from routers.pages import NoPage, missing, wanted
from services.access import needed
from utils.networks import network_of
from utils.token_text import hide, hide_alone

logger = logging.getLogger("routers.refusals")

MAX_ERRORS = 10
# What the log keeps of a name, which is perhaps no name.
MAX_SHOWN = 64
AUDITED = (401, 403, 429)
_BY_STATUS = {404: (Code.NOT_FOUND, "no such route"), 405: (Code.METHOD_NOT_ALLOWED, "method not allowed here")}
_ITEM = {
    "idempotency_key": "should be 1 to 255 visible ASCII characters",
    "step": "should be auto, raw, or as 5m, 6h, 1d",
    "metrics": f"should be some of {','.join(METRICS)}",
}


def invalid(errors: Iterable[Any]) -> Failure:
    """Tells which fields broke which rules: at most ten, never what was sent."""
    shown = [_shown(error) for error in list(errors)[:MAX_ERRORS]]
    first = shown[0] if shown else {"loc": [], "message": "invalid"}
    # The one location that is the sender's own words; no message repeats those.
    loc = ["a parameter"] if first.get("type") == "extra_forbidden" else first["loc"]
    path = ".".join(str(part) for part in loc)
    return Failure(Code.VALIDATION, f"{path}: {first['message']}"[:512], data={"errors": shown})


def wrong_body(error: ValidationError) -> Failure:
    """Tells what is wrong with a body: that it is no JSON, or which fields broke which rules."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    if errors and errors[0]["type"] == "json_invalid":
        return unreadable(errors[0]["msg"])
    return invalid({**one, "loc": one["loc"] or ("body",)} for one in errors)


def unreadable(reason: str) -> Failure:
    """A number of thousands of digits is JSON, though the parser gives up on it: what it breaks is a field's rule."""
    if "number out of range" in reason:
        return invalid([{"loc": ("body",), "type": "number", "msg": "a number has too many digits"}])
    return Failure(Code.BAD_JSON, "the body is not JSON, not UTF-8, or nested too deep")


def _shown(error: Any) -> dict[str, Any]:  # noqa: ANN401 - Pydantic's error dictionary
    loc = [hide_alone(part)[:64] if isinstance(part, str) else part for part in error["loc"]]
    message = _ITEM.get(str(loc[-1]) if loc else "") or MESSAGES.get(error["type"], error["msg"])
    return {"loc": loc, "type": error["type"], "message": message}


def log_refusal(request: Request, failure: Failure) -> None:
    """One WARNING a minute for whoever asks and each code, without the body; the rest is counted."""
    peer = peer_of(request.scope) or "-"
    suppressed = state_of(request)["refusals"].allow(_counted(request, failure))
    if suppressed is None:
        return
    errors: Sequence[Any] = (failure.data or {}).get("errors", ()) if isinstance(failure.data, dict) else ()
    fields = ",".join(".".join(map(str, error["loc"])) for error in errors) or None
    line = event(
        "refused",
        code=failure.code,
        status=failure.status,
        path=hide_alone(request.scope["path"]),
        peer=peer,
        fields=fields,
        suppressed=suppressed or None,
    )
    logger.warning(line)
    if failure.status in AUDITED:
        _audit_refusal(request, failure, peer, suppressed)


def _counted(request: Request, failure: Failure) -> tuple[str | None, ...]:
    """What refusals are counted by: who asks, from which network; of what is for admins also what was asked for.

    Many are behind one address, and one token may be many hosts'. Of routes there are few, of paths any number.
    """
    scope, who = request.scope, (actor(request), network_of(peer_of(request.scope)), failure.code)
    method, path = scope["method"], scope["path"]
    if who[0] is None or failure.code is not Code.FORBIDDEN or needed(method, path, page=False) != "admin":
        return who
    route = state_of(request)["route_of"](method, path)
    return (*who, method, route) if route is not None else who


def _audit_refusal(request: Request, failure: Failure, peer: str, suppressed: int) -> None:
    principal = principal_of(request.scope)
    asked = {"method": request.scope["method"], "path": hide_alone(request.scope["path"])}
    token = principal.token.id if principal and principal.token else None
    user = hide(principal.name)[:MAX_SHOWN] if principal and not principal.token else None
    also = {"by": actor(request), "suppressed": suppressed}
    audit(failure.code.lower(), logging.WARNING, peer=peer, **asked, token=token, user=user, also=also)


async def on_failure(request: Request, failure: Exception) -> Response:
    """A Failure knows all it needs; where there is no page, a browser gets one that says so."""
    assert isinstance(failure, Failure)  # noqa: S101 - narrows the type for the checker
    log_refusal(request, failure)
    if isinstance(failure, NoPage) and wanted(request.scope):
        return missing(request, state_of(request)["settings"], failure)
    return refusal(failure)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """What the router itself refuses."""
    assert isinstance(error, HTTPException)  # noqa: S101 - narrows the type for the checker
    code, message = _BY_STATUS.get(error.status_code, (Code.BAD_REQUEST, "malformed request"))
    if code is Code.NOT_FOUND:
        return await on_failure(request, NoPage(code, message))
    headers = {"Allow": _allowed(request)} if code is Code.METHOD_NOT_ALLOWED else {}
    return await on_failure(request, Failure(code, message, headers=headers))


def _allowed(request: Request) -> str:
    """Every method that some route has for this path; a route alone knows only its own."""
    methods = state_of(request)["methods_of"](request.scope["path"])
    return ", ".join(sorted(methods))


async def on_invalid(request: Request, error: Exception) -> Response:
    """Path and query parameters that broke a rule."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - narrows the type for the checker
    return await on_failure(request, invalid(error.errors()))


class Bugs:
    """Pure ASGI: a bug becomes one traceback in the log and one envelope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request; a client that went away gets nothing and is no bug."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except ClientDisconnect:
            return
        except Exception:  # a request's edge
            logger.exception(event("bug", method=scope["method"], path=hide_alone(scope["path"])))
            if not started:
                failure = Failure(Code.INTERNAL, "internal error; the log has the details")
                await refusal(failure)(scope, receive, send)


def register(app: FastAPI) -> None:
    """Puts the table in force; bugs are caught inside of CORS, so that a web page may read their answer too."""
    app.add_middleware(Bugs)
    app.add_exception_handler(Failure, on_failure)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_invalid)
