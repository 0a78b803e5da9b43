"""Statements about containers. Connection in, rows out; nothing here commits."""

from sqlalchemy import ColumnElement, Connection, func, select

from database.pages import UNKNOWN, Key, Page, fetch
from model.models import containers, hosts
from model.queries import ContainerQuery

# A host's current containers are those of the report its row points to.
_CURRENT = (containers.c.host_id == hosts.c.id) & (containers.c.sampled_at == hosts.c.sampled_at)
_SORTS = {
    "host_name": Key(hosts.c.host_name),
    "container_name": Key(containers.c.container_name),
    "status": Key(containers.c.status),
    "cpu_percentage": Key(containers.c.cpu_percentage, unknown=UNKNOWN),
    "memory_usage": Key(containers.c.memory_usage, unknown=UNKNOWN),
    "memory_percentage": Key(containers.c.memory_percentage, unknown=UNKNOWN),
}
_EXACT = {
    "host_id": hosts.c.id,
    "host_name": hosts.c.host_name,
    "status": containers.c.status,
    "cluster_name": containers.c.cluster_name,
    "node_name": containers.c.node_name,
    "engine_type": containers.c.engine_type,
}


def page(connection: Connection, query: ContainerQuery, host_id: int | None = None) -> Page:
    """One page of the current containers, each once, with its host's name: of all hosts or of one."""
    statement = select(containers, hosts.c.host_name).join_from(hosts, containers, _CURRENT)
    statement = statement.where(hosts.c.deleted_at.is_(None), *_conditions(query))
    if host_id is not None:
        statement = statement.where(hosts.c.id == host_id)
    name = query.sort.removeprefix("-")
    keys = [_SORTS[name].turned(query.sort.startswith("-"))]
    # Never the row's id: the next report gives the same container another one.
    keys += [_SORTS[other] for other in ("host_name", "container_name") if other != name]
    return fetch(
        connection,
        statement,
        sort=query.sort,
        keys=keys,
        among_equal=containers.c.id,
        limit=query.limit,
        cursor=query.cursor,
    )


def _conditions(query: ContainerQuery) -> list[ColumnElement[bool]]:
    values = {column: getattr(query, name) for name, column in _EXACT.items()}
    exact = [column == value for column, value in values.items() if value is not None]
    if query.q:
        exact.append(func.instr(func.lower(containers.c.container_name), func.lower(query.q)) > 0)
    return exact
