"""Makes one host of two, in small transactions: a run that was killed is finished by the same command again.

The host that goes is hidden first, under a name that says into which one it goes: from then on nobody but a merge
touches its rows, so nothing of it can be counted twice. ADR 0025 has the order of things, and why.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine, select, update
from sqlalchemy.exc import DBAPIError

from database import hosts as names
from database import merge_moments, merge_series, tags
from database.faults import Fault, classify
from database.hosts import merging_into
from database.rows import Record
from model.fields import MAX_TAGS
from model.models import hosts
from utils.utils import moment

T = TypeVar("T")
# Between two transactions, so that the reports of a running server have their turn.
PAUSE_S = 0.02
TRIES = 10
_AGAIN = (Fault.CONFLICT, Fault.LOCK_WAIT, Fault.BUSY)


class MergeRefused(Exception):
    """There are no such two hosts; the words are for a person."""


def merge(engine: Engine, now: int, source: str, target: str) -> int:
    """Moves all that one host has to the other; gives the id of what is left. Raises MergeRefused."""
    if source == target:
        raise MergeRefused("a host cannot be merged into itself")
    found = _transaction(engine, lambda connection: names.find(connection, [source, target]))
    into, from_ = found.get(target), found.get(source)
    if into is None:
        raise MergeRefused("no host of the second name")
    done = _finish(engine, into)  # what a killed run left
    if from_ is not None:
        _finish(engine, from_)
        _transaction(engine, lambda connection: begin(connection, from_, into, now))
        _finish(engine, into)
    elif not done:
        raise MergeRefused("no host of the first name")
    return into


def _transaction(engine: Engine, job: Callable[[Connection], T]) -> T:
    """One transaction, again if it lost against another."""
    for _ in range(TRIES - 1):
        try:
            with engine.begin() as connection:
                return job(connection)
        except DBAPIError as error:
            if classify(error) not in _AGAIN:
                raise
            time.sleep(PAUSE_S)
    with engine.begin() as connection:
        return job(connection)


def _finish(engine: Engine, target: int) -> bool:
    """Moves on until nothing is left; whether there was anything to finish."""
    done = False
    while _transaction(engine, lambda connection: step(connection, target)):
        done = True
        time.sleep(PAUSE_S)
    return done


def begin(connection: Connection, source: int, target: int, now: int) -> None:
    """Hides the source and frees its name; the target gets its tags, and its cadence if it has none yet."""
    rows = _lock(connection, source, target)
    if any(row is None or row.deleted_at is not None for row in rows):
        raise MergeRefused("one of the two hosts was forgotten meanwhile")
    if connection.scalar(select(hosts.c.id).where(hosts.c.host_name.in_(map(merging_into, (source, target))))):
        raise MergeRefused("another merge into one of the two goes on")
    found = tags.of(connection, [source, target])
    both = {*found.get(target, []), *found.get(source, [])}
    if len(both) > MAX_TAGS:
        raise MergeRefused(f"together they have more than {MAX_TAGS} tags; take some away before")
    hidden = {"deleted_at": moment(now), "host_name": merging_into(target)}
    connection.execute(update(hosts).where(hosts.c.id == source).values(hidden))
    _take(connection, *rows)
    tags.put(connection, target, both)


def _take(connection: Connection, source: Record, target: Record) -> None:
    """The cadence of who has one, and how far events are known: across the seam of both they are not looked for."""
    if target.interval_s is None:
        connection.execute(update(hosts).where(hosts.c.id == target.id).values(interval_s=source.interval_s))
    if source.ledger_at is not None and (target.ledger_at is None or target.ledger_at < source.ledger_at):
        connection.execute(update(hosts).where(hosts.c.id == target.id).values(ledger_at=source.ledger_at))


def step(connection: Connection, target: int) -> int:
    """Moves up to 5,000 rows of the host that goes into this one; 0: there is none any more.

    Series with their aggregates before the rows these were made of: what is made of the rows again replaces, and what
    is joined is added, so no sample may come both ways.
    """
    source: int | None = connection.scalar(select(hosts.c.id).where(hosts.c.host_name == merging_into(target)))
    if source is None:
        return 0
    going, staying = _lock(connection, source, target)
    if going.host_name != merging_into(target):  # another run was faster
        return 1
    moved = merge_series.move(connection, source, target) or merge_moments.move(connection, going, staying)
    return moved or _end(connection, source)


def _end(connection: Connection, source: int) -> int:
    """An empty host without a name: the job that removes forgotten hosts does the rest."""
    return connection.execute(update(hosts).where(hosts.c.id == source).values(host_name=None)).rowcount


def _lock(connection: Connection, source: int, target: int) -> tuple[Record, Record]:
    """Both rows, each by its key and the smaller id first, as everybody locks them."""
    rows = {
        host_id: connection.execute(select(hosts).where(hosts.c.id == host_id).with_for_update()).one_or_none()
        for host_id in sorted((source, target))
    }
    return rows[source], rows[target]  # type: ignore[return-value]  # of a host that is gone there is none
