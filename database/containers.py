"""Statements about containers. Connection in, rows out; nothing here commits."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal_column, select

from database.details import packed
from database.dialect_time import local, utc
from database.pages import UNKNOWN, Key, Page, decode, fetch, holds
from database.rows import CONTAINER_DETAILS
from database.tags import has_all
from model.models import containers, hosts
from model.queries import ContainerQuery

S = TypeVar("S", bound=Select[Any])

# A host's current containers are those of the report its row points to. The plus, which changes nothing, and the hint
# make every engine begin with the hosts: begun with the containers, it would read the whole history.
HOST_ID: ColumnElement[int] = literal_column("+hosts.id")
_CURRENT = (containers.c.host_id == HOST_ID) & (containers.c.sampled_at == hosts.c.sampled_at)
_INDEX = "FORCE INDEX (ix_containers_host_sampled)"
_ALIVE = and_(hosts.c.deleted_at.is_(None), hosts.c.containers_count > 0)
_SORTS = {
    "host_name": Key(hosts.c.host_name),
    "container_name": Key(containers.c.container_name),
    "status": Key(containers.c.status),
    "cpu_percentage": Key(containers.c.cpu_percentage, unknown=UNKNOWN),
    "memory_usage": Key(containers.c.memory_usage, unknown=UNKNOWN),
    "memory_percentage": Key(containers.c.memory_percentage, unknown=UNKNOWN),
}
_MOMENTS = {"get_datetime": local, "sampled_at": utc}
_SHOWN = [
    *(column for column in containers.c if column.name not in (*CONTAINER_DETAILS, *_MOMENTS)),
    *(form(containers.c[name]).label(name) for name, form in _MOMENTS.items()),
    hosts.c.host_name,
    packed(containers, CONTAINER_DETAILS),
]
OF_HOSTS = {"host_id": hosts.c.id, "host_name": hosts.c.host_name}
_OF_CONTAINERS = {name: containers.c[name] for name in ("status", "cluster_name", "node_name", "engine_type")}


def page(connection: Connection, query: ContainerQuery, host_id: int | None = None, *, counted: bool = True) -> Page:
    """One page of the current containers, each once, with its host's name: of all hosts or of one."""
    name = query.sort.removeprefix("-")
    keys = [_SORTS[name].turned(query.sort.startswith("-"))]
    # Never the row's id: the next report gives the same container another one.
    keys += [_SORTS[other] for other in ("host_name", "container_name") if other != name]
    of_hosts, of_containers = _conditions(query, host_id)
    statement = _current().where(*of_hosts, *of_containers)
    if name == "host_name" and not of_containers:
        statement = _first(statement, of_hosts, query, keys)
    return fetch(
        connection,
        statement,
        sort=query.sort,
        keys=keys,
        among_equal=containers.c.id,
        limit=query.limit,
        cursor=query.cursor,
        count=None if of_containers else _count(of_hosts),
        counted=counted,
    )


def _current() -> Select[tuple[object, ...]]:
    return along_index(select(*_SHOWN).join_from(hosts, containers, _CURRENT))


def along_index(statement: S) -> S:
    """The statement with the hint that has containers read by host and moment, where an engine takes hints."""
    return statement.with_hint(containers, _INDEX, "mysql").with_hint(containers, _INDEX, "mariadb")


def _count(of_hosts: Sequence[ColumnElement[bool]]) -> Select[tuple[int]]:
    """How many containers these hosts have, without a look at any of them."""
    return select(func.coalesce(func.sum(hosts.c.containers_count), 0)).where(*of_hosts)


def _first(
    statement: Select[tuple[object, ...]],
    of_hosts: Sequence[ColumnElement[bool]],
    query: ContainerQuery,
    keys: Sequence[Key],
) -> Select[tuple[object, ...]]:
    """Only the hosts whose containers fill a page in the order of their names: the others need not be looked at.

    Every host knows how many containers it has. Of the host at which the cursor stands nobody knows how many were given
    already, so it counts for none.
    """
    (at, *_), given = decode(query.cursor, query.sort, keys) if query.cursor else ([None], 0)
    column = hosts.c.host_name
    counted = case((column == at, 0), else_=hosts.c.containers_count)
    before = func.sum(counted).over(order_by=column.desc() if keys[0].descending else column) - counted
    ahead = [] if at is None else [column <= at if keys[0].descending else column >= at]
    first = select(hosts.c.id, before.label("before")).where(*of_hosts, *ahead).subquery()
    # A join: MariaDB would look at what "IN" names last, behind every container there is.
    return statement.join(first, first.c.id == hosts.c.id).where(first.c.before <= query.limit + given)


def _conditions(
    query: ContainerQuery, host_id: int | None
) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """What is asked of the hosts, and what of the containers."""
    of_hosts, of_containers = (
        [column == getattr(query, name) for name, column in columns.items() if getattr(query, name) is not None]
        for columns in (OF_HOSTS, _OF_CONTAINERS)
    )
    if host_id is not None:
        of_hosts.append(hosts.c.id == host_id)
    of_hosts += has_all(query.tag)
    if query.q:
        of_containers.append(holds(containers.c.container_name, query.q))
    return [_ALIVE, *of_hosts], of_containers
