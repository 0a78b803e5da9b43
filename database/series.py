"""The ids of series by host, engine and container name. Connection in, ids out; nothing here commits."""

from collections.abc import Iterable

from sqlalchemy import Connection, select

from database.dialect import insert_ignore
from model.history import series

# A series of a host: engine and container name; both empty for the host itself.
Name = tuple[str, str]
HOST: Name = ("", "")
_CREATE = insert_ignore(series)


def ids(connection: Connection, host_id: int) -> dict[Name, int]:
    """All series of a host."""
    found = connection.execute(
        select(series.c.engine_type, series.c.container_name, series.c.id).where(series.c.host_id == host_id)
    )
    return {(engine, name): id_ for engine, name, id_ in found}


def ids_of(connection: Connection, host_id: int, names: Iterable[Name]) -> dict[Name, int]:
    """All series of a host; those of the names that are not there yet are made."""
    known = ids(connection, host_id)
    absent = sorted(set(names) - known.keys())
    if not absent:
        return known
    rows = [{"host_id": host_id, "engine_type": engine, "container_name": name} for engine, name in absent]
    connection.execute(_CREATE, rows)
    return ids(connection, host_id)
