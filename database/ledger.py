"""The life ledger: what happened to containers between each report of a host and the one before.

Events follow from the reports alone, so that those of a minute can be made again whenever a late report changes it. A
report whose predecessor is gone tells of no event, for nobody knows what it would be compared with.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, case, delete, exists, insert, literal, or_, select, update

from database import series
from database.changes import Change, Life, State, changes
from database.containers import HOST_ID, along_index
from database.rows import Record
from database.series import HOST, Name, Names
from database.told import Count, Told
from model.history import APPEARED, OF_CONTAINERS, TIERS, events, rollups
from model.history import series as series_table
from model.models import containers, hosts, reports


def renew(  # noqa: PLR0917 - what the buckets of the minute were made of
    connection: Connection,
    held: Mapping[int, Record],
    names: Names,
    counts: Mapping[int, Count],
    told: Told,
    minute: datetime,
) -> None:
    """Brings the events of a minute up to date, for hosts that are locked and reported in it.

    As a rule the minute follows all that the ledger knows, and no container changed in it nor at its beginning.
    """
    new = [host for host in held.values() if host.ledger_at and host.ledger_at < minute]
    steady = {host.id: _steady(told, host.id, counts[host.id]) for host in new}
    before = _states_at(connection, [host_id for host_id, state in steady.items() if state is not None])
    for host_id, host in held.items():
        if steady.get(host_id) is None or steady[host_id] != before.get(host_id, {}):
            _rewrite(connection, host, names[host_id], minute)
    _advance(connection, {host_id: counts[host_id].last for host_id in held}, minute)


def _steady(told: Told, host_id: int, count: Count) -> State | None:
    """What every report of the minute said alike, if they all did."""
    state: State = {}
    for row in told.containers.get(host_id, ()):
        if not row.steady or row.samples != count.reports:
            return None
        life = Life(row.status_min, row.image, row.started_at, row.restart_count)
        state[(row.engine_type, row.container_name)] = life
    return state if told.holds(host_id, count) else None


_LIFE = [containers.c[name] for name in ("engine_type", "container_name", *Life._fields)]


def _states_at(connection: Connection, host_ids: Sequence[int]) -> dict[int, State]:
    """What the newest report said that the ledger knows."""
    if not host_ids:
        return {}
    newest = (containers.c.host_id == HOST_ID) & (containers.c.sampled_at == hosts.c.ledger_at)
    statement = select(hosts.c.id, *_LIFE).join_from(hosts, containers, newest).where(hosts.c.id.in_(host_ids))
    states: dict[int, State] = {}
    for host_id, engine, name, *life in connection.execute(along_index(statement).order_by(containers.c.id)):
        states.setdefault(host_id, {}).setdefault((engine, name), Life(*life))
    return states


def _advance(connection: Connection, newest: dict[int, datetime], minute: datetime) -> None:
    """Notes which report is the newest that the ledger knows; retention keeps it for the next one's sake."""
    if not newest:
        return
    moments = {host_id: literal(at, hosts.c.ledger_at.type) for host_id, at in newest.items()}
    older = or_(hosts.c.ledger_at.is_(None), hosts.c.ledger_at < minute + timedelta(minutes=1))
    later = case(moments, value=hosts.c.id)
    statement = update(hosts).where(hosts.c.id.in_(newest), older)
    connection.execute(statement.values(ledger_at=later))


def _rewrite(connection: Connection, host: Record, known: dict[Name, int], minute: datetime) -> None:
    """Replaces the events of the minute's reports, and of the report after them if the ledger knows it."""
    states = _states(connection, host.id, _reports(connection, host, minute))
    before: State | None = None
    if min(states) < minute:
        before = states.pop(min(states))
    elif not _gone(connection, host.id, known, minute):
        before = {}
    made: dict[datetime, list[Change]] = {}
    for at, state in sorted(states.items()):
        if before is not None and state is not None:
            made[at] = list(changes(before, state))
        before = state
    _replace(connection, host.id, known, made)


def _reports(connection: Connection, host: Record, minute: datetime) -> dict[datetime, int]:
    """The minute's reports, the one before them, and the one after them if the ledger knows it, with their rows."""
    r, ends = reports.c, minute + timedelta(minutes=1)
    of = select(r.sampled_at, r.containers_count).where(r.host_id == host.id)
    before = of.where(r.sampled_at < minute).order_by(r.sampled_at.desc()).limit(1)
    within = of.where(r.sampled_at >= minute, r.sampled_at < ends)
    after = of.where(r.sampled_at >= ends, r.sampled_at <= (host.ledger_at or minute)).order_by(r.sampled_at).limit(1)
    return {at: rows for statement in (before, within, after) for at, rows in connection.execute(statement)}


def _states(connection: Connection, host_id: int, wanted: Mapping[datetime, int]) -> dict[datetime, State | None]:
    """What the reports said; None where rows are gone. Of equal names in one report the first counts."""
    at, states, rows = containers.c.sampled_at, {moment: State() for moment in wanted}, Counter[datetime]()
    inside = (containers.c.host_id == host_id, at.between(min(wanted), max(wanted)))
    statement = along_index(select(at, *_LIFE).where(*inside)).order_by(at, containers.c.id)
    for moment, engine, name, *life in connection.execute(statement):
        if moment in wanted:  # a database that was taken over has older rows between the reports
            states[moment].setdefault((engine, name), Life(*life))
            rows[moment] += 1
    return {moment: state if rows[moment] == wanted[moment] else None for moment, state in states.items()}


def _gone(connection: Connection, host_id: int, known: dict[Name, int], minute: datetime) -> bool:
    """Whether there were reports before this minute that are removed by now: aggregates or events tell of them."""
    traces: list[Select[Any]] = [select(exists().where(events.c.host_id == host_id, events.c.at < minute))]
    for seconds in TIERS:
        t = rollups[seconds].c
        traces.append(select(exists().where(t.series_id == known.get(HOST), t.begins_at < minute)))
    return any(connection.scalar(trace) for trace in traces)


def _replace(connection: Connection, host_id: int, known: dict[Name, int], made: dict[datetime, list[Change]]) -> None:
    """Whatever events there are at these moments, these are all."""
    if not made:
        return
    inside = (events.c.host_id == host_id, events.c.at.between(min(made), max(made)))
    connection.execute(delete(events).where(*inside, events.c.kind.in_(OF_CONTAINERS)))
    flat = [(at, change) for at, each in made.items() for change in each]
    if not flat:
        return
    series.ensure(connection, {host_id: known}, {host_id: [change.name for _, change in flat]}, max(made).date())
    connection.execute(insert(events), [_row(host_id, known[change.name], at, change) for at, change in flat])
    for at, each in made.items():
        _note_first(connection, at, [known[change.name] for change in each if change.kind == APPEARED])


def _row(host_id: int, series_id: int, at: datetime, change: Change) -> dict[str, object]:
    return {
        "host_id": host_id,
        "at": at,
        "kind": change.kind,
        "series_id": series_id,
        "from_value": change.from_value,
        "to_value": change.to_value,
        "details": change.details,
    }


def _note_first(connection: Connection, at: datetime, appeared: Sequence[int]) -> None:
    """The first time is seen for the first time, every other is a return."""
    if appeared:
        s = series_table.c
        earlier = or_(s.first_at.is_(None), s.first_at > at)
        connection.execute(update(series_table).where(s.id.in_(appeared), earlier).values(first_at=at))
