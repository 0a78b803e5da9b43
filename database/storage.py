"""What each table holds, estimated from some hosts and series at a cost that does not grow with the past.

A count of all rows would read all of them. Of at most KEYS hosts or series, evenly spread, at most ROWS rows of a span
are counted, and the rest is taken to be like them. With fewer of both it is exact.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, ScalarSelect, Table, func, literal, select

from database.series import OWN
from model.history import events, rollups, series
from model.models import hosts, metadata, reports
from utils.utils import SECOND, moment

KEYS, ROWS = 50, 2_500
# Of these all rows are counted: they do not grow with the past.
COUNTED = ("hosts", "series", "host_tags", "leases", "rollup_pending", "rollup_due", "webhook_calls")
# Before and behind every moment there is, as the columns hold them.
BEGIN, END = moment(0), moment(253_370_764_800 * SECOND)


class Counted(NamedTuple):
    """Rows, and what they stand for: of reports their containers, of aggregates their samples."""

    rows: float = 0.0
    amount: float = 0.0


class Edges(NamedTuple):
    """The oldest moment, hosts' last states aside, and the newest; None: there is none."""

    oldest: datetime | None
    newest: datetime | None


class Timed(NamedTuple):
    """A table that time fills: by whom its rows lie together, in which order, and what they stand for."""

    owner: Table
    key: ColumnElement[int]
    at: ColumnElement[datetime]
    amount: ColumnElement[int]


TIMED = {
    "reports": Timed(hosts, reports.c.host_id, reports.c.sampled_at, reports.c.containers_count),
    **{
        f"rollup_{seconds}": Timed(series, table.c.series_id, table.c.begins_at, table.c.samples)
        for seconds, table in rollups.items()
    },
    "events": Timed(hosts, events.c.host_id, events.c.at, literal(0)),
}


def counts(connection: Connection) -> dict[str, int]:
    """Rows of the tables that do not grow with the past."""
    rows = {name: select(func.count()).select_from(metadata.tables[name]) for name in COUNTED}
    return {name: connection.scalar(statement) or 0 for name, statement in rows.items()}


def estimate(connection: Connection, name: str, begin: datetime = BEGIN, end: datetime = END) -> Counted:
    """The rows of a span, of one of the tables that time fills."""
    timed = TIMED[name]
    keys, each = _sample(connection, timed.owner)
    found = [_of_key(connection, timed, key, begin, end) for key in keys]
    return Counted(each * sum(one.rows for one in found), each * sum(one.amount for one in found))


def _sample(connection: Connection, owner: Table) -> tuple[list[int], float]:
    """Ids, and for how many each of them stands."""
    count, first, last = connection.execute(
        select(func.count(), func.min(owner.c.id), func.max(owner.c.id)).select_from(owner)
    ).one()
    if count <= KEYS:
        return list(connection.scalars(select(owner.c.id))), 1.0
    marks = [first + (last - first) * number // KEYS for number in range(KEYS)]
    ids = {
        connection.scalars(select(owner.c.id).where(owner.c.id >= mark).order_by(owner.c.id).limit(1)).one_or_none()
        for mark in marks
    }
    there = sorted(one for one in ids if one is not None)  # the last ones may have been removed just now
    return there, count / max(len(there), 1)


def _of_key(connection: Connection, timed: Timed, key: int, begin: datetime, end: datetime) -> Counted:
    """Exact up to ROWS; else as dense up to the newest as the oldest of them are."""
    span = (timed.key == key, timed.at >= begin, timed.at < end)
    page = select(timed.at.label("at"), timed.amount.label("amount")).where(*span).order_by(timed.at).limit(ROWS)
    oldest = page.subquery()
    wanted = (func.count(), func.sum(oldest.c.amount), func.min(oldest.c.at), func.max(oldest.c.at))
    rows, amount, first, last = connection.execute(select(*wanted)).one()
    if rows < ROWS or first == last:
        return Counted(rows, float(amount or 0))
    newest: datetime = connection.execute(select(func.max(timed.at)).where(*span)).scalar_one()
    times = (newest - first) / (last - first)
    return Counted(rows * times, float(amount) * times)


def edges(connection: Connection, name: str) -> Edges:
    """The oldest and newest moment of one of the tables that time fills: two rows of each host are looked at."""
    timed = TIMED[name]
    owners = select(hosts.c.id)
    if timed.owner is series:
        owners = select(series.c.id).join(hosts, hosts.c.id == series.c.host_id).where(OWN)
    kept = [reports.c.sampled_at != hosts.c.sampled_at] if name == "reports" else []
    oldest, newest = _first(timed, timed.at.asc(), *kept), _first(timed, timed.at.desc())
    found = owners.add_columns(oldest.label("oldest"), newest.label("newest")).subquery()
    least, greatest = connection.execute(select(func.min(found.c.oldest), func.max(found.c.newest))).one()
    return Edges(least, greatest)


def oldest(connection: Connection, names: Iterable[str]) -> dict[str, datetime | None]:
    """From when on there is something of each that may go."""
    return {name: edges(connection, name).oldest for name in names}


def _first(timed: Timed, order: ColumnElement[datetime], *where: ColumnElement[bool]) -> ScalarSelect[datetime]:
    """The first moment of a key in an order: MIN would read all rows of the key."""
    statement = select(timed.at).where(timed.key == timed.owner.c.id, *where).order_by(order).limit(1)
    return statement.correlate(timed.owner).scalar_subquery()
