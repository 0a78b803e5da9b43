"""The hosts of a moment. Connection in, rows out; nothing here commits."""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Select,
    Subquery,
    Table,
    and_,
    case,
    exists,
    func,
    literal,
    or_,
    select,
)

from database.batch import MISSED_INTERVALS
from database.containers import along_index
from database.details import packed
from database.dialect_time import local, seconds_between, utc
from database.pages import UNKNOWN, Key, Page, fetch, holds
from database.past import Then, average, joined, moment_of, of_bucket, states
from database.rows import HOST_DETAILS, RUNNING
from database.tags import has_all
from model.history import METRICS, rollups, series
from model.models import containers, hosts, reports
from model.queries import HostQuery

_ONLY_RAW = ("cpu_cores", "cpu_threads")
_UNKNOWN = dict.fromkeys(METRICS, UNKNOWN)


def page(connection: Connection, query: HostQuery, then: Then, *, counted: bool = True) -> Page:
    """One page of the hosts that were there then; `online` as of then."""
    state = states(connection, then, _of_hosts(query))
    past = _shown(state, then).where(*_has_container(state, query)).subquery("past")
    asked = [] if query.status is None else [past.c.online == int(query.status == "online")]
    name = query.sort.removeprefix("-")
    keys = [Key(_sorted(past, name), unknown=_UNKNOWN.get(name)).turned(query.sort.startswith("-"))]
    if name not in ("host_name", "id"):
        keys.append(Key(past.c.id))
    return fetch(
        connection,
        select(past).where(*asked),
        sort=query.sort,
        keys=keys,
        among_equal=past.c.id,
        limit=query.limit,
        cursor=query.cursor,
        count=_counted(state, query) if query.status is None else None,
        counted=counted,
    )


def _counted(state: Subquery, query: HostQuery) -> Select[Any]:
    """How many hosts there were, without a look at what they said."""
    return select(func.count()).select_from(state).where(*_has_container(state, query))


def _sorted(past: Subquery, name: str) -> ColumnElement[Any]:
    """Where only buckets are left, nobody knows when a host was seen: when it sampled stands in for it."""
    return func.coalesce(past.c.last_seen, past.c.sampled_at) if name == "last_seen" else past.c[name]


def _shown(state: Subquery, then: Then) -> Select[Any]:
    """The rows of reports and the buckets of tiers, in one form."""
    own = and_(reports.c.host_id == state.c.id, reports.c.sampled_at == state.c.raw_at)
    beside = joined(state, state.outerjoin(reports, own), state.c.series_id)
    columns: Iterable[ColumnElement[Any]] = [
        state.c.id,
        state.c.host_name,
        *(case((state.c.seconds == 0, reports.c[name]), else_=average(name)).label(name) for name in METRICS),
        *(reports.c[name] for name in _ONLY_RAW),
        local(reports.c.get_datetime).label("get_datetime"),
        utc(reports.c.received_at).label("last_seen"),
        utc(moment_of(state)).label("sampled_at"),
        case((_online(state, then), 1), else_=0).label("online"),
        case((state.c.seconds == 0, reports.c.containers_count), else_=_in_bucket(state)).label("containers_count"),
        _running(state).label("containers_running"),
        state.c.seconds,
        packed(reports, HOST_DETAILS),
    ]
    return select(*columns).select_from(beside)


def _online(state: Subquery, then: Then) -> ColumnElement[bool]:
    """Whether the silence until then was short: the host's own cadence is the one it had then."""
    cadence = func.coalesce(of_bucket("interval_s"), state.c.interval_s, 0)
    silence = seconds_between(moment_of(state), literal(then.until, DateTime())) - state.c.seconds
    return or_(silence < then.offline_after.total_seconds(), silence < MISSED_INTERVALS * cadence)


def _running(state: Subquery) -> ColumnElement[int]:
    own = (containers.c.host_id == state.c.id, containers.c.sampled_at == state.c.raw_at)
    rows = along_index(select(func.count()).select_from(containers).where(*own, containers.c.status == RUNNING))
    in_bucket = _in_bucket(state, lambda table: table.c.status == RUNNING)
    return case((state.c.seconds == 0, rows.correlate(state).scalar_subquery()), else_=in_bucket)


def _in_bucket(state: Subquery, condition: Callable[[Table], ColumnElement[bool]] | None = None) -> ColumnElement[int]:
    """How many containers there were in the bucket that answers."""
    whens = []
    for seconds, table in rollups.items():
        inside = _inside(state, seconds, table)
        asked = [condition(table)] if condition else []
        counted = select(func.count()).select_from(series.join(table, table.c.series_id == series.c.id))
        whens.append((state.c.seconds == seconds, counted.where(inside, *asked).correlate(state).scalar_subquery()))
    return case(*whens)


def _inside(state: Subquery, seconds: int, table: Table) -> ColumnElement[bool]:
    """A host's containers in its bucket of a tier."""
    begins_at = state.c[f"at_{seconds}"]
    of_then = and_(series.c.host_id == state.c.id, series.c.last_on >= func.date(begins_at))
    return and_(of_then, series.c.container_name != "", table.c.begins_at == begins_at, state.c.seconds == seconds)


def _of_hosts(query: HostQuery) -> list[ColumnElement[bool]]:
    asked: dict[str, Callable[[Any], ColumnElement[bool]]] = {
        "host_id": lambda value: hosts.c.id == value,
        "host_name": lambda value: hosts.c.host_name == value,
        "q": lambda value: holds(hosts.c.host_name, value),
    }
    found = [made(getattr(query, name)) for name, made in asked.items() if getattr(query, name) is not None]
    return [*found, *has_all(query.tag)]


def _has_container(state: Subquery, query: HostQuery) -> list[ColumnElement[bool]]:
    """Hosts that had such a container then; of a bucket's containers only the engine is known."""
    own = and_(containers.c.host_id == state.c.id, containers.c.sampled_at == state.c.raw_at)
    found: list[ColumnElement[bool]] = []
    for name in ("cluster_name", "node_name", "engine_type"):
        value = getattr(query, name)
        if value is None:
            continue
        ways: list[ColumnElement[bool]] = [exists().where(own, containers.c[name] == value).correlate(state)]
        if name == "engine_type":
            ways += [_has_engine(state, seconds, table, value) for seconds, table in rollups.items()]
        found.append(or_(*ways))
    return found


def _has_engine(state: Subquery, seconds: int, table: Table, engine: str) -> ColumnElement[bool]:
    among = select(series.c.id).join(table, table.c.series_id == series.c.id)
    return exists(among.where(_inside(state, seconds, table), series.c.engine_type == engine).correlate(state))
