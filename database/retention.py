"""Removes what is old, in key order and a few thousand rows a transaction. Nothing here commits.

Never the report that a host points to, nor its containers: a host that fell silent keeps its last state. Never what an
aggregate or the ledger still needs.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Label,
    and_,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    tuple_,
    union,
)

from database.rows import Record
from model.history import events, rollup_due, rollups, series
from model.models import containers, hosts, reports, rollup_pending

# So many rows a statement, and after so long a transaction takes nothing new in hand: the writer's next batch waits.
ROWS, BUDGET_S = 2_000, 0.008
# So many series, and hosts, are asked at a time whether they have anything old.
SERIES, HOSTS = 200, 10
# An Idempotency-Key is remembered for as long as its report is, and at least for this.
KEYS = timedelta(hours=24)
# A host of which a merge was begun and not finished: what its rows are needed for, no mark tells.
_MERGED = and_(hosts.c.deleted_at.is_not(None), hosts.c.host_name.is_not(None))


class Progress(NamedTuple):
    """How many rows went, and the key behind which the next transaction goes on; None: this was the last."""

    removed: int
    after: int | None


class _Owned(NamedTuple):
    """Rows of a table whose primary key begins with whose they are, `by` the id of an `owner`, and when, `at`."""

    owner: Column[int]
    by: Column[int]
    at: Column[datetime]


# Removes what is old behind a key.
Expire = Callable[[Connection, int], Progress]


def sweep(connection: Connection, expire: Expire, after: int) -> Progress:
    """Goes on until there is enough for one transaction."""
    ends, removed = time.monotonic() + BUDGET_S, 0
    while True:
        progress = expire(connection, after)
        removed += progress.removed
        if progress.after is None or time.monotonic() > ends:
            return Progress(removed, progress.after)
        after = progress.after


def needed_from(connection: Connection, cutoff: datetime) -> datetime:
    """The cutoff, or the oldest moment whose rows an aggregate still waits for."""
    first = (func.min(rollup_pending.c.minute), func.min(rollup_due.c.begins_at))
    found = connection.execute(select(*(select(column).scalar_subquery() for column in first))).one()
    oldest: list[datetime | None] = list(found)
    return min([cutoff, *(moment for moment in oldest if moment is not None)])


def expire_containers(connection: Connection, after: int, *, cutoff: datetime) -> Progress:
    """From the head of the primary key, by which rows arrive, until a page has nothing that is old enough.

    A late report's rows lie behind younger ones: they go when the head has come there.
    """
    c, cutoff = containers.c, needed_from(connection, cutoff)
    page = select(c.id, c.sampled_at).where(c.id > after).order_by(c.id).limit(ROWS).subquery()
    last, oldest = connection.execute(select(func.max(page.c.id), func.min(page.c.sampled_at))).one()
    if last is None or oldest >= cutoff:
        return Progress(0, None)
    old = (c.id > after, c.id <= last, c.sampled_at < cutoff)
    removed = connection.execute(delete(containers).where(*old, *_not_current(connection, cutoff))).rowcount
    return Progress(removed, last)


def _not_current(connection: Connection, cutoff: datetime) -> list[ColumnElement[bool]]:
    """Hosts whose last state is that old are few: they are silent, or forgotten.

    Of one that has just come back the ledger compares its first report with the last one it knows.
    """
    moments = (hosts.c.sampled_at, hosts.c.ledger_at)
    statement = union(*(select(hosts.c.id, moment).where(moment < cutoff) for moment in moments))
    silent = [tuple(row) for row in connection.execute(statement)]
    current: list[ColumnElement[bool]] = (
        [tuple_(containers.c.host_id, containers.c.sampled_at).not_in(silent)] if silent else []
    )
    merged = connection.scalars(select(hosts.c.id).where(_MERGED)).all()
    return [*current, containers.c.host_id.not_in(merged)] if merged else current


def expire_reports(connection: Connection, after: int, *, cutoff: datetime, now: datetime) -> Progress:
    """Host by host: reports whose containers are gone, and whose keys need not be remembered any more."""
    h, r = hosts.c, reports.c
    some = select(h.id, h.sampled_at, h.ledger_at, _first(r.sampled_at, r.host_id == h.id)).where(not_(_MERGED))
    found = connection.execute(some.where(h.id > after).order_by(h.id).limit(HOSTS)).all()
    if not found:
        return Progress(0, None)
    cutoff, removed = needed_from(connection, cutoff), 0
    for host in _older(found, cutoff):
        removed += _expire_reports_of(connection, host, cutoff, now, ROWS - removed)
        if removed >= ROWS:
            return Progress(removed, host.id - 1)
    return Progress(removed, found[-1].id)


def _expire_reports_of(connection: Connection, host: Record, cutoff: datetime, now: datetime, most: int) -> int:
    r, c = reports.c, containers.c
    old = [r.host_id == host.id, r.sampled_at < cutoff, r.received_at < now - KEYS]
    old += [r.sampled_at != moment for moment in (host.sampled_at, host.ledger_at) if moment is not None]
    old.append(~exists().where(c.host_id == r.host_id, c.sampled_at == r.sampled_at))
    return _expire_some(connection, r.sampled_at, old, most)


def expire_buckets(connection: Connection, after: int, *, seconds: int, cutoff: datetime) -> Progress:
    """Series by series."""
    t = rollups[seconds].c
    return _expire_of(connection, after, cutoff, _Owned(series.c.id, t.series_id, t.begins_at), SERIES)


def expire_series(connection: Connection, after: int, *, cutoff: datetime) -> Progress:
    """Names of which nothing is known since then, and of which no aggregate and no event tells."""
    s = series.c
    found = connection.execute(select(s.id, s.last_on).where(s.id > after).order_by(s.id).limit(ROWS)).all()
    if not found:
        return Progress(0, None)
    old = [row.id for row in found if row.last_on < cutoff.date()]
    used = [exists().where(table.c.series_id == s.id) for table in (events, *rollups.values())]
    removed = connection.execute(delete(series).where(s.id.in_(old), not_(or_(*used)))).rowcount if old else 0
    return Progress(removed, found[-1].id)


def expire_events(connection: Connection, after: int, *, cutoff: datetime) -> Progress:
    """Host by host."""
    return _expire_of(connection, after, cutoff, _Owned(hosts.c.id, events.c.host_id, events.c.at), HOSTS)


def _expire_of(connection: Connection, after: int, cutoff: datetime, owned: _Owned, most: int) -> Progress:
    """In the order of the primary key; who has nothing old is passed over, many at a time."""
    some = select(owned.owner, _first(owned.at, owned.by == owned.owner)).where(owned.owner > after)
    found = connection.execute(some.order_by(owned.owner).limit(most)).all()
    if not found:
        return Progress(0, None)
    removed = 0
    for one in (row.id for row in _older(found, cutoff)):
        removed += _expire_some(connection, owned.at, [owned.by == one, owned.at < cutoff], ROWS - removed)
        if removed >= ROWS:
            return Progress(removed, one - 1)
    return Progress(removed, found[-1].id)


def _expire_some(connection: Connection, at: Column[datetime], old: Sequence[ColumnElement[bool]], most: int) -> int:
    """The oldest of what is old; more than asked for only where moments are equal."""
    moments = connection.scalars(select(at).where(*old).order_by(at).limit(most)).all()
    return connection.execute(delete(at.table).where(*old, at <= moments[-1])).rowcount if moments else 0


def _first(moment: ColumnElement[datetime], own: ColumnElement[bool]) -> Label[datetime]:
    """The oldest moment of what is somebody's own. Not MIN: correlated, it would read all of it."""
    return select(moment).where(own).order_by(moment).limit(1).scalar_subquery().label("first")


def _older(found: Sequence[Record], cutoff: datetime) -> list[Record]:
    return [row for row in found if row.first is not None and row.first < cutoff]
