"""Events as operators ask for them. Connection in, rows out; nothing here commits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, select

from database.pages import Key, Page, behind, decode, fetch
from model.history import APPEARED, events, series
from model.models import hosts
from model.queries import EventQuery

FIRST_SEEN, RETURNED = "first_seen", "returned"
_E = events.c
# Whether a container appeared for the first time is known only when all late reports are in.
_FIRST = (_E.kind == APPEARED) & (_E.at == series.c.first_at)
_AGAIN = (_E.kind == APPEARED) & (_E.at != series.c.first_at)
_KIND = case((_FIRST, FIRST_SEEN), (_AGAIN, RETURNED), else_=_E.kind).label("shown_kind")
_SHOWN = [
    _E.host_id,
    hosts.c.host_name,
    series.c.engine_type,
    series.c.container_name,
    _KIND,
    _E.at,
    _E.from_value,
    _E.to_value,
    _E.details,
]
_SORT, _KEYS = "-at", [Key(column, descending=True) for column in (_E.at, _E.host_id, _E.kind, _E.series_id)]
# So many containers' own events are looked up; of a name that more have, the newest of all events are looked through.
FEW = 200


def page(connection: Connection, query: EventQuery) -> Page:
    """One page of the events, the newest first; how many there are in all is not counted: they may be too many."""
    conditions = _conditions(connection, query)
    since = _since(connection, conditions, query.limit)
    return fetch(
        connection,
        _joined(*_SHOWN).where(*conditions, *([] if since is None else [_E.at >= since])),
        sort=_SORT,
        keys=_KEYS,
        among_equal=_E.series_id,
        limit=query.limit,
        cursor=query.cursor,
        counted=False,
    )


def _since(connection: Connection, conditions: Sequence[ColumnElement[bool]], limit: int) -> datetime | None:
    """From when on there is a page, the event given last and the one that tells of another page; None: there is not.

    MySQL reads an index backwards for an order by moments alone. By all keys it sorts every event there is.
    """
    statement = _joined(_E.at).where(*conditions).order_by(_E.at.desc())
    found: datetime | None = connection.scalar(statement.offset(limit + 1).limit(1))
    return found


def _joined(*columns: ColumnElement[Any]) -> Select[Any]:
    """With the hint to begin with the events: begun with the hosts, a page would read every event there is."""
    made = select(*columns).join_from(events, hosts, hosts.c.id == _E.host_id).join(series, series.c.id == _E.series_id)
    return made.prefix_with("STRAIGHT_JOIN", dialect="mysql").prefix_with("STRAIGHT_JOIN", dialect="mariadb")


def _conditions(connection: Connection, query: EventQuery) -> list[ColumnElement[bool]]:
    asked = [hosts.c.deleted_at.is_(None), *_of_host(_E.host_id, query), *_of_containers(connection, query)]
    asked += [_of_kind(query.kind)] if query.kind else []
    asked += [_E.at >= query.from_] if query.from_ else []
    asked += [_E.at < query.to] if query.to else []
    if query.cursor:
        last, _ = decode(query.cursor, _SORT, _KEYS)
        # The first of both is for engines, to which the other one is no range.
        asked += [_E.at <= last[0], behind(_KEYS, last)]
    return asked


def _of_host(column: ColumnElement[int], query: EventQuery) -> list[ColumnElement[bool]]:
    asked = [] if query.host_id is None else [column == query.host_id]
    if query.host_name is not None:
        named = select(hosts.c.id).where(hosts.c.host_name == query.host_name)
        asked.append(column == named.scalar_subquery())
    return asked


def _of_containers(connection: Connection, query: EventQuery) -> list[ColumnElement[bool]]:
    given = {series.c[name]: getattr(query, name) for name in ("container_name", "engine_type")}
    named = [column == value for column, value in given.items() if value is not None]
    if not named:
        return []
    ids = select(series.c.id).where(*named, *_of_host(series.c.host_id, query)).limit(FEW + 1)
    found = connection.scalars(ids).all()
    return [_E.series_id.in_(found)] if len(found) <= FEW else named


def _of_kind(kind: str) -> ColumnElement[bool]:
    return {FIRST_SEEN: _FIRST, RETURNED: _AGAIN}.get(kind, _E.kind == kind)
