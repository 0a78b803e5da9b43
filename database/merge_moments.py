"""Gives another host what a host has of its moments: reports, containers, events and calls. Nothing here commits."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, select, union, update

from database.dialect import insert_ignore
from database.rows import Record
from model.history import TIERS, events, webhook_calls
from model.models import containers, hosts, reports, rollup_pending
from utils.utils import EPOCH

# Of each of the four tables: 5,000 rows in all.
ROWS = 1_250
MINUTE, MICROSECOND = timedelta(seconds=TIERS[0]), timedelta(microseconds=1)
COLUMNS: tuple[Column[Any], ...] = (reports.c.sampled_at, containers.c.sampled_at, events.c.at, webhook_calls.c.at)
# What a host's newest report does not say.
_KEPT = ("id", "host_name", "created_at", "deleted_at", "last_seen", "expected_by", "dark_since", "ledger_at")
_PENDING = insert_ignore(rollup_pending)

Places = dict[datetime, datetime]


def move(connection: Connection, source: Record, target: Record) -> int:
    """Moves what there is of the oldest moments; 0: nothing is left. All of a moment moves together."""
    moments = _oldest(connection, source.id)
    if not moments:
        return 0
    places = _places(connection, target.id, moments)
    _mark(connection, source.id, target.id, places)
    for column in COLUMNS:
        _move(connection, column, source.id, target.id, places)
    if source.sampled_at in places:
        _take_state(connection, source, target, places[source.sampled_at])
    return len(moments)


def _oldest(connection: Connection, host_id: int) -> list[datetime]:
    """Whole moments: the last one of a full list may go on behind it."""
    found: set[datetime] = set()
    ends: list[datetime] = []
    for column in COLUMNS:
        mine = select(column).where(column.table.c.host_id == host_id)
        moments = connection.scalars(mine.order_by(column).limit(ROWS)).all()
        found.update(moments)
        ends += moments[-1:] if len(moments) == ROWS else []
    ordered = sorted(found)
    return [at for at in ordered if not ends or at < min(ends)] or ordered[:1]


def _places(connection: Connection, target: int, moments: Sequence[datetime]) -> Places:
    """Where each moment's rows go: the same moment, or the next microsecond at which neither host has anything."""
    taken, places = _taken(connection, target, moments), dict(zip(moments, moments, strict=True))
    used = set(moments)
    for at in sorted(taken):
        to = at + MICROSECOND
        while to in used or _taken(connection, target, [to]):
            to += MICROSECOND
        used.add(to)
        places[at] = to
    return places


def _taken(connection: Connection, host_id: int, moments: Sequence[datetime]) -> set[datetime]:
    asked = [
        select(column.label("at")).where(column.table.c.host_id == host_id, column.in_(moments)) for column in COLUMNS
    ]
    return set(connection.scalars(union(*asked)))


def _mark(connection: Connection, source: int, target: int, places: Places) -> None:
    """The minutes of reports are made again, from the rows of both hosts, once these are there."""
    at = reports.c.sampled_at
    mine = select(at).where(reports.c.host_id == source, at >= min(places), at <= max(places))
    minutes = {places[one] - (places[one] - EPOCH) % MINUTE for one in connection.scalars(mine)}
    if minutes:
        connection.execute(_PENDING, [{"host_id": target, "minute": minute} for minute in sorted(minutes)])


def _move(connection: Connection, column: Column[Any], source: int, target: int, places: Places) -> None:
    """Those of taken moments first, then all others of the span."""
    table, mine = column.table, column.table.c.host_id == source
    for at, to in places.items():
        if at != to:
            connection.execute(update(table).where(mine, column == at).values({"host_id": target, column.name: to}))
    inside = (mine, column >= min(places), column <= max(places))
    connection.execute(update(table).where(*inside).values(host_id=target))


def _take_state(connection: Connection, source: Record, target: Record, at: datetime) -> None:
    """The newer of both hosts' newest reports is the state, and who was seen later tells the presence."""
    values: dict[str, Any] = {
        name: max(known)
        for name in ("last_seen", "expected_by")
        if (known := [value for value in (getattr(source, name), getattr(target, name)) if value is not None])
    }
    if target.sampled_at is None or target.sampled_at < at:
        values |= {column.name: getattr(source, column.name) for column in hosts.c if column.name not in _KEPT}
        values |= {"sampled_at": at}
    connection.execute(update(hosts).where(hosts.c.id == target.id).values(values))
