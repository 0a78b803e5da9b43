"""Buckets as they are read: the samples of a series in a span of time, whole or in parts."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, func, select

from database.rows import Record
from model.history import METRICS
from model.models import reports


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


def count(connection: Connection, host_id: int, span: Span) -> int:
    """How many reports there are."""
    statement = select(func.count()).select_from(reports).where(*within(reports, host_id, span))
    return connection.execute(statement).scalar_one()


def within(table: Table, host_id: int, span: Span) -> list[ColumnElement[bool]]:
    """A host's rows from the span's first moment to before its last."""
    return [table.c.host_id == host_id, table.c.sampled_at >= span[0], table.c.sampled_at < span[1]]


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
