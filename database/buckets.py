"""What the samples of a span of time come to: aggregates of raw rows, and of finer buckets. Nothing here writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, Table, func, select

from database.containers import along_index
from database.rows import Record
from database.series import HOST, Name
from model.history import METRICS, rollups
from model.models import containers, reports


@dataclass(slots=True)
class Metric:
    """One metric of a bucket; without any value the rest is None."""

    sum: float | None
    min: float | None
    max: float | None
    nulls: int


@dataclass(slots=True)
class Bucket:
    """The samples of one series in a span; `last` is when the newest was taken, `status` what it said."""

    samples: int
    last: datetime
    status: str | None
    metrics: list[Metric]


Span = tuple[datetime, datetime]


def raw(connection: Connection, host_id: int, span: Span) -> dict[Name, Bucket]:
    """Aggregates the rows of a host and its containers, from the span's first moment to before its last."""
    found = {(row.engine_type, row.container_name): row for row in _grouped(connection, host_id, span)}
    statuses = _statuses(connection, host_id, {row.last for row in found.values()})
    made = {name: _bucket(row, statuses[(row.last, *name)]) for name, row in found.items()}
    host = connection.execute(_of_reports(host_id, span)).one()
    return {**made, HOST: _bucket(host, None)} if host.samples else made


def finer(connection: Connection, seconds: int, ids: dict[Name, int], span: Span) -> dict[Name, Bucket]:
    """Aggregates the buckets of a tier."""
    table = rollups[seconds]
    inside = (table.c.series_id.in_(ids.values()), table.c.begins_at >= span[0], table.c.begins_at < span[1])
    names = {id_: name for name, id_ in ids.items()}
    made: dict[Name, Bucket] = {}
    for row in connection.execute(select(table).where(*inside).order_by(table.c.series_id, table.c.begins_at)):
        name = names[row.series_id]
        made[name] = joined(made.get(name), stored(row))
    return made


def count(connection: Connection, host_id: int, span: Span) -> int:
    """How many reports there are."""
    statement = select(func.count()).select_from(reports).where(*within(reports, host_id, span))
    return connection.execute(statement).scalar_one()


def within(table: Table, host_id: int, span: Span) -> list[ColumnElement[bool]]:
    """A host's rows from the span's first moment to before its last."""
    return [table.c.host_id == host_id, table.c.sampled_at >= span[0], table.c.sampled_at < span[1]]


def _aggregated(table: FromClause) -> list[ColumnElement[Any]]:
    """Columns in the order that `_bucket` reads them."""
    columns: list[ColumnElement[Any]] = [func.count().label("samples"), func.max(table.c.sampled_at).label("last")]
    for metric in METRICS:
        value = table.c[metric]
        columns += [func.sum(value), func.min(value), func.max(value), func.count(value)]
    return columns


def _of_reports(host_id: int, span: Span) -> Select[Any]:
    return select(*_aggregated(reports)).where(*within(reports, host_id, span))


def _of_containers(table: FromClause) -> Select[Any]:
    times = func.count(table.c.sampled_at.distinct()).label("reports")
    names = (table.c.engine_type, table.c.container_name)
    return select(*_aggregated(table), *names, times).group_by(*names)


def _grouped(connection: Connection, host_id: int, span: Span) -> Sequence[Record]:
    """Of equal names in one report the first counts: they are looked for only where there are some."""
    c, inside = containers.c, within(containers, host_id, span)
    statement = along_index(_of_containers(containers).where(*inside))
    rows = connection.execute(statement).all()
    if all(row.samples == row.reports for row in rows):
        return rows
    place = func.row_number().over(partition_by=(c.sampled_at, c.engine_type, c.container_name), order_by=c.id)
    numbered = along_index(select(containers, place.label("place")).where(*inside)).subquery()
    return connection.execute(_of_containers(numbered).where(numbered.c.place == 1)).all()


def _statuses(connection: Connection, host_id: int, moments: set[datetime]) -> dict[tuple[datetime, str, str], str]:
    """What each container said at some moments."""
    c = containers.c
    statement = select(c.sampled_at, c.engine_type, c.container_name, c.status).where(
        c.host_id == host_id, c.sampled_at.in_(moments)
    )
    rows = connection.execute(along_index(statement).order_by(c.id.desc()))
    return {(at, engine, name): status for at, engine, name, status in rows}


def _bucket(row: Record, status: str | None) -> Bucket:
    values = [tuple(row)[first : first + 4] for first in range(2, 2 + 4 * len(METRICS), 4)]
    metrics = [Metric(sum_, min_, max_, row.samples - known) for sum_, min_, max_, known in values]
    return Bucket(row.samples, row.last, status, metrics)


def stored(row: Record) -> Bucket:
    """A row of a tier."""
    metrics = [_metric(row, name) for name in METRICS]
    return Bucket(row.samples, row.begins_at, row.status, metrics)


def _metric(row: Record, name: str) -> Metric:
    sum_, min_, max_, nulls = (getattr(row, f"{name}_{part}") for part in ("sum", "min", "max", "nulls"))
    return Metric(sum_, min_, max_, nulls or 0)


def joined(earlier: Bucket | None, later: Bucket) -> Bucket:
    """Two parts of one span, or the only one."""
    if earlier is None:
        return later
    metrics = [_joined_metric(one, other) for one, other in zip(earlier.metrics, later.metrics, strict=True)]
    return Bucket(earlier.samples + later.samples, later.last, later.status, metrics)


def _joined_metric(one: Metric, other: Metric) -> Metric:
    nulls = one.nulls + other.nulls
    if one.sum is None or one.min is None or one.max is None:
        return Metric(other.sum, other.min, other.max, nulls)
    if other.sum is None or other.min is None or other.max is None:
        return Metric(one.sum, one.min, one.max, nulls)
    return Metric(one.sum + other.sum, min(one.min, other.min), max(one.max, other.max), nulls)
