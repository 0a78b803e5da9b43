"""The whole fleet at once: every host in a few columns, and how its last hour went. Connection in, rows out."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, null, select

from database import tags
from database.dialect_time import utc
from database.hosts import PRESENT, Presence
from database.rows import Record
from database.series import HOST, OWN
from model.history import rollups, series
from model.models import containers, hosts

_H = hosts.c
_MINUTES = rollups[60]
_M = _MINUTES.c
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
    return rows, tags.of(connection, [row.id for row in rows]), _states(connection)


def _states(connection: Connection) -> dict[str, int]:
    """Those of the newest reports; the engine's own words, "" where an agent gave none."""
    c = containers.c
    current = and_(c.host_id == _H.id, c.sampled_at == _H.sampled_at)
    status = func.coalesce(c.status, "")
    counted = select(status, func.count()).select_from(hosts.join(containers, current)).where(PRESENT)
    return dict(sorted((word, number) for word, number in connection.execute(counted.group_by(status))))


def _average(metric: str) -> ColumnElement[Any]:
    """Of a minute's samples those that had the metric."""
    known = _M.samples - func.coalesce(_M[f"{metric}_nulls"], 0)
    return _M[f"{metric}_sum"] / func.nullif(known, 0)


def trend(connection: Connection, since: datetime) -> Sequence[Record]:
    """All hosts together, minute by minute: CPU in % of all cores, memory in % of all there is."""
    cpu, usage, share = (_average(name) for name in ("cpu_percentage", "memory_usage", "memory_percentage"))
    cores = func.coalesce(func.nullif(_H.cpu_cores, 0), 1)
    measured = case((_M.cpu_percentage_sum.is_not(None), cores))
    whole = case((share > 0, usage * 100 / share))
    statement = select(
        *(null().label(name) for name in ("host_id", "engine_type", "container_name")),
        _M.begins_at,
        (func.sum(cpu * cores) / func.nullif(func.sum(measured), 0)).label("cpu_percentage"),
        (func.sum(case((share > 0, usage))) * 100 / func.nullif(func.sum(whole), 0)).label("memory_percentage"),
    )
    joined = series.join(hosts, _H.id == series.c.host_id).join(_MINUTES, _M.series_id == series.c.id)
    statement = statement.select_from(joined).where(PRESENT, OWN, *_recent(since))
    return connection.execute(statement.group_by(_M.begins_at).order_by(_M.begins_at)).all()


def trends(connection: Connection, ids: Collection[int], since: datetime, *, of_containers: bool) -> Sequence[Record]:
    """Minute by minute each of some hosts, or each of their containers of now."""
    names = [series.c.host_id, series.c.engine_type, series.c.container_name]
    values = [_average(name).label(name) for name in ("cpu_percentage", "memory_percentage")]
    joined = series.join(hosts, _H.id == series.c.host_id).join(_MINUTES, _M.series_id == series.c.id)
    whose = series.c.container_name != HOST[1] if of_containers else OWN
    statement = select(*names, _M.begins_at, *values).select_from(joined)
    statement = statement.where(PRESENT, _H.id.in_(ids), whose, *_recent(since))
    return connection.execute(statement.order_by(*names, _M.begins_at)).all()


def _recent(since: datetime) -> Iterable[ColumnElement[bool]]:
    """Names of long ago are left alone."""
    return series.c.last_on >= (since - timedelta(days=1)).date(), _M.begins_at >= since
