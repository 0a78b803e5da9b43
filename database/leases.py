"""Leases: rows that say who may do a job that must run once, until a moment of the database's own clock.

A holder that dies is replaced when its lease runs out, and the fence number, which grows with every holder, tells a
holder that slept too long that it is one no more. GET_LOCK would die with a connection and is unknown to Galera.
"""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, Engine, case, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from database.dialect import Dialect, insert_ignore
from logger import event as line
from model.models import leases
from utils.utils import SECOND, moment

logger = logging.getLogger(__name__)

T = TypeVar("T")
_CREATE = insert_ignore(leases)
# A renewal may fail twice before the lease runs out.
_RENEWALS = 3


class LeaseLost(Exception):
    """Another process holds the lease now: whatever was meant under it must not be committed."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that was taken: by whom, as which holder in turn, and for how many seconds without renewal."""

    name: str
    owner: str
    fence: int
    ttl_s: float


@contextmanager
def held(engine: Engine, dialect: Dialect, name: str, ttl_s: float) -> Iterator[Lease | None]:
    """Takes a lease and renews it until the block ends; None if another holds it.

    The engine needs a connection besides the block's own, for the renewals.
    """
    lease = take(engine, dialect, name, ttl_s)
    if lease is None:
        yield None
        return
    done = threading.Event()
    thread = threading.Thread(target=_renew, args=(engine, dialect, lease, done), name=f"lease {name}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
        with suppress(SQLAlchemyError):  # it runs out by itself
            release(engine, dialect, lease)


def take(engine: Engine, dialect: Dialect, name: str, ttl_s: float) -> Lease | None:
    """Takes a lease that is free or has run out; None if another holds it."""
    owner = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"
    _ensure(engine, dialect, name)
    with engine.begin() as connection:
        now = dialect.now(connection)
        free = or_(leases.c.owner.is_(None), leases.c.expires_at <= moment(now))
        values = {"owner": owner, "fence": leases.c.fence + 1, "expires_at": _end(now, ttl_s)}
        if not connection.execute(update(leases).where(leases.c.name == name, free).values(values)).rowcount:
            return None
        fence = connection.scalars(select(leases.c.fence).where(leases.c.name == name)).one()
    return Lease(name, owner, fence, ttl_s)


def _ensure(engine: Engine, dialect: Dialect, name: str) -> None:
    """Makes the row in a transaction of its own: the lock of an insert beside that of an update would deadlock."""
    with engine.begin() as connection:
        if connection.scalars(select(leases.c.name).where(leases.c.name == name)).one_or_none() is None:
            row = {"name": name, "fence": 0, "expires_at": moment(dialect.now(connection))}
            connection.execute(_CREATE, row)


def keep(connection: Connection, dialect: Dialect, lease: Lease) -> None:
    """Renews the lease in the job's own transaction; raises LeaseLost if it has another holder now.

    Called first, it locks the row: nobody takes the lease before this transaction has ended, which on MySQL any DDL
    in it does.
    """
    if not _set(connection, lease, expires_at=_end(dialect.now(connection), lease.ttl_s)):
        raise LeaseLost(lease.name)


def hold(connection: Connection, dialect: Dialect, name: str, owner: str, ttl_s: float) -> bool:
    """Takes a lease, or keeps it, in the job's own transaction; False if another holds it.

    The row stays locked until the transaction ends, so that of two holders the later one waits for all that the
    earlier one does: nothing is done twice at once, whatever the clock says. The caller commits.
    """
    now = dialect.now(connection)
    ours = leases.c.owner == owner
    open_ = or_(leases.c.owner.is_(None), leases.c.expires_at <= moment(now), ours)
    fence = case((ours, leases.c.fence), else_=leases.c.fence + 1)
    # The fence before the owner: MySQL computes each value from those set before it.
    values = [("fence", fence), ("owner", owner), ("expires_at", _end(now, ttl_s))]
    statement = update(leases).where(leases.c.name == name, open_).ordered_values(*values)
    if connection.execute(statement).rowcount:
        return True
    connection.execute(_CREATE, {"name": name, "fence": 0, "expires_at": moment(now)})
    return connection.execute(statement).rowcount > 0


def guarded(
    job: Callable[[Connection], T], otherwise: T, *, dialect: Dialect, name: str, owner: str, ttl_s: float
) -> Callable[[Connection], T]:
    """A job that does nothing, and gives `otherwise`, while another holds its lease."""
    return lambda connection: job(connection) if hold(connection, dialect, name, owner, ttl_s) else otherwise


def release(engine: Engine, dialect: Dialect, lease: Lease) -> None:
    """Ends the lease now; nothing happens if it has another holder already."""
    with engine.begin() as connection:
        _set(connection, lease, owner=None, expires_at=moment(dialect.now(connection)))


def _set(connection: Connection, lease: Lease, **values: object) -> bool:
    ours = (leases.c.name == lease.name, leases.c.owner == lease.owner, leases.c.fence == lease.fence)
    return connection.execute(update(leases).where(*ours).values(values)).rowcount > 0


def _end(now: int, ttl_s: float) -> datetime:
    return moment(now + int(ttl_s * SECOND))


def _renew(engine: Engine, dialect: Dialect, lease: Lease, done: threading.Event) -> None:
    """The thread of a held lease. A failed renewal is tried again; a lost lease is the block's to notice, by `keep`."""
    while not done.wait(lease.ttl_s / _RENEWALS):
        try:
            with engine.begin() as connection:
                keep(connection, dialect, lease)
        except SQLAlchemyError as error:
            logger.warning(line("lease_not_renewed", lease=lease.name, error=type(error).__name__))
        except LeaseLost:
            logger.warning(line("lease_lost", lease=lease.name))
            return
