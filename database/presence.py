"""Which hosts fell silent and which are back, as events. Connection in, events out; nothing here commits.

A host that is silent keeps the moment at which it was last seen in `dark_since`: whatever moves `last_seen` away from
it, by whichever clock, is a sign of life.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select, update

from database import series
from database.dialect import insert_ignore
from database.hosts import Presence
from database.rows import Record
from database.series import HOST
from model.history import BACK, DARK, events, webhook_calls
from model.models import hosts, reports
from utils.utils import utc_text

_ALIVE = (hosts.c.deleted_at.is_(None), hosts.c.last_seen.is_not(None))
# Among so many hosts one is on time, or hardly any is.
_NEWEST = 20
_EVENT, _CALL = insert_ignore(events), insert_ignore(webhook_calls)


class Heard(NamedTuple):
    """When a host was heard, and how often it reports."""

    last_seen: datetime
    interval_s: float | None


class Turn(NamedTuple):
    """A host that fell silent, or was back."""

    host_id: int
    host_name: str
    kind: str
    at: datetime
    last_seen: datetime


def newest(connection: Connection) -> list[Heard]:
    """Of the hosts that were heard last when that was, the newest first."""
    h = hosts.c
    statement = select(h.last_seen, h.interval_s).where(*_ALIVE).order_by(h.last_seen.desc()).limit(_NEWEST)
    return [Heard(*row) for row in connection.execute(statement)]


def turns(connection: Connection, presence: Presence, earliest: datetime, *, call: bool) -> list[Turn]:
    """Writes the events of hosts that are back, and from `earliest` on of those that fell silent.

    With `call` each is also noted for whoever is on call.
    """
    back, silent = hosts.c.last_seen != hosts.c.dark_since, hosts.c.dark_since.is_(None) & ~presence.online()
    rows = _locked(connection, or_(back, silent) if presence.now >= earliest else back)
    made = _back(connection, [row for row in rows if row.dark_since is not None])
    made += _dark(connection, [row for row in rows if row.dark_since is None], presence, earliest)
    if made:
        _write(connection, made, call=call)
    return made


def _locked(connection: Connection, asked: ColumnElement[bool]) -> Sequence[Record]:
    """Found without a lock, as a rule none; then held, all at once in the order in which everyone locks hosts."""
    ids = connection.scalars(select(hosts.c.id).where(*_ALIVE, asked)).all()
    if not ids:
        return []
    c = hosts.c
    statement = select(c.id, c.host_name, c.last_seen, c.expected_by, c.dark_since).where(c.id.in_(ids))
    return connection.execute(statement.where(*_ALIVE, asked).order_by(c.id).with_for_update()).all()


def _back(connection: Connection, rows: Sequence[Record]) -> list[Turn]:
    made = [Turn(row.id, row.host_name, BACK, _heard_again(connection, row), row.dark_since) for row in rows]
    if made:
        back = [turn.host_id for turn in made]
        connection.execute(update(hosts).where(hosts.c.id.in_(back)).values(dark_since=None))
    return made


def _heard_again(connection: Connection, host: Record) -> datetime:
    """When the first report came behind the silence; those of a backlog say when they were sampled, not that."""
    r = reports.c
    first = select(func.min(r.received_at)).where(r.host_id == host.id, r.sampled_at > host.dark_since)
    heard: datetime | None = connection.scalar(first.where(r.received_at > host.dark_since))
    return heard or host.last_seen


def _dark(connection: Connection, rows: Sequence[Record], presence: Presence, earliest: datetime) -> list[Turn]:
    """Only a host in the second half of whose silence another was heard: else it may be the server that is deaf."""
    after = presence.now - presence.seen_after
    heard = max((one.last_seen for one in newest(connection)), default=earliest) if rows else earliest
    made = [
        Turn(row.id, row.host_name, DARK, max(due, earliest), row.last_seen)
        for row in rows
        if heard > row.last_seen + ((due := _due(row, after)) - row.last_seen) / 2
    ]
    if made:
        dark = [turn.host_id for turn in made]
        connection.execute(update(hosts).where(hosts.c.id.in_(dark)).values(dark_since=hosts.c.last_seen))
    return made


def _due(host: Record, after: timedelta) -> datetime:
    """From when on the host was late."""
    silent: datetime = host.last_seen + after
    return max(silent, host.expected_by or silent)


def _write(connection: Connection, made: Iterable[Turn], *, call: bool) -> None:
    known = series.own(connection, [turn.host_id for turn in made])
    names = {turn.host_id: {HOST: known[turn.host_id].id} if turn.host_id in known else {} for turn in made}
    for turn in made:
        series.ensure(connection, names, {turn.host_id: [HOST]}, turn.at.date())
    rows = [_row(turn, names[turn.host_id][HOST]) for turn in made]
    connection.execute(_EVENT, rows)
    if call:
        connection.execute(_CALL, [{name: row[name] for name in ("host_id", "at", "kind")} for row in rows])


def _row(turn: Turn, series_id: int) -> dict[str, object]:
    states = ("online", "offline") if turn.kind == DARK else ("offline", "online")
    return {
        "host_id": turn.host_id,
        "at": turn.at,
        "kind": turn.kind,
        "series_id": series_id,
        "from_value": states[0],
        "to_value": states[1],
        "details": f'{{"last_seen": "{utc_text(turn.last_seen)}"}}',
    }


class Call(NamedTuple):
    """An event that whoever is on call has not been told of yet."""

    host_id: int
    host_name: str
    kind: str
    at: datetime
    details: str | None


def calls(connection: Connection, since: datetime, most: int) -> list[Call]:
    """The oldest ones of those that are still of use; what is older is given up."""
    connection.execute(delete(webhook_calls).where(webhook_calls.c.at < since))
    w, e = webhook_calls.c, events.c
    same = (e.host_id == w.host_id) & (e.at == w.at) & (e.kind == w.kind)
    statement = select(w.host_id, hosts.c.host_name, w.kind, w.at, e.details).select_from(webhook_calls)
    statement = statement.join(hosts, hosts.c.id == w.host_id).outerjoin(events, same)
    found = connection.execute(statement.where(hosts.c.deleted_at.is_(None)).order_by(w.at, w.host_id).limit(most))
    return [Call(*row) for row in found]


def called(connection: Connection, call: Call) -> None:
    """It was told, or is given up."""
    w = webhook_calls.c
    connection.execute(delete(webhook_calls).where(w.host_id == call.host_id, w.at == call.at, w.kind == call.kind))
