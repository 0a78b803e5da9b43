"""Statements about hosts. Connection in, rows out; nothing here commits."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from database import tags
from database.details import packed
from database.dialect import insert_ignore
from database.dialect_time import local, utc
from database.pages import UNKNOWN, Key, Page, fetch, holds
from database.rows import HOST_DETAILS, Record
from model.models import containers, hosts
from model.queries import HostQuery
from utils.utils import moment

_ALIVE = select(hosts.c.id).where(hosts.c.id.in_(bindparam("ids", expanding=True)), hosts.c.deleted_at.is_(None))
_FIND = select(hosts.c.host_name, hosts.c.id).where(hosts.c.host_name.in_(bindparam("names", expanding=True)))
# Another instance may create the same host at the same moment; both then find the one row that is there.
_CREATE = insert_ignore(hosts)


class NameTaken(Exception):
    """Another host has that name."""


def find(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Gives the ids of those names that are there."""
    return {row.host_name: row.id for row in connection.execute(_FIND, {"names": list(names)})}


def named(connection: Connection, host_id: int) -> str | None:
    """A host's name; None if there is no such host, or no more."""
    name: str | None = connection.scalar(select(hosts.c.host_name).where(hosts.c.id == host_id))
    return name


def are_there(connection: Connection) -> bool:
    """Whether there is any host, a forgotten one whose rows are not removed yet included."""
    return connection.scalar(select(hosts.c.id).limit(1)) is not None


def create(connection: Connection, names: Iterable[str], now: int) -> None:
    """Creates hosts that no report has reached yet; in the order of their names, as every instance does it."""
    connection.execute(_CREATE, [{"host_name": name, "created_at": moment(now)} for name in sorted(names)])


def alive(connection: Connection, ids: Iterable[int]) -> set[int]:
    """Gives those of the ids that are hosts, locked or not."""
    return set(connection.execute(_ALIVE, {"ids": list(ids)}).scalars())


def merging_into(host_id: int) -> str:
    """What a host is called while a merge moves its rows: nobody else's name has a control character."""
    return f"\x1f{host_id}"


def held(connection: Connection, host_id: int) -> bool:
    """Locks a host until the transaction ends; False if there is none of that id."""
    statement = select(hosts.c.id).where(hosts.c.id == host_id, hosts.c.deleted_at.is_(None))
    return connection.scalar(statement.with_for_update()) is not None


def hide(connection: Connection, host_id: int, now: int) -> bool:
    """Forgets a host, and one that is not merged into it yet: hides it and frees its name. False if there is none."""
    h, going = hosts.c, merging_into(host_id)
    ids = connection.scalars(select(h.id).where(or_(h.id == host_id, h.host_name == going)).order_by(h.id)).all()
    for one in ids:  # a merge goes on meanwhile, and locks both in this order
        connection.execute(select(h.id).where(h.id == one).with_for_update())
    connection.execute(update(hosts).where(h.id.in_(ids), h.host_name == going).values(host_name=None))
    statement = update(hosts).where(h.id == host_id, h.deleted_at.is_(None))
    return connection.execute(statement.values(deleted_at=moment(now), host_name=None)).rowcount > 0


PRESENT = and_(hosts.c.deleted_at.is_(None), hosts.c.sampled_at.is_not(None))
# Without the columns of our own housekeeping: the driver makes a value of each, for every host of a page.
_HIDDEN = ("created_at", "deleted_at", "interval_s", "expected_by", "dark_since", "ledger_at", *HOST_DETAILS)
_MOMENTS = {"get_datetime": local, "last_seen": utc, "sampled_at": utc}
_SHOWN = [
    *(column for column in hosts.c if column.name not in (*_HIDDEN, *_MOMENTS)),
    *(form(hosts.c[name]).label(name) for name, form in _MOMENTS.items()),
    packed(hosts, HOST_DETAILS),
]
SORTS = {
    "host_name": Key(hosts.c.host_name),
    "id": Key(hosts.c.id),
    "cpu_percentage": Key(hosts.c.cpu_percentage, unknown=UNKNOWN),
    "memory_usage": Key(hosts.c.memory_usage, unknown=UNKNOWN),
    "memory_percentage": Key(hosts.c.memory_percentage, unknown=UNKNOWN),
    "containers_count": Key(hosts.c.containers_count, unknown=-1),
    "containers_running": Key(hosts.c.containers_running, unknown=-1),
    "last_seen": Key(hosts.c.last_seen),
}


@dataclass(frozen=True, slots=True)
class Presence:
    """What tells an online host: it was seen after `seen_after`, or is expected only after `now` (UTC, naive)."""

    now: datetime
    seen_after: datetime

    def online(self) -> ColumnElement[bool]:
        """Whether a host is online."""
        # A comparison with NULL is neither true nor false: such a host would be in neither list.
        expected_by = func.coalesce(hosts.c.expected_by, hosts.c.last_seen)
        return or_(hosts.c.last_seen > self.seen_after, expected_by > self.now)


def page(connection: Connection, query: HostQuery, presence: Presence, *, counted: bool = True) -> Page:
    """One page of the hosts that have reported."""
    statement = _shown(presence).where(*_conditions(query, presence))
    name = query.sort.removeprefix("-")
    keys = [SORTS[name].turned(query.sort.startswith("-"))]
    if name not in ("host_name", "id"):
        keys.append(Key(hosts.c.id))
    return fetch(
        connection,
        statement,
        sort=query.sort,
        keys=keys,
        among_equal=hosts.c.id,
        limit=query.limit,
        cursor=query.cursor,
        counted=counted,
    )


def _shown(presence: Presence) -> Select[Any]:
    return select(*_SHOWN, case((presence.online(), 1), else_=0).label("online"))


def _conditions(query: HostQuery, presence: Presence) -> list[ColumnElement[bool]]:
    online = presence.online()
    asked: dict[str, Callable[[Any], ColumnElement[bool]]] = {
        "host_id": lambda value: hosts.c.id == value,
        "host_name": lambda value: hosts.c.host_name == value,
        "q": partial(holds, hosts.c.host_name),
        "status": lambda value: online if value == "online" else not_(online),
        **{name: partial(_has_container, name) for name in ("cluster_name", "node_name", "engine_type")},
    }
    values = {name: getattr(query, name) for name in asked}
    of_columns = (asked[name](value) for name, value in values.items() if value is not None)
    return [PRESENT, *of_columns, *tags.has_all(query.tag)]


def _has_container(column: str, value: str) -> ColumnElement[bool]:
    """Hosts that have such a container now."""
    current = and_(containers.c.host_id == hosts.c.id, containers.c.sampled_at == hosts.c.sampled_at)
    return exists().where(current, containers.c[column] == value)


def get(connection: Connection, host_id: int, presence: Presence) -> Record | None:
    """One host that has reported."""
    return connection.execute(_shown(presence).where(PRESENT, hosts.c.id == host_id)).one_or_none()


def has_reported(connection: Connection, host_id: int) -> bool:
    """Whether there is such a host."""
    return connection.scalar(select(hosts.c.id).where(PRESENT, hosts.c.id == host_id)) is not None


def rename(connection: Connection, host_id: int, name: str) -> None:
    """Gives a host another name, its history with it; raises NameTaken if another host has that one."""
    try:
        connection.execute(
            update(hosts).where(hosts.c.id == host_id, hosts.c.deleted_at.is_(None)).values(host_name=name)
        )
    except IntegrityError:
        raise NameTaken from None
