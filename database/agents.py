"""How the agents report. Connection in, rows out; nothing here commits."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, bindparam, func, select, update

from database.dialect import insert_ignore
from database.pages import Key, Page, fetch, holds
from model.models import agents, hosts
from model.queries import AgentQuery

_A = agents.c


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of a host's agent since it was noted last: counts to be added, and how it is now."""

    host_id: int
    address: str
    agent: str | None
    token_id: str | None
    last_seen: datetime
    reports: int
    repeats: int
    gaps: int
    refused: int
    last_refusal: str | None
    refused_at: datetime | None
    skew_s: float | None
    utc_offset_min: int | None


_ADDED = ("reports", "repeats", "gaps", "refused")
_KEPT = ("last_refusal", "refused_at", "skew_s", "utc_offset_min")  # until there is another one
_REPLACED = ("address", "agent", "token_id", "last_seen")
_UPDATE = (
    update(agents)
    .where(_A.host_id == bindparam("id"))
    .values(
        {
            **{name: _A[name] + bindparam(f"new_{name}") for name in _ADDED},
            **{name: func.coalesce(bindparam(f"new_{name}", type_=_A[name].type), _A[name]) for name in _KEPT},
            **{name: bindparam(f"new_{name}") for name in _REPLACED},
        }
    )
)
# Of hosts that were forgotten meanwhile nothing is noted; None: it is the first time.
_KNOWN = select(hosts.c.id, _A.address).join_from(hosts, agents, hosts.c.id == _A.host_id, isouter=True)
_SHOWN = [hosts.c.host_name, hosts.c.interval_s, *agents.c]
_KEYS = [Key(hosts.c.host_name)]


def note(connection: Connection, heard: Sequence[Heard]) -> dict[int, str]:
    """Adds up what was heard; gives the addresses that hosts had before, where they have another one now."""
    by_id = {one.host_id: one for one in heard}
    known = _KNOWN.where(hosts.c.id.in_(by_id), hosts.c.deleted_at.is_(None)).order_by(hosts.c.id)
    before: dict[int, str | None] = dict(map(tuple, connection.execute(known)))
    if new := [_row(by_id[id_]) for id_, address in before.items() if address is None]:
        connection.execute(insert_ignore(agents), new)
    if old := [_changes(by_id[id_]) for id_, address in before.items() if address is not None]:
        connection.execute(_UPDATE, old)
    return {id_: was for id_, was in before.items() if was is not None and was != by_id[id_].address}


def _row(one: Heard) -> dict[str, object]:
    return {**asdict(one), "first_seen": one.last_seen}


def _changes(one: Heard) -> dict[str, object]:
    return {"id" if name == "host_id" else f"new_{name}": value for name, value in asdict(one).items()}


def page(connection: Connection, query: AgentQuery) -> Page:
    """One page of the agents, by their hosts' names."""
    asked: list[ColumnElement[bool]] = [hosts.c.deleted_at.is_(None)]
    asked += [holds(hosts.c.host_name, query.q)] if query.q else []
    asked += [hosts.c.host_name == query.host_name] if query.host_name is not None else []
    asked += [_A.token_id.is_not(None) == query.with_token] if query.with_token is not None else []
    joined = select(*_SHOWN).join_from(agents, hosts, hosts.c.id == _A.host_id).where(*asked)
    return fetch(
        connection,
        joined,
        sort="host_name",
        keys=_KEYS,
        among_equal=_A.host_id,
        limit=query.limit,
        cursor=query.cursor,
    )
