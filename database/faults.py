"""What a database error means for the transaction it ended, and so what the writer may do next.

Numbers: MySQL 8/9 and MariaDB error references (server 1000 and up, client 2000 and up), Galera and Group Replication
(1047, 1180, 31xx), TiDB (8xxx, 9xxx). SQLite has names instead.
"""

import re
from enum import Enum, auto

from sqlalchemy.exc import DBAPIError


class Fault(Enum):
    """What happened, by what is safe to do about it."""

    CONFLICT = auto()  # rolled back in full by the server: the batch may be written again at once
    LOCK_WAIT = auto()  # only the statement was undone: roll back, then again past the hosts that are held
    BUSY = auto()  # another process writes to the SQLite file: nothing was done
    NO_CONNECTION = auto()  # nothing was sent
    REFUSED = auto()  # credentials, schema name or rights: nothing was sent, a person has to act
    LOST = auto()  # the connection died: harmless before COMMIT was sent, unknown afterwards
    READ_ONLY = auto()  # a server that may not write any more: all its connections are useless
    DUPLICATE = auto()  # a key of ours is there already
    HOST_GONE = auto()  # the host's row vanished under a cached id
    DATA = auto()  # one row's values are at fault
    STORAGE_FULL = auto()  # disk or table space
    UNWRITABLE = auto()  # the SQLite file or its disk is read-only
    SCHEMA = auto()  # a table or column is missing
    TIMEOUT = auto()  # the statement took longer than it may
    CORRUPT = auto()  # the SQLite file is damaged: stop writing, never make it anew
    OTHER = auto()  # rolled back, and nobody foresaw it


_NUMBERS = {
    Fault.CONFLICT: (1213, 1020, 3100, 3101, 8002, 8005, 8022, 8028, 9007),
    Fault.LOCK_WAIT: (1205,),
    Fault.NO_CONNECTION: (2002, 2003, 2005, 1040, 1203, 1226, 1129, 9001, 9002, 9003, 9004, 9005),
    Fault.REFUSED: (1045, 1049, 1044, 2026, 2059, 1698, 3118),
    Fault.LOST: (0, 2006, 2013, 2014, 2027, 2055, 1927, 1317, 1053, 4031, 1047, 1153, 1180),
    Fault.READ_ONLY: (1290, 1836, 1792),
    Fault.DUPLICATE: (1062, 1586),
    Fault.HOST_GONE: (1452, 1216),
    Fault.DATA: (1406, 1264, 1292, 1366, 1300, 1048, 3819, 4025, 1644),
    Fault.STORAGE_FULL: (1114, 1021, 1030),
    Fault.SCHEMA: (1146, 1054),
    Fault.TIMEOUT: (3024, 1969),
}
BY_NUMBER = {number: fault for fault, numbers in _NUMBERS.items() for number in numbers}

# A read-only server refuses to write, yet SQLAlchemy would keep its connections in the pool.
LEAVE_SERVER = frozenset({1047, 1290, 1792, 1836})

_SQLITE = (
    ("unique constraint failed", Fault.DUPLICATE),
    ("foreign key constraint failed", Fault.HOST_GONE),
    ("constraint failed", Fault.DATA),
    ("locked", Fault.BUSY),
    ("busy", Fault.BUSY),
    ("disk is full", Fault.STORAGE_FULL),
    ("disk i/o error", Fault.STORAGE_FULL),
    ("unable to open", Fault.STORAGE_FULL),
    ("readonly", Fault.UNWRITABLE),
    ("malformed", Fault.CORRUPT),
    ("not a database", Fault.CORRUPT),
    ("no such table", Fault.SCHEMA),
    ("no such column", Fault.SCHEMA),
    ("interrupted", Fault.TIMEOUT),
)


def number_of(error: DBAPIError) -> int | None:
    """Gives the server's or the client library's error number; SQLite's errors have none here."""
    args = error.orig.args if error.orig else ()
    return args[0] if args and isinstance(args[0], int) else None


def words_of(error: DBAPIError) -> str:
    """Gives the error's own words: they name hosts, users and databases, never a password."""
    return str(error.orig.args[-1] if error.orig and error.orig.args else error.orig)


def classify(error: DBAPIError) -> Fault:
    """Names what an error means; a number nobody foresaw is OTHER, or LOST if the driver says so."""
    number = number_of(error)
    unforeseen = Fault.LOST if error.connection_invalidated else Fault.OTHER
    if number is None:
        text = str(error.orig).lower()
        return next((fault for words, fault in _SQLITE if words in text), unforeseen)
    if number == 1180 and re.search(r"\b149\b", words_of(error)):  # Galera: certification lost, rolled back  # noqa: PLR2004
        return Fault.CONFLICT
    return BY_NUMBER.get(number, unforeseen)


def judged(error: DBAPIError) -> bool:
    """Whether this answer to a COMMIT proves that it was undone.

    A conflict at COMMIT is Galera's or Group Replication's verdict; a read-only server refuses; SQLite runs in this
    process, so that whatever it says is its verdict.
    """
    fault = classify(error)
    return fault in (Fault.CONFLICT, Fault.READ_ONLY) or (number_of(error) is None and fault in _SQLITE_FAULTS)


_SQLITE_FAULTS = frozenset(fault for _, fault in _SQLITE)


class Step(Enum):
    """What the writer does next with a batch that was rolled back."""

    AGAIN = auto()  # after a pause, the whole batch
    LOOK_UP = auto()  # first find out what is stored already
    PASS_OVER = auto()  # again, without the hosts that another transaction holds
    ISOLATE = auto()  # in halves, until the guilty report stands alone
    GIVE_UP = auto()  # it will not get better by itself before the deadline


# What to do, how often, and what then. What is not named here is tried again until the deadline.
_STEPS = {
    Fault.CONFLICT: (Step.AGAIN, 5, Step.GIVE_UP),
    Fault.LOCK_WAIT: (Step.PASS_OVER, 1, Step.ISOLATE),
    Fault.DUPLICATE: (Step.LOOK_UP, 5, Step.ISOLATE),
    Fault.HOST_GONE: (Step.AGAIN, 5, Step.ISOLATE),
    Fault.DATA: (Step.ISOLATE, 1, Step.ISOLATE),
    Fault.OTHER: (Step.ISOLATE, 1, Step.ISOLATE),
    Fault.STORAGE_FULL: (Step.GIVE_UP, 1, Step.GIVE_UP),
    Fault.UNWRITABLE: (Step.GIVE_UP, 1, Step.GIVE_UP),
    Fault.SCHEMA: (Step.GIVE_UP, 1, Step.GIVE_UP),
    Fault.TIMEOUT: (Step.GIVE_UP, 1, Step.GIVE_UP),
    Fault.CORRUPT: (Step.GIVE_UP, 1, Step.GIVE_UP),
}


def next_step(fault: Fault, times: int) -> Step:
    """Decides what follows a fault that a batch has met for the n-th time."""
    step, limit, then = _STEPS.get(fault, (Step.AGAIN, times, Step.AGAIN))
    return step if times <= limit else then
