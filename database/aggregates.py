"""Fills buckets inside the database, of several hosts at once: from rows, and from the buckets of a finer tier.

Read into the process and written back, a bucket cost the driver more than it costs the server. The statements are
built once: to build them each time cost as much as to execute them.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    Select,
    and_,
    bindparam,
    case,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from database.buckets import PARTS
from database.containers import along_index
from database.rows import Record
from database.series import OWN, Names
from database.told import Told, bound, inside, rows_of
from model.history import METRICS, TIERS, rollups, series
from model.models import containers, hosts, reports

_COLUMNS = ("series_id", "begins_at", "samples", *PARTS, "status", "interval_s")
_AT = bindparam("first", type_=rollups[TIERS[0]].c.begins_at.type)


def fill(connection: Connection, seconds: int, at: datetime, made_of: Told, names: Names) -> None:
    """Makes buckets of the rows, for hosts that have none of this tier at this moment; their series are there."""
    span = (at, at + timedelta(seconds=seconds))
    connection.execute(_of_hosts(seconds), bound(names, span))
    doubled = names.keys() & made_of.doubled
    for once, host_ids in ((False, names.keys() - doubled), (True, doubled)):
        if host_ids:
            connection.execute(_of_containers(seconds, once=once), bound(host_ids, span))
    _set_last_statuses(connection, seconds, at, list(made_of.unsteady(names)), names)


@cache
def _of_containers(seconds: int, *, once: bool) -> Insert:
    table, span = rows_of(once=once)
    names = (table.c.host_id, table.c.engine_type, table.c.container_name)
    made = select(*names, *_aggregated(table), func.min(table.c.status).label("status"))
    g, s = along_index(made.where(*span).group_by(*names)).subquery(), series.c
    same = and_(s.host_id == g.c.host_id, s.engine_type == g.c.engine_type, s.container_name == g.c.container_name)
    values = (g.c.samples, *(g.c[part] for part in PARTS), g.c.status)
    # Outer, though each series is there: or MariaDB begins with all names that the hosts ever had.
    return _into(seconds, select(s.id, _AT, *values, null()).outerjoin_from(g, series, same))


@cache
def _of_hosts(seconds: int) -> Insert:
    r, s = reports.c, series.c
    g = select(r.host_id, *_aggregated(reports)).where(*inside(reports)).group_by(r.host_id).subquery()
    own = and_(s.host_id == g.c.host_id, OWN)
    values = (g.c.samples, *(g.c[part] for part in PARTS), null(), hosts.c.interval_s)
    made = select(s.id, _AT, *values).select_from(g).join(series, own)
    return _into(seconds, made.join(hosts, hosts.c.id == g.c.host_id))


def _into(seconds: int, made: Select[Any]) -> Insert:
    return insert(rollups[seconds]).from_select(_COLUMNS, made)


def _aggregated(table: FromClause) -> list[ColumnElement[Any]]:
    made: list[ColumnElement[Any]] = [func.count().label("samples")]
    for metric in METRICS:
        value = table.c[metric]
        made += [func.sum(value).label(f"{metric}_sum"), func.min(value).label(f"{metric}_min")]
        made += [func.max(value).label(f"{metric}_max")]
        made += [func.nullif(func.count() - func.count(value), 0).label(f"{metric}_nulls")]
    return made


def _set_last_statuses(
    connection: Connection, seconds: int, at: datetime, unsteady: Sequence[Record], names: Names
) -> None:
    """Where a container did not say the same all the time, its bucket has what it said last."""
    if not unsteady:
        return
    c, t = containers.c, rollups[seconds].c
    moments = sorted({(row.host_id, row.last) for row in unsteady})
    wanted = or_(*(and_(c.host_id == host_id, c.sampled_at == last) for host_id, last in moments))
    statement = select(c.host_id, c.engine_type, c.container_name, c.sampled_at, c.status).where(wanted)
    rows = connection.execute(along_index(statement).order_by(c.id.desc()))
    said = {tuple(row)[:4]: row.status for row in rows}
    statuses = {
        names[host_id][(engine, name)]: said[(host_id, engine, name, last)]
        for host_id, engine, name, last in ((*tuple(row)[:3], row.last) for row in unsteady)
    }
    mine = update(rollups[seconds]).where(t.begins_at == at, t.series_id.in_(statuses))
    connection.execute(mine.values(status=case(statuses, value=t.series_id)))


def fill_from(connection: Connection, finer: int, seconds: int, at: datetime, series_ids: Collection[int]) -> None:
    """Makes buckets of those of a finer tier; none of these series has one of this tier at this moment."""
    span = {"first": at, "last": at + timedelta(seconds=seconds)}
    connection.execute(_of_buckets(finer, seconds), {"series_ids": list(series_ids), **span})


@cache
def _of_buckets(finer: int, seconds: int) -> Insert:
    f = rollups[finer].c
    ends = bindparam("last", type_=f.begins_at.type)
    inside = (f.series_id.in_(bindparam("series_ids", expanding=True)), f.begins_at >= _AT, f.begins_at < ends)
    known = (func.sum(f.samples).label("samples"), func.max(f.begins_at).label("last"))
    joined = [_joined(part, f[part]).label(part) for part in PARTS]
    g = select(f.series_id, *known, *joined).where(*inside).group_by(f.series_id).subquery()
    newest = rollups[finer].alias("newest")
    last = and_(newest.c.series_id == g.c.series_id, newest.c.begins_at == g.c.last)
    values = (g.c.samples, *(g.c[part] for part in PARTS), newest.c.status, newest.c.interval_s)
    return _into(seconds, select(g.c.series_id, _AT, *values).join_from(g, newest, last))


def _joined(part: str, column: ColumnElement[Any]) -> ColumnElement[Any]:
    if part.endswith("_min"):
        return func.min(column)
    return func.max(column) if part.endswith("_max") else func.sum(column)
