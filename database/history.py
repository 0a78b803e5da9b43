"""The past of one series in steps: from the coarsest tier that divides a step, as far as it is made, then finer ones.

Where even the finest tier is not made yet, and of hosts that report too seldom for it, the rows themselves are read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, func, select

from database.buckets import Bucket, Metric, Span, count, joined, stored, within
from database.containers import along_index
from database.rollups import SETTLE, begin
from database.rows import Record
from database.series import HOST, Name
from database.series import ids as series_ids
from model.history import METRICS, TIERS, rollup_due, rollups, series
from model.models import containers, hosts, reports, rollup_pending
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
    """One step: its samples, and how many of those the host's cadence of now would have made, from 0 to 1."""

    begins_at: datetime
    bucket: Bucket
    coverage: float | None


def points(connection: Connection, asked: Asked) -> list[Point] | None:
    """The steps in which there are samples; None if there is no such host."""
    host = connection.execute(select(hosts.c.id, hosts.c.interval_s).where(hosts.c.id == asked.host_id)).one_or_none()
    if host is None:
        return None
    asked = resolved(connection, asked)
    steps: dict[datetime, Bucket] = {}
    for at, bucket in sorted(_asked_for(connection, asked), key=lambda piece: piece[0]):
        first = begin(at, asked.step_s) if asked.step_s else at
        steps[first] = joined(steps.get(first), bucket)
    return [Point(at, bucket, _coverage(asked, at, bucket, host.interval_s)) for at, bucket in sorted(steps.items())]


def resolved(connection: Connection, asked: Asked) -> Asked:
    """The same with the engine that is meant."""
    if asked.name[0] is not None:
        return asked
    return replace(asked, name=(_engine_of(connection, asked), asked.name[1]))


def _coverage(asked: Asked, at: datetime, bucket: Bucket, interval_s: float | None) -> float | None:
    """Of a step that has not ended counts what has passed of it."""
    if not interval_s or not asked.step_s:
        return None
    passed = min(at + timedelta(seconds=asked.step_s), asked.now) - at
    return min(bucket.samples * interval_s / max(passed.total_seconds(), interval_s), 1.0)


def _asked_for(connection: Connection, asked: Asked) -> Iterator[Piece]:
    """What the steps are made of. The first step is a whole one."""
    first, last = asked.span
    if not asked.step_s:
        yield from _rows(connection, asked, asked.span)
        return
    ids = series_ids(connection, asked.host_id)
    tiers = [seconds for seconds in reversed(TIERS) if not asked.step_s % seconds]
    yield from _pieces(connection, asked, ids, tiers, (begin(first, asked.step_s), last))


def _pieces(
    connection: Connection, asked: Asked, ids: dict[Name, int], tiers: Sequence[int], span: Span
) -> Iterator[Piece]:
    """The coarsest of the tiers as far as it is made; what it lacks, and what is later, of finer ones and the rows."""
    if not tiers or HOST not in ids:
        yield from _rows(connection, asked, span)
        return
    seconds, *finer = tiers
    end = max(span[0], min(begin(_made_until(connection, asked, seconds), seconds), span[1]))
    made = (span[0], end)
    if asked.name in ids:
        yield from _tier(connection, ids[asked.name], seconds, made)
    for gap in _gaps(_begins(connection, ids[HOST], seconds, made), seconds, made):
        yield from _pieces(connection, asked, ids, finer, gap)
    if end < span[1]:
        yield from _pieces(connection, asked, ids, finer, (end, span[1]))


def _begins(connection: Connection, series_id: int, seconds: int, span: Span) -> list[datetime]:
    """The buckets that a tier has of a host: all of its series are made at once."""
    t = rollups[seconds].c
    inside = (t.series_id == series_id, t.begins_at >= span[0], t.begins_at < span[1])
    return list(connection.scalars(select(t.begins_at).where(*inside).order_by(t.begins_at)))


def _gaps(begins: Sequence[datetime], seconds: int, span: Span) -> list[Span]:
    """The spans between buckets: the host was silent, or it reported too seldom then for such a tier."""
    length = timedelta(seconds=seconds)
    edges = [span[0], *(edge for at in begins for edge in (at, at + length)), span[1]]
    return [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if first < last]


def _made_until(connection: Connection, asked: Asked, seconds: int) -> datetime:
    """Up to when a tier says what the rows say: before the first bucket that is due, and no later than any is made."""
    pending, due = rollup_pending.c, rollup_due.c
    first = select(func.min(pending.minute)).where(pending.host_id == asked.host_id)
    later = select(func.min(due.begins_at)).where(due.host_id == asked.host_id, due.seconds <= seconds)
    known: list[datetime | None] = [connection.scalar(first), connection.scalar(later)]
    return min([asked.now - SETTLE, *(moment for moment in known if moment is not None)])


def _tier(connection: Connection, series_id: int, seconds: int, span: Span) -> Iterator[Piece]:
    table = rollups[seconds]
    inside = (table.c.series_id == series_id, table.c.begins_at >= span[0], table.c.begins_at < span[1])
    for row in connection.execute(select(table).where(*inside).order_by(table.c.begins_at)):
        yield row.begins_at, stored(row)


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
    return Bucket(1, row.sampled_at, getattr(row, "status", None), metrics)


def _engine_of(connection: Connection, asked: Asked) -> str:
    """The latest one; `docker` if nobody has heard of the name."""
    host_id, (_, name) = asked.host_id, asked.name
    known = select(series.c.engine_type).where(series.c.host_id == host_id, series.c.container_name == name)
    now = select(containers.c.engine_type).join(hosts, hosts.c.id == containers.c.host_id)
    now = now.where(hosts.c.id == host_id, containers.c.sampled_at == hosts.c.sampled_at)
    found = connection.scalar(known.order_by(series.c.id.desc()).limit(1))
    return found or connection.scalar(now.where(containers.c.container_name == name).limit(1)) or "docker"
