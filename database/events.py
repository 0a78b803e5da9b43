"""Events as operators ask for them. Connection in, rows out; nothing here commits."""

from sqlalchemy import ColumnElement, Connection, case, select

from database.pages import Key, Page, fetch
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
# In the order of every index, read backwards.
_KEYS = [Key(column, descending=True) for column in (_E.at, _E.host_id, _E.kind, _E.series_id)]


def page(connection: Connection, query: EventQuery) -> Page:
    """One page of the events, the newest first; how many there are in all is not counted: they may be too many."""
    statement = select(*_SHOWN).join_from(events, hosts, hosts.c.id == _E.host_id)
    statement = statement.join(series, series.c.id == _E.series_id).where(*_conditions(query))
    return fetch(
        connection,
        statement,
        sort="-at",
        keys=_KEYS,
        among_equal=_E.series_id,
        limit=query.limit,
        cursor=query.cursor,
        counted=False,
    )


def _conditions(query: EventQuery) -> list[ColumnElement[bool]]:
    of_series = {name: series.c[name] for name in ("container_name", "engine_type")}
    equal = {"host_id": _E.host_id, "host_name": hosts.c.host_name, **of_series}
    asked = [column == getattr(query, name) for name, column in equal.items() if getattr(query, name) is not None]
    asked += [_of_kind(query.kind)] if query.kind else []
    asked += [_E.at >= query.from_] if query.from_ else []
    asked += [_E.at < query.to] if query.to else []
    return [hosts.c.deleted_at.is_(None), *asked]


def _of_kind(kind: str) -> ColumnElement[bool]:
    return {FIRST_SEEN: _FIRST, RETURNED: _AGAIN}.get(kind, _E.kind == kind)
