"""The past of one series in steps, from the tiers and the rows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Select, func, select

from database.buckets import PARTS, Bucket, Metric, Span, count, joined, stored, within
from database.containers import along_index
from database.rollups import begin
from database.rows import Record
from database.series import HOST
from database.tiers import Cadence, Walk
from model.history import METRICS, rollups, series
from model.models import containers, hosts, reports
from model.queries import MAX_POINTS

# Of every sample one more than is given at once: whoever asks for so many is told.
MOST_SAMPLES = MAX_POINTS + 1


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose past, from when to before when, in steps of how many seconds (0: every sample); `now` is the present.

    A name without an engine means the latest one that had a container of this name.
    """

    host_id: int
    name: tuple[str | None, str]
    span: Span
    step_s: int
    now: datetime


# When it began, and what it was.
Piece = tuple[datetime, Bucket]


@dataclass(frozen=True, slots=True)
class Point:
    """One step: its samples, and how many the host's cadence of then would have made; None: it is not known."""

    begins_at: datetime
    bucket: Bucket
    expected: float | None

    @property
    def coverage(self) -> float | None:
        """Samples there are / samples there should be, from 0 to 1."""
        return min(self.bucket.samples / self.expected, 1.0) if self.expected else None


def points(connection: Connection, asked: Asked) -> list[Point] | None:
    """The steps in which there are samples; None if there is no such host."""
    there = (hosts.c.id == asked.host_id, hosts.c.deleted_at.is_(None))
    host = connection.execute(select(hosts.c.id, hosts.c.interval_s).where(*there)).one_or_none()
    if host is None:
        return None
    asked = resolved(connection, asked)
    cadence = Cadence(asked.step_s, host.interval_s)
    steps: dict[datetime, Bucket] = {}
    for at, bucket in sorted(_walk(connection, asked, cadence).steps(asked.span, asked.step_s), key=itemgetter(0)):
        first = begin(at, asked.step_s) if asked.step_s else at
        steps[first] = joined(steps.get(first), bucket)
    return [
        Point(at, bucket, cadence.expected(at, asked.now) if asked.step_s else None)
        for at, bucket in sorted(steps.items())
    ]


def resolved(connection: Connection, asked: Asked) -> Asked:
    """The same with the engine that is meant."""
    if asked.name[0] is not None:
        return asked
    return replace(asked, name=(_engine_of(connection, asked), asked.name[1]))


def _walk(connection: Connection, asked: Asked, cadence: Cadence) -> Walk[Bucket]:
    series_id = _series_id(connection, asked)
    return Walk(
        connection=connection,
        host_id=asked.host_id,
        now=asked.now,
        tier=partial(_tier, connection, series_id),
        rows=partial(_rows, connection, asked),
        cadence=cadence,
    )


def _series_id(connection: Connection, asked: Asked) -> int | None:
    c, (engine, name) = series.c, asked.name
    named = (c.host_id == asked.host_id, c.engine_type == engine, c.container_name == name)
    return connection.scalar(select(c.id).where(*named))


def _tier(connection: Connection, series_id: int | None, seconds: int, span: Span) -> Iterator[Piece]:
    c = rollups[seconds].c
    inside = (c.series_id == series_id, c.begins_at >= span[0], c.begins_at < span[1])
    statement = select(c.begins_at, c.samples, c.status, *(c[part] for part in PARTS)).where(*inside)
    for at, samples, status, *parts in connection.execute(statement.order_by(c.begins_at)).all():
        yield at, stored(samples, status, parts)


def _rows(connection: Connection, asked: Asked, span: Span) -> Iterator[Piece]:
    """The samples themselves, each a bucket of one."""
    last = None
    if not count(connection, asked.host_id, span):  # else a silent host's containers would be looked for
        return
    statement = _of_host(asked, span) if asked.name == HOST else _of_container(asked, span)
    for row in connection.execute(statement):
        if row.sampled_at != last:  # of equal names in one report the first counts
            yield row.sampled_at, _sample(row)
        last = row.sampled_at


def _of_host(asked: Asked, span: Span) -> Select[Any]:
    c, inside = reports.c, within(reports, asked.host_id, span)
    statement = select(c.sampled_at, *(c[name] for name in METRICS)).where(*inside).order_by(c.sampled_at)
    return statement if asked.step_s else statement.limit(MOST_SAMPLES)


def _of_container(asked: Asked, span: Span) -> Select[Any]:
    c, (engine, name) = containers.c, asked.name
    inside = (*within(containers, asked.host_id, span), c.container_name == name, c.engine_type == engine)
    statement = select(c.sampled_at, c.status, *(c[metric] for metric in METRICS))
    if asked.step_s:
        return along_index(statement.where(*inside).order_by(c.sampled_at, c.id))
    # Equal names in one report must not count for the limit: what is left out of an answer would not be noticed.
    ids = select(func.min(c.id).label("id")).where(*inside).group_by(c.sampled_at).order_by(c.sampled_at)
    first = along_index(ids.limit(MOST_SAMPLES)).subquery()
    return statement.join(first, first.c.id == c.id).order_by(c.sampled_at)


def _sample(row: Record) -> Bucket:
    metrics = [Metric(value, value, value, int(value is None)) for value in (getattr(row, name) for name in METRICS)]
    return Bucket(1, getattr(row, "status", None), metrics)


def _engine_of(connection: Connection, asked: Asked) -> str:
    """The latest one; `docker` if nobody has heard of the name."""
    host_id, (_, name) = asked.host_id, asked.name
    known = select(series.c.engine_type).where(series.c.host_id == host_id, series.c.container_name == name)
    now = select(containers.c.engine_type).join(hosts, hosts.c.id == containers.c.host_id)
    now = now.where(hosts.c.id == host_id, containers.c.sampled_at == hosts.c.sampled_at)
    found = connection.scalar(known.order_by(series.c.id.desc()).limit(1))
    return found or connection.scalar(now.where(containers.c.container_name == name).limit(1)) or "docker"
