"""Removes what forgotten hosts left, a few thousand rows a transaction. Nothing here commits."""

from typing import Any

from sqlalchemy import Connection, delete, func, select

from model.history import events, rollup_due, rollups, series, webhook_calls
from model.models import agents, containers, host_tags, hosts, reports, rollup_pending

# Locked until the transaction ends, so that of several processes one removes a host's rows and none waits for it.
_FORGOTTEN = (
    select(hosts.c.id)
    .where(hosts.c.deleted_at.is_not(None), hosts.c.host_name.is_(None))
    .order_by(hosts.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)


def purge(connection: Connection, limit: int) -> int:
    """Removes up to `limit` rows of forgotten hosts, and a host itself once nothing refers to it; gives how many.

    By primary key, so that no more is locked than is removed.
    """
    gone = connection.scalar(_FORGOTTEN)
    if gone is None:
        return 0
    ids = connection.scalars(select(containers.c.id).where(containers.c.host_id == gone).limit(limit)).all()
    if ids:
        return connection.execute(delete(containers).where(containers.c.id.in_(ids))).rowcount
    removed = _purge_moments(connection, reports, reports.c.sampled_at, gone, limit)
    removed = removed or _purge_moments(connection, rollup_pending, rollup_pending.c.minute, gone, limit)
    removed = removed or _purge_moments(connection, events, events.c.at, gone, limit)
    for table in (rollup_due, webhook_calls, host_tags, agents):
        removed = removed or connection.execute(delete(table).where(table.c.host_id == gone)).rowcount
    removed = removed or _purge_series(connection, gone, limit)
    return removed or _purge_row(connection, gone)


def _purge_series(connection: Connection, host_id: int, limit: int) -> int:
    """One series at a time, its aggregates first."""
    one = connection.scalar(select(series.c.id).where(series.c.host_id == host_id).limit(1))
    if one is None:
        return 0
    for table in rollups.values():
        inside = select(table.c.begins_at).where(table.c.series_id == one)
        moments = connection.scalars(inside.order_by(table.c.begins_at).limit(limit)).all()
        if moments:
            statement = delete(table).where(table.c.series_id == one, table.c.begins_at <= moments[-1])
            return connection.execute(statement).rowcount
    return connection.execute(delete(series).where(series.c.id == one)).rowcount


def _purge_row(connection: Connection, host_id: int) -> int:
    """The newest row stays, hidden, until there is a newer one: an engine may give a removed last id to the next host.

    A process that still had the id cached for the old name would then write one host's reports to the other.
    """
    if host_id == connection.scalar(select(func.max(hosts.c.id))):
        return 0
    return connection.execute(delete(hosts).where(hosts.c.id == host_id)).rowcount


def _purge_moments(connection: Connection, table: Any, column: Any, host_id: int, limit: int) -> int:  # noqa: ANN401
    moments = connection.scalars(select(column).where(table.c.host_id == host_id).order_by(column).limit(limit)).all()
    if not moments:
        return 0
    statement = delete(table).where(table.c.host_id == host_id, column <= moments[-1])
    return connection.execute(statement).rowcount
