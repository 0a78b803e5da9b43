"""Brings aggregates up to date with the rows that made them so, in the transaction that forgets what was due.

What is due is named by rows that the writer makes in the transaction of the reports themselves, never by a time or an
id up to which all were done: a transaction that commits late cannot be missed. Under the host's lock nothing is
written for it meanwhile.
"""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from database import buckets, series
from database.buckets import Bucket
from database.dialect import insert_ignore
from database.rows import Record
from database.series import HOST, Name
from model.history import METRICS, TIERS, rollup_due, rollups
from model.models import hosts, rollup_pending
from utils.utils import EPOCH

# A bucket is made so long after its end: reports take a moment to come.
SETTLE = timedelta(seconds=10)
# So long a transaction works at most before it commits: the writer's next batch waits for it.
BUDGET_S = 0.03
# An interval is known only so well: a host that reports every 60 s must not have the finest tier now and then.
JITTER = 1.25
# So many buckets are looked up at a time.
LOOK_AHEAD = 100

_DUE = insert_ignore(rollup_due)


def step(connection: Connection, now: datetime) -> int:
    """Makes some of the buckets that are due, the finest tier first; gives how many. The caller commits."""
    ends = time.monotonic() + BUDGET_S
    done, locked = 0, Locked(connection)
    for seconds, host_id, at in _due(connection, now):
        host = locked.get(host_id)
        if host is not None:
            _make(connection, host, seconds, at)
        _forget(connection, seconds, host_id, at)
        done += 1
        if time.monotonic() > ends:
            break
    return done


class Locked:
    """The hosts that this transaction holds, each locked when it is first met."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._hosts: dict[int, Record | None] = {}

    def get(self, host_id: int) -> Record | None:
        """Id and cadence; None if the host was deleted."""
        if host_id not in self._hosts:
            statement = select(hosts.c.id, hosts.c.interval_s).where(
                hosts.c.id == host_id, hosts.c.deleted_at.is_(None)
            )
            self._hosts[host_id] = self._connection.execute(statement.with_for_update()).one_or_none()
        return self._hosts[host_id]


def _due(connection: Connection, now: datetime) -> Iterator[tuple[int, int, datetime]]:
    """Tier, host and beginning of buckets that have ended, in the order in which hosts are locked."""
    pending = rollup_pending.c
    latest = now - SETTLE - timedelta(seconds=TIERS[0])
    statement = select(pending.host_id, pending.minute).where(pending.minute <= latest)
    found = connection.execute(statement.order_by(pending.host_id, pending.minute).limit(LOOK_AHEAD)).all()
    if found:
        yield from ((TIERS[0], host_id, minute) for host_id, minute in found)
        return
    due = rollup_due.c
    for seconds in TIERS[1:]:
        ended = now - SETTLE - timedelta(seconds=seconds)
        statement = select(due.host_id, due.begins_at).where(due.seconds == seconds, due.begins_at <= ended)
        found = connection.execute(statement.order_by(due.host_id, due.begins_at).limit(LOOK_AHEAD)).all()
        if found:  # one tier a transaction: the next one would begin with the first host again
            yield from ((seconds, host_id, at) for host_id, at in found)
            return


def _forget(connection: Connection, seconds: int, host_id: int, at: datetime) -> None:
    if seconds == TIERS[0]:
        done = delete(rollup_pending).where(rollup_pending.c.host_id == host_id, rollup_pending.c.minute == at)
    else:
        due = rollup_due.c
        done = delete(rollup_due).where(due.seconds == seconds, due.host_id == host_id, due.begins_at == at)
    connection.execute(done)


def _make(connection: Connection, host: Record, seconds: int, at: datetime) -> None:
    """Makes a bucket of all series of a host, and names the next coarser one that holds it.

    A tier that is no coarser than the host's cadence is left out, for it would only repeat the rows; but a bucket that
    is there, of a time when the host reported more often, is kept right.
    """
    ids = series.ids(connection, host.id)
    known = _samples(connection, seconds, ids, at)
    if known or seconds > (host.interval_s or 0) * JITTER:
        made = _aggregates(connection, host.id, seconds, ids, at)
        # Fewer than before: rows that were in it have been removed, and a report came that is older than they were.
        if HOST in made and made[HOST].samples >= known:
            _write(connection, host, seconds, at, made)
    coarser = next((tier for tier in TIERS if tier > seconds), None)
    if coarser:
        connection.execute(_DUE, {"seconds": coarser, "host_id": host.id, "begins_at": begin(at, coarser)})


def begin(at: datetime, seconds: int) -> datetime:
    """When the bucket begins that holds a moment."""
    return at - (at - EPOCH) % timedelta(seconds=seconds)


def _samples(connection: Connection, seconds: int, ids: dict[Name, int], at: datetime) -> int:
    """How many reports a bucket is made of; 0: there is none."""
    table = rollups[seconds]
    statement = select(table.c.samples).where(table.c.series_id == ids.get(HOST), table.c.begins_at == at)
    return connection.scalar(statement) or 0


def _aggregates(
    connection: Connection, host_id: int, seconds: int, ids: dict[Name, int], at: datetime
) -> dict[Name, Bucket]:
    """From the next finer tier, unless that lacks some of the reports: it is not built while a host reports seldom."""
    span = (at, at + timedelta(seconds=seconds))
    if seconds > TIERS[0]:
        below = TIERS[TIERS.index(seconds) - 1]
        made = buckets.finer(connection, below, ids, span)
        if HOST in made and made[HOST].samples >= buckets.count(connection, host_id, span):
            return made
    return buckets.raw(connection, host_id, span)


def _write(connection: Connection, host: Record, seconds: int, at: datetime, made: dict[Name, Bucket]) -> None:
    """Replaces the bucket of each series."""
    table, ids = rollups[seconds], series.ids_of(connection, host.id, made)
    connection.execute(
        delete(table).where(table.c.begins_at == at, table.c.series_id.in_([ids[name] for name in made]))
    )
    rows = [_row(ids[name], at, bucket, host.interval_s if name == HOST else None) for name, bucket in made.items()]
    connection.execute(insert(table), sorted(rows, key=lambda row: int(str(row["series_id"]))))


def _row(series_id: int, at: datetime, bucket: Bucket, interval_s: float | None) -> dict[str, object]:
    row: dict[str, object] = {
        "series_id": series_id,
        "begins_at": at,
        "samples": bucket.samples,
        "status": bucket.status,
        "interval_s": interval_s,
    }
    for name, metric in zip(METRICS, bucket.metrics, strict=True):
        row |= {f"{name}_sum": metric.sum, f"{name}_min": metric.min, f"{name}_max": metric.max}
        row[f"{name}_nulls"] = metric.nulls or None
    return row
