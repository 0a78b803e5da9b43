"""What is noted of agents beside their reports: how each reports, and what was refused."""

from functools import lru_cache

from fastapi import Request
from pydantic_core import to_json

from database.quarantine import Refused
from database.rows import Stored
from model.envelope import Code, Failure
from model.schemas import Report
from routers.clients import peer_of, principal_of
from routers.deps import state_of
from routers.headers import values
from services.agents import Sign
from services.quarantine import KEPT, fitting, name_in
from utils.token_text import hide
from utils.utils import SECOND, moment


def stored(request: Request, report: Report, stored: Stored, token_id: str | None) -> None:
    """A report was stored, or had been already; `token_id` is the token's that is good for its host."""
    agent = values(request.scope, b"user-agent")
    sign = Sign(
        stored.host_id,
        _address(request),
        _shortened(agent[0]) if agent else None,
        token_id,
        stored.received_at - int(report.age_s * SECOND),
        report.host.get_datetime,
    )
    state_of(request)["agents"].stored(report.host.host_name, sign, repeat=stored.replayed)


def refused(request: Request, raw: object, failure: Failure, report: Report | None, key: str | None) -> None:
    """A report was refused: counted, and kept if it is to blame; `raw` are bytes, or what was parsed from some."""
    state = state_of(request)
    now, name = state["database"].clock.now(), report.host.host_name if report else None
    if failure.code in KEPT and state["settings"].security.mode != "off":
        body = raw if isinstance(raw, bytes) else to_json(raw)
        name = name or name_in(body)
        whose = (request.scope["path"], name and hide(name), _address(request), _token_id(request))
        why = (failure.code, failure.message)
        one = Refused(moment(now), *whose, *why, len(body), fitting(body), key)
        state["quarantine"].put(one)
    if name and failure.code is not Code.FORBIDDEN:  # then it is another's, who only bore this name
        state["agents"].refused(name, failure.code, now)


def _address(request: Request) -> str:
    return peer_of(request.scope) or ""


def _token_id(request: Request) -> str | None:
    principal = principal_of(request.scope)
    return principal.token.id if principal and principal.token else None


@lru_cache(maxsize=256)
def _shortened(header: bytes) -> str:
    """A header's text as a column takes it; cached, for a fleet has few kinds of agents."""
    return "".join(letter for letter in header.decode("latin-1") if letter.isprintable())[:255]
