"""The whole fleet at once: every host in a few columns, and how its last hour went. Connection in, rows out."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    union_all,
)

from database import tags
from database.containers import along_index
from database.dialect_time import utc
from database.hosts import PRESENT, Presence
from database.rows import Record
from database.series import HOST, OWN
from model.history import METRICS, rollups, series
from model.models import containers, hosts, reports

MINUTE_S = 60
# From a smaller share of its memory, in %, nobody can tell how much a host has.
LEAST_SHARE = 0.01
_H = hosts.c
_MINUTES = rollups[MINUTE_S]
_M = _MINUTES.c
# Of hosts that report less often the reports are few, and there before the minute is aggregated.
SELDOM_S = 30
_OFTEN = func.coalesce(_H.interval_s, SELDOM_S) < SELDOM_S
_WHOSE = (series.c.host_id, series.c.engine_type, series.c.container_name)
_NOBODY = (literal(HOST[0]).label("engine_type"), literal(HOST[1]).label("container_name"))
_HOSTS = [
    _H.id,
    _H.host_name,
    _H.cpu_percentage,
    _H.cpu_cores,
    _H.memory_usage,
    _H.memory_percentage,
    utc(_H.last_seen).label("last_seen"),
    _H.containers_count,
    _H.containers_running,
]


def look(connection: Connection, presence: Presence) -> tuple[Sequence[Record], dict[int, list[str]], dict[str, int]]:
    """Every host that has reported, by name; the tags by id; how many containers are in which state."""
    online = case((presence.online(), 1), else_=0).label("online")
    rows = connection.execute(select(*_HOSTS, online).where(PRESENT).order_by(_H.host_name)).all()
    return rows, tags.of(connection, [row.id for row in rows]), _states(connection, presence)


def _states(connection: Connection, presence: Presence) -> dict[str, int]:
    """Those of hosts that are online; the engine's own words, "" where an agent gave none."""
    c = containers.c
    # The sum keeps SQLite from reading all containers there are and looking up the host of each.
    current = and_(c.host_id == _H.id + 0, c.sampled_at == _H.sampled_at)
    counted = along_index(select(c.status, func.count()).select_from(hosts.join(containers, current)))
    return dict(
        sorted(
            (word, number)
            for word, number in connection.execute(counted.where(PRESENT, presence.online()).group_by(c.status))
        )
    )


def trend(connection: Connection, since: datetime) -> Sequence[Record]:
    """All hosts together, minute by minute: CPU in % of all cores, memory in % of all there is."""
    one = union_all(*_of_hosts(since, PRESENT)).subquery("one")
    cores = func.coalesce(func.nullif(_H.cpu_cores, 0), 1)
    measured = case((one.c.cpu_percentage.is_not(None), cores))
    known, there = one.c.memory_percentage > LEAST_SHARE, one.c.memory_usage * 100 / one.c.memory_percentage
    statement = select(
        *(null().label(name) for name in ("host_id", "engine_type", "container_name")),
        one.c.minute,
        (func.sum(one.c.cpu_percentage * cores) / func.nullif(func.sum(measured), 0)).label("cpu_percentage"),
        (func.sum(case((known, one.c.memory_usage))) * 100 / func.nullif(func.sum(case((known, there))), 0)).label(
            "memory_percentage"
        ),
    )
    statement = statement.select_from(hosts.join(one, one.c.host_id == _H.id))
    return connection.execute(statement.group_by(one.c.minute)).all()


def trends(connection: Connection, ids: Collection[int], since: datetime, *, of_containers: bool) -> Sequence[Record]:
    """Minute by minute each of some hosts, or each of their containers; one after the other."""
    which = _of_containers if of_containers else _of_hosts
    found = [connection.execute(one).all() for one in which(since, PRESENT, _H.id.in_(ids))]
    return sorted(chain(*found), key=lambda row: (row.host_id, row.engine_type, row.container_name))


def _of_hosts(since: datetime, *asked: ColumnElement[bool]) -> list[Select[Any]]:
    """Those that report often, by their minutes, and those that do not, by their reports."""
    r = reports.c
    raw = select(r.host_id, *_NOBODY, _minute(r.sampled_at), *(func.avg(r[name]).label(name) for name in METRICS))
    raw = raw.select_from(hosts.join(reports, r.host_id == _H.id)).where(~_OFTEN, r.sampled_at >= since, *asked)
    return [_rolled(since, OWN, *asked), raw.group_by(r.host_id, _minute(r.sampled_at))]


def _of_containers(since: datetime, *asked: ColumnElement[bool]) -> list[Select[Any]]:
    c = containers.c
    whose = (c.host_id, c.engine_type, c.container_name)
    raw = select(*whose, _minute(c.sampled_at), *(func.avg(c[name]).label(name) for name in METRICS))
    raw = raw.select_from(hosts.join(containers, c.host_id == _H.id)).where(~_OFTEN, c.sampled_at >= since, *asked)
    return [_rolled(since, ~OWN, *asked), raw.group_by(*whose, _minute(c.sampled_at))]


def _rolled(since: datetime, *asked: ColumnElement[bool]) -> Select[Any]:
    """What is aggregated to minutes; names of long ago are left alone."""
    statement = select(*_WHOSE, _minute(_M.begins_at), *(_average(name).label(name) for name in METRICS))
    joined = hosts.join(series, _H.id == series.c.host_id).join(_MINUTES, _M.series_id == series.c.id)
    recent = series.c.last_on >= (since - timedelta(days=1)).date()
    return statement.select_from(joined).where(_OFTEN, recent, _M.begins_at >= since, *asked)


def _minute(at: ColumnElement[Any]) -> ColumnElement[str]:
    """The minute of a moment, as text that every engine makes alike."""
    return func.substr(cast(at, String), 1, 16).label("minute")


def _average(metric: str) -> ColumnElement[Any]:
    """Of a minute's samples those that had the metric."""
    known = _M.samples - func.coalesce(_M[f"{metric}_nulls"], 0)
    return _M[f"{metric}_sum"] / func.nullif(known, 0)
