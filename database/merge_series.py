"""Gives one host's series to another, with their aggregates: what both have becomes one. Nothing commits."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, func, insert, select, update

from database.rows import Record
from database.series import touch
from model.history import TIERS, events, rollups, series
from utils.utils import EPOCH

ROWS = 5_000
HOUR = timedelta(seconds=TIERS[-1])
# What a series has of so many hours: 72 of them, 432 ten minutes and 4,320 minutes.
SPAN = 72 * HOUR
_ADDED = ("samples", "sum", "nulls")


def move(connection: Connection, source: int, target: int) -> int:
    """Moves up to 5,000 rows; 0: the source has no series any more.

    The host's own series goes first, for by its samples the aggregating job knows whether what it would make is whole.
    """
    order = (series.c.engine_type, series.c.container_name)
    first = connection.execute(select(series).where(series.c.host_id == source).order_by(*order).limit(1)).one_or_none()
    if first is None:
        return 0
    same = [column == getattr(first, column.name) for column in order]
    twin: int | None = connection.scalar(select(series.c.id).where(series.c.host_id == target, *same))
    if twin is None:
        return _give(connection, source, target)
    touch(connection, [twin], first.last_on)
    return _join(connection, first, twin)


def _give(connection: Connection, source: int, target: int) -> int:
    """Series of names that the target has not go over as they are."""
    ours = series.alias()
    names = (ours.c.engine_type == series.c.engine_type, ours.c.container_name == series.c.container_name)
    alone = select(series.c.id).outerjoin(ours, and_(ours.c.host_id == target, *names))
    alone = alone.where(series.c.host_id == source, ours.c.id.is_(None))
    ids = connection.scalars(alone.order_by(series.c.engine_type, series.c.container_name).limit(ROWS)).all()
    connection.execute(update(series).where(series.c.id.in_(ids)).values(host_id=target))
    return len(ids)


def _join(connection: Connection, old: Record, twin: int) -> int:
    """Some hours of a series, in all tiers at once: an hour may be made again from its minutes between two of these."""
    firsts = [
        connection.scalar(select(func.min(table.c.begins_at)).where(table.c.series_id == old.id))
        for table in rollups.values()
    ]
    known = [at for at in firsts if at is not None]
    if not known:
        return _events(connection, old.id, twin) or _remove(connection, old, twin)
    first = min(known) - (min(known) - EPOCH) % HOUR
    return sum(_join_tier(connection, table, (old.id, twin), first) for table in rollups.values())


def _join_tier(connection: Connection, table: Table, ids: tuple[int, int], first: datetime) -> int:
    theirs, ours = (_buckets(connection, table, one, first) for one in ids)
    shared = sorted(theirs.keys() & ours.keys())
    if shared:
        both = delete(table).where(table.c.series_id.in_(ids), table.c.begins_at.in_(shared))
        connection.execute(both)
        connection.execute(insert(table), [_sum(ours[at], theirs[at]) for at in shared])
    inside = (table.c.series_id == ids[0], table.c.begins_at >= first, table.c.begins_at < first + SPAN)
    connection.execute(update(table).where(*inside).values(series_id=ids[1]))
    return len(theirs)


def _buckets(connection: Connection, table: Table, series_id: int, first: datetime) -> dict[datetime, Record]:
    inside = (table.c.series_id == series_id, table.c.begins_at >= first, table.c.begins_at < first + SPAN)
    return {row.begins_at: row for row in connection.execute(select(table).where(*inside))}


def _sum(ours: Record, theirs: Record) -> dict[str, Any]:
    others = theirs._mapping  # noqa: SLF001 - SQLAlchemy's own name for it
    return {name: _joined(name, value, others[name]) for name, value in ours._mapping.items()}  # noqa: SLF001 - the same


def _joined(name: str, ours: Any, theirs: Any) -> Any:  # noqa: ANN401 - what the column holds
    """One column of two buckets; of what cannot be joined, as `status`, the target's counts."""
    if ours is None or theirs is None:
        return theirs if ours is None else ours
    match name.rpartition("_")[2]:
        case "min":
            return min(ours, theirs)
        case "max":
            return max(ours, theirs)
        case part:
            return ours + theirs if part in _ADDED else ours


def _events(connection: Connection, old: int, twin: int) -> int:
    of_old, at = events.c.series_id == old, events.c.at
    moments = connection.scalars(select(at).where(of_old).order_by(at).limit(ROWS)).all()
    if not moments:
        return 0
    return connection.execute(update(events).where(of_old, at <= moments[-1]).values(series_id=twin)).rowcount


def _remove(connection: Connection, old: Record, twin: int) -> int:
    """Nothing refers to it any more; what it was seen first counts."""
    if old.first_at is not None:
        later = (series.c.id == twin, func.coalesce(series.c.first_at, old.first_at) >= old.first_at)
        connection.execute(update(series).where(*later).values(first_at=old.first_at))
    return connection.execute(delete(series).where(series.c.id == old.id)).rowcount
