"""Brings aggregates up to date with the rows that made them so, in the transaction that forgets what was due.

What is due is named by rows that the writer makes in the transaction of the reports themselves, never by a time or an
id up to which all were done: a transaction that commits late cannot be missed. Under the host's lock nothing is
written for it meanwhile.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, delete, select, true

from database.dialect import insert_ignore
from database.making import Making
from database.rows import Record
from model.history import TIERS, rollup_due
from model.models import hosts, rollup_pending
from utils.utils import EPOCH

# A bucket is made so long after its end: reports take a moment to come.
SETTLE = timedelta(seconds=10)
# So long a transaction works at most before it commits: the writer's next batch waits for it.
BUDGET_S = 0.015
# So many buckets are looked up at a time.
LOOK_AHEAD = 300
# About so many rows are aggregated by one statement: 25 hosts' minutes of 20 containers at 10 s.
ROWS = 3_000
USUAL_INTERVAL_S = 10.0

_DUE = insert_ignore(rollup_due)


@dataclass(frozen=True, slots=True)
class Due:
    """A host's bucket, and about how many rows it is made of."""

    host_id: int
    rows: float


def step(connection: Connection, now: datetime) -> int:
    """Makes some of the buckets that are due, the finest tier first; gives how many. The caller commits."""
    ends = time.monotonic() + BUDGET_S
    done, locked = 0, Locked(connection)
    for seconds, at, due in _due(connection, now):
        for host_ids in _portions(locked.may_hold(due)):
            if held := locked.get(host_ids):
                Making(connection, seconds, at, held).make()
                _name_coarser(connection, seconds, held, at)
            _forget(connection, seconds, host_ids, at)
            done += len(host_ids)
            if time.monotonic() > ends:
                return done
    return done


def _portions(due: Iterable[Due]) -> Iterator[list[int]]:
    """As many hosts as one statement aggregates, at least one."""
    portion, rows = list[int](), 0.0
    for one in due:
        if portion and rows + one.rows > ROWS:
            yield portion
            portion, rows = [], 0.0
        portion.append(one.host_id)
        rows += one.rows
    if portion:
        yield portion


class Locked:
    """The hosts that this transaction holds, locked when they are first met, in the order of their ids."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._hosts: dict[int, Record | None] = {}

    def may_hold(self, due: Iterable[Due]) -> list[Due]:
        """Those that are held already or come after all that are; the others have to wait for the next transaction."""
        newest = max(self._hosts, default=0)
        return [one for one in due if one.host_id in self._hosts or one.host_id > newest]

    def get(self, host_ids: Sequence[int]) -> dict[int, Record]:
        """By id the cadence and the newest report of the ledger; without those that were deleted."""
        if absent := [host_id for host_id in host_ids if host_id not in self._hosts]:
            h = hosts.c
            statement = select(h.id, h.interval_s, h.ledger_at).where(h.id.in_(absent), h.deleted_at.is_(None))
            found = {row.id: row for row in self._connection.execute(statement.order_by(h.id).with_for_update())}
            self._hosts |= {host_id: found.get(host_id) for host_id in absent}
        return {host_id: host for host_id in host_ids if (host := self._hosts[host_id])}


def _due(connection: Connection, now: datetime) -> Iterator[tuple[int, datetime, list[Due]]]:
    """Tier, beginning and hosts of buckets that have ended; of each host the earliest first."""
    for seconds in TIERS:
        moments: dict[datetime, list[Due]] = {}
        for row in connection.execute(_ended(seconds, now - SETTLE - timedelta(seconds=seconds))):
            moments.setdefault(row.at, []).append(Due(row.host_id, _rows_of(row, seconds)))
        yield from ((seconds, at, moments[at]) for at in sorted(moments))
        if moments:  # the coarser ones follow when these are made
            return


def _rows_of(host: Record, seconds: int) -> float:
    """About how many rows the bucket is made of: reports, or finer buckets."""
    each_s = (host.interval_s or USUAL_INTERVAL_S) if seconds == TIERS[0] else TIERS[TIERS.index(seconds) - 1]
    return float(((host.containers_count or 0) + 1) * max(seconds / each_s, 1))


def _ended(seconds: int, latest: datetime) -> Select[Any]:
    pending, due = rollup_pending.c, rollup_due.c
    host_id, at, inside = (due.host_id, due.begins_at, due.seconds == seconds)
    if seconds == TIERS[0]:
        host_id, at, inside = (pending.host_id, pending.minute, true())
    statement = select(host_id, at.label("at"), hosts.c.containers_count, hosts.c.interval_s)
    statement = statement.outerjoin_from(host_id.table, hosts, hosts.c.id == host_id)
    return statement.where(inside, at <= latest).order_by(host_id, at).limit(LOOK_AHEAD)


def _forget(connection: Connection, seconds: int, host_ids: Sequence[int], at: datetime) -> None:
    pending, due = rollup_pending.c, rollup_due.c
    if seconds == TIERS[0]:
        done = delete(rollup_pending).where(pending.host_id.in_(host_ids), pending.minute == at)
    else:
        done = delete(rollup_due).where(due.seconds == seconds, due.host_id.in_(host_ids), due.begins_at == at)
    connection.execute(done)


def _name_coarser(connection: Connection, seconds: int, host_ids: Iterable[int], at: datetime) -> None:
    coarser = next((tier for tier in TIERS if tier > seconds), None)
    if coarser:
        begins_at = begin(at, coarser)
        rows = [{"seconds": coarser, "host_id": host_id, "begins_at": begins_at} for host_id in host_ids]
        connection.execute(_DUE, rows)


def begin(at: datetime, seconds: int) -> datetime:
    """When the bucket begins that holds a moment."""
    return at - (at - EPOCH) % timedelta(seconds=seconds)
