"""The ids of series by host, engine and container name. Connection in, ids out; nothing here commits."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, and_, select

from database.dialect import insert_ignore
from model.history import series

# A series of a host: engine and container name; both empty for the host itself.
Name = tuple[str, str]
HOST: Name = ("", "")
# Whether a series is that of its host itself.
OWN = and_(series.c.engine_type == HOST[0], series.c.container_name == HOST[1])
# Of each host the ids of its series.
Names = dict[int, dict[Name, int]]
_CREATE = insert_ignore(series)


def ids(connection: Connection, host_id: int) -> dict[Name, int]:
    """All series of a host."""
    return all_ids(connection, [host_id])[host_id]


def own_id(connection: Connection, host_id: int) -> int | None:
    """The series of the host itself, without a look at its containers' names."""
    return connection.scalar(select(series.c.id).where(series.c.host_id == host_id, OWN))


def all_ids(connection: Connection, host_ids: Iterable[int]) -> Names:
    """All series of some hosts."""
    found: Names = {host_id: {} for host_id in host_ids}
    columns = (series.c.host_id, series.c.engine_type, series.c.container_name, series.c.id)
    for host_id, engine, name, id_ in connection.execute(select(*columns).where(series.c.host_id.in_(found))):
        found[host_id][(engine, name)] = id_
    return found


def ensure(connection: Connection, known: Names, wanted: Mapping[int, Iterable[Name]]) -> Names:
    """All series of the hosts of whom some are wanted; those that are not known yet are made."""
    absent = sorted((host_id, name) for host_id, names in wanted.items() for name in set(names) - known[host_id].keys())
    if not absent:
        return known
    rows = [{"host_id": host_id, "engine_type": name[0], "container_name": name[1]} for host_id, name in absent]
    connection.execute(_CREATE, rows)
    return known | all_ids(connection, {host_id for host_id, _ in absent})
