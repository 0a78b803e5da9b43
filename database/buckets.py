"""Buckets as they are read: the samples of a series in a span of time, whole or in parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, func, select

from model.history import METRICS
from model.models import reports

# What a bucket's row has of each metric.
PARTS = tuple(f"{metric}_{part}" for metric in METRICS for part in ("sum", "min", "max", "nulls"))


@dataclass(slots=True)
class Metric:
    """One metric of a bucket; without any value the rest is None."""

    sum: float | None
    min: float | None
    max: float | None
    nulls: int


@dataclass(slots=True)
class Bucket:
    """The samples of one series in a span; `status` is what the newest said."""

    samples: int
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


def stored(samples: int, status: str | None, parts: Sequence[Any]) -> Bucket:
    """A row of a tier, with the values of `PARTS`."""
    columns = (parts[place::4] for place in range(4))
    metrics = [Metric(sum_, min_, max_, nulls or 0) for sum_, min_, max_, nulls in zip(*columns, strict=True)]
    return Bucket(samples, status, metrics)


def joined(earlier: Bucket | None, later: Bucket) -> Bucket:
    """Two parts of one span, or the only one."""
    if earlier is None:
        return later
    metrics = [_joined_metric(one, other) for one, other in zip(earlier.metrics, later.metrics, strict=True)]
    return Bucket(earlier.samples + later.samples, later.status, metrics)


def _joined_metric(one: Metric, other: Metric) -> Metric:
    nulls = one.nulls + other.nulls
    if one.sum is None or one.min is None or one.max is None:
        return Metric(other.sum, other.min, other.max, nulls)
    if other.sum is None or other.min is None or other.max is None:
        return Metric(one.sum, one.min, one.max, nulls)
    return Metric(one.sum + other.sum, min(one.min, other.min), max(one.max, other.max), nulls)
