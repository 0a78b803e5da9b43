"""Brings aggregates up to date with the rows that made them so, in the transaction that forgets what was due.

What is due is named by rows that the writer makes in the transaction of the reports themselves, never by a time or an
id up to which all were done: a transaction that commits late cannot be missed. Under the host's lock nothing is
written for it meanwhile.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, delete, select, true

from database.dialect import insert_ignore
from database.making import Making
from database.rows import Record
from database.series import OWN
from model.history import TIERS, rollup_due, rollups, series
from model.models import hosts, rollup_pending
from utils.utils import EPOCH

# A bucket is made so long after its end: reports take a moment to come.
SETTLE = timedelta(seconds=10)
# So many buckets are planned at a time.
LOOK_AHEAD = 5_000
# About so many rows are aggregated by one transaction: the writer's next batch waits for it.
ROWS = 1_000
USUAL_INTERVAL_S = 10.0

_DUE = insert_ignore(rollup_due)


class Portion(NamedTuple):
    """Buckets of one tier and moment, of as many hosts as one transaction aggregates."""

    seconds: int
    at: datetime
    host_ids: list[int]


class Plan(NamedTuple):
    """What is to be made, and the host behind which the next plan begins; 0: with the first one."""

    portions: list[Portion]
    after: int


NOTHING = Plan([], 0)


def due(connection: Connection, now: datetime, after: int = 0) -> Plan:
    """What has ended of the finest tier of which anything has, the earliest first; the coarser ones follow from it.

    Where that is more than one plan holds, it is that of some hosts, and the next plan goes on behind them: else the
    last hosts would have to wait until the first ones have nothing left.
    """
    for seconds in TIERS:
        rows = connection.execute(_ended(seconds, now - SETTLE - timedelta(seconds=seconds), after)).all()
        moments: dict[datetime, list[Record]] = {}
        for row in rows:
            moments.setdefault(row.at, []).append(row)
        if moments:
            portions = [Portion(seconds, at, ids) for at in sorted(moments) for ids in _portions(moments[at], seconds)]
            return Plan(portions, rows[-1].host_id if len(rows) == LOOK_AHEAD else 0)
    return due(connection, now) if after else NOTHING


def make(connection: Connection, portion: Portion) -> int:
    """Makes buckets, whoever made them meanwhile; gives how many. The caller commits."""
    seconds, at, host_ids = portion
    if held := _locked(connection, portion):
        Making(connection, seconds, at, held).make()
        _name_coarser(connection, seconds, held, at)
    _forget(connection, seconds, host_ids, at)
    return len(host_ids)


def _portions(ended: Iterable[Record], seconds: int) -> Iterator[list[int]]:
    """As many hosts as one transaction aggregates, at least one."""
    portion, rows = list[int](), 0.0
    for one in ended:
        added = _rows_of(one, seconds)
        if portion and rows + added > ROWS:
            yield portion
            portion, rows = [], 0.0
        portion.append(one.host_id)
        rows += added
    if portion:
        yield portion


def _locked(connection: Connection, portion: Portion) -> dict[int, Record]:
    """What `Making` has to know of each host, as it is once they are locked; without those that were deleted."""
    h, s, t = hosts.c, series.c, rollups[portion.seconds].c
    made = select(h.id, h.interval_s, h.ledger_at, s.id.label("series_id"), s.last_on)
    made = made.add_columns(t.samples, t.interval_s.label("made_of_interval_s"))
    made = made.outerjoin_from(hosts, series, and_(s.host_id == h.id, OWN))
    made = made.outerjoin(t.samples.table, and_(t.series_id == s.id, t.begins_at == portion.at))
    inside = (h.id.in_(portion.host_ids), h.deleted_at.is_(None))
    return {row.id: row for row in connection.execute(made.where(*inside).order_by(h.id).with_for_update())}


def _rows_of(host: Record, seconds: int) -> float:
    """About how many rows the bucket is made of: reports, or finer buckets."""
    each_s = (host.interval_s or USUAL_INTERVAL_S) if seconds == TIERS[0] else TIERS[TIERS.index(seconds) - 1]
    return float(((host.containers_count or 0) + 1) * max(seconds / each_s, 1))


def _ended(seconds: int, latest: datetime, after: int) -> Select[Any]:
    pending, coarser = rollup_pending.c, rollup_due.c
    host_id, at, inside = (coarser.host_id, coarser.begins_at, coarser.seconds == seconds)
    if seconds == TIERS[0]:
        host_id, at, inside = (pending.host_id, pending.minute, true())
    statement = select(host_id, at.label("at"), hosts.c.containers_count, hosts.c.interval_s)
    statement = statement.outerjoin_from(host_id.table, hosts, hosts.c.id == host_id)
    return statement.where(inside, at <= latest, host_id > after).order_by(host_id, at).limit(LOOK_AHEAD)


def _forget(connection: Connection, seconds: int, host_ids: Sequence[int], at: datetime) -> None:
    pending, coarser = rollup_pending.c, rollup_due.c
    if seconds == TIERS[0]:
        done = delete(rollup_pending).where(pending.host_id.in_(host_ids), pending.minute == at)
    else:
        inside = (coarser.seconds == seconds, coarser.host_id.in_(host_ids), coarser.begins_at == at)
        done = delete(rollup_due).where(*inside)
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
