"""The containers of a moment. Connection in, rows out; nothing here commits."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, and_, case, func, or_, select

from database.containers import OF_HOSTS, along_index
from database.details import packed
from database.dialect_time import local, utc
from database.pages import UNKNOWN, Key, Page, decode, fetch, holds
from database.past import First, Then, average, joined, moment_of, of_bucket, states
from database.rows import CONTAINER_DETAILS, Record
from database.tags import has_all
from model.history import METRICS, rollups, series
from model.models import containers, hosts
from model.queries import ContainerQuery

# So many hosts are looked at first where their order is the list's, then as many times more until a page is full.
HOSTS, MORE = 64, 8
_FILTERS = ("status", "cluster_name", "node_name", "engine_type")
# What only a row knows; a bucket has none of it.
_OF_ROWS = ("id", "cluster_name", "node_name")
_SORTS = {name: UNKNOWN if name in METRICS else None for name in ("host_name", "container_name", "status", *METRICS)}

Conditions = Sequence[ColumnElement[bool]]


def page(connection: Connection, query: ContainerQuery, then: Then, host_id: int | None = None) -> Page:
    """One page of the containers that were there then, each once: of all hosts or of one."""
    of_hosts = _of_hosts(query, host_id)
    by_host = query.sort.removeprefix("-") == "host_name"
    return (_first if by_host else _page)(connection, query, then, of_hosts)


def _first(connection: Connection, query: ContainerQuery, then: Then, of_hosts: Conditions) -> Page:
    """Only of as many hosts as fill the page in the order of their names: the others need not be looked at."""
    column, descending = hosts.c.host_name, query.sort.startswith("-")
    if query.cursor:
        (at, *_), _ = decode(query.cursor, query.sort, [Key(column), Key(containers.c.container_name)])
        of_hosts = [*of_hosts, column <= at if descending else column >= at]
    there: int = connection.execute(select(func.count()).select_from(hosts).where(*of_hosts)).scalar_one()
    order, looked_at = column.desc() if descending else column, HOSTS
    while True:
        found = _page(connection, query, then, of_hosts, First(looked_at, (order,)))
        if found.cursor or looked_at >= there:
            return found
        looked_at *= MORE


def _page(
    connection: Connection, query: ContainerQuery, then: Then, of_hosts: Conditions, first: First | None = None
) -> Page:
    past = _shown(states(connection, then, of_hosts, first)).subquery("past")
    return fetch(
        connection,
        select(past).where(*_conditions(past, query)),
        sort=query.sort,
        keys=_keys(past.c, query.sort),
        among_equal=past.c.row_id,
        limit=query.limit,
        cursor=query.cursor,
        counted=False,  # to count them is to look at each: a week ago each is a page of the disk of its own
    )


def _shown(state: Subquery) -> Select[Any]:
    """The rows of reports and the buckets of tiers, in one form."""
    own = and_(containers.c.host_id == state.c.id, containers.c.sampled_at == state.c.raw_at)
    of_then = series.c.last_on >= func.date(moment_of(state))
    named = and_(series.c.host_id == case((state.c.seconds > 0, state.c.id)), of_then, series.c.container_name != "")
    beside = joined(state, state.outerjoin(containers, own).outerjoin(series, named), series.c.id)
    there = or_(containers.c.id.is_not(None), *(table.c.series_id.is_not(None) for table in rollups.values()))
    columns = [
        *(containers.c[name] for name in _OF_ROWS),
        local(containers.c.get_datetime).label("get_datetime"),
        *(func.coalesce(containers.c[name], series.c[name]).label(name) for name in ("engine_type", "container_name")),
        func.coalesce(containers.c.status, of_bucket("status"), "unknown").label("status"),
        *(func.coalesce(containers.c[name], average(name)).label(name) for name in METRICS),
        func.coalesce(containers.c.id, series.c.id).label("row_id"),
        state.c.id.label("host_id"),
        state.c.host_name,
        state.c.seconds,
        utc(moment_of(state)).label("sampled_at"),
        packed(containers, CONTAINER_DETAILS),
    ]
    return along_index(select(*columns).select_from(beside).where(there))


def _keys(columns: Any, sort: str) -> list[Key]:  # noqa: ANN401 - SQLAlchemy's collection of columns
    """What is asked for, then what tells one container from another."""
    name = sort.removeprefix("-")
    others = [other for other in ("host_name", "container_name") if other != name]
    first = Key(columns[name], unknown=_SORTS[name]).turned(sort.startswith("-"))
    return [first, *(Key(columns[other]) for other in others)]


def _of_hosts(query: ContainerQuery, host_id: int | None) -> list[ColumnElement[bool]]:
    asked = [column == getattr(query, name) for name, column in OF_HOSTS.items() if getattr(query, name) is not None]
    asked += has_all(query.tag)
    return asked if host_id is None else [*asked, hosts.c.id == host_id]


def _conditions(past: Subquery, query: ContainerQuery) -> list[ColumnElement[bool]]:
    asked = [past.c[name] == getattr(query, name) for name in _FILTERS if getattr(query, name) is not None]
    if query.q:
        asked.append(holds(past.c.container_name, query.q))
    return asked


# So many hosts are compared at a time.
AT_ONCE = 200
_COMPARED = (
    "host_id",
    "host_name",
    "engine_type",
    "container_name",
    "status",
    "cpu_percentage",
    "memory_usage",
    "seconds",
)


def sides(
    connection: Connection, before: Then, after: Then, host_id: int | None
) -> Iterator[tuple[Sequence[Record], Sequence[Record]]]:
    """The containers of two moments, of some hosts after others, in the order of their ids."""
    one = [] if host_id is None else [hosts.c.id == host_id]
    last = 0
    while True:
        ids = select(hosts.c.id).where(hosts.c.deleted_at.is_(None), hosts.c.id > last, *one)
        found = connection.scalars(ids.order_by(hosts.c.id).limit(AT_ONCE)).all()
        if not found:
            return
        span = (hosts.c.id > last, hosts.c.id <= found[-1], *one)
        first, second = (
            connection.execute(_compared(states(connection, then, span))).all() for then in (before, after)
        )
        yield first, second
        last = found[-1]


def _compared(state: Subquery) -> Select[Any]:
    """What is looked at of each container, the image as the report has it."""
    past = _shown(state).add_columns(containers.c.image).subquery("past")
    return select(*(past.c[name] for name in (*_COMPARED, "image"))).order_by(past.c.row_id)
