"""The ids of series by host, engine and container name. Connection in, ids out; nothing here commits.

A host may have had tens of thousands of names in its time: nothing here reads more of them than are asked for.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date

from sqlalchemy import Connection, and_, select, update

from database.dialect import insert_ignore
from database.rows import Record
from model.history import series

# A series of a host: engine and container name; both empty for the host itself.
Name = tuple[str, str]
HOST: Name = ("", "")
# Whether a series is that of its host itself.
OWN = and_(series.c.engine_type == HOST[0], series.c.container_name == HOST[1])
# Of each host the ids of its series.
Names = dict[int, dict[Name, int]]
_NAME = ("engine_type", "container_name")
_CREATE = insert_ignore(series)


def active(connection: Connection, host_id: int, since: date) -> dict[Name, int]:
    """The series of a host of which anything is known since a day."""
    s = series.c
    statement = select(s.engine_type, s.container_name, s.id).where(s.host_id == host_id, s.last_on >= since)
    return {(engine, name): id_ for engine, name, id_ in connection.execute(statement)}


def active_ids(connection: Connection, host_ids: Collection[int], since: date) -> list[int]:
    """The series of some hosts of which anything is known since a day."""
    statement = select(series.c.id).where(series.c.host_id.in_(host_ids), series.c.last_on >= since)
    return list(connection.scalars(statement))


def own_id(connection: Connection, host_id: int) -> int | None:
    """The series of the host itself."""
    return connection.scalar(select(series.c.id).where(series.c.host_id == host_id, OWN))


def own(connection: Connection, host_ids: Collection[int]) -> dict[int, Record]:
    """By host the `id` and `last_on` of its own series; without those hosts that have none."""
    statement = select(series.c.host_id, series.c.id, series.c.last_on).where(series.c.host_id.in_(host_ids), OWN)
    return {row.host_id: row for row in connection.execute(statement)}


def ensure(connection: Connection, names: Names, wanted: Mapping[int, Iterable[Name]], day: date) -> None:
    """Adds to the names that are known those that are wanted; what is not there is made, as of a day."""
    for host_id, all_ in sorted(wanted.items()):
        if absent := sorted(set(all_) - names[host_id].keys()):
            made = {"host_id": host_id, "last_on": day}
            connection.execute(_CREATE, [made | dict(zip(_NAME, name, strict=True)) for name in absent])
            names[host_id] |= _ids(connection, host_id, absent)


def _ids(connection: Connection, host_id: int, wanted: Iterable[Name]) -> dict[Name, int]:
    """Each part of the names by itself: of their pairs MariaDB makes no range, and reads the whole table."""
    parts = [series.c[part].in_(set(values)) for part, values in zip(_NAME, zip(*wanted, strict=True), strict=True)]
    statement = select(series.c.engine_type, series.c.container_name, series.c.id)
    rows = connection.execute(statement.where(series.c.host_id == host_id, *parts))
    return {(engine, name): id_ for engine, name, id_ in rows}


def touch(connection: Connection, ids: Collection[int], day: date) -> None:
    """Notes that something is known of series on a day."""
    if ids:
        statement = update(series).where(series.c.id.in_(ids), series.c.last_on < day)
        connection.execute(statement.values(last_on=day))
