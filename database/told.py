"""What the rows of a span tell, of several hosts at once. Connection in, rows out; nothing here commits.

The statements are built once: to build them each time cost as much as to execute them.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
)

from database.buckets import Span
from database.containers import along_index
from database.rows import Record
from database.series import HOST, Name, Names
from model.history import series
from model.models import containers, reports

_HOST_IDS: BindParameter[Any] = bindparam("host_ids", expanding=True)
# What only some agents tell of a container's life.
_DETAILS = ("image", "started_at", "restart_count")


class Count(NamedTuple):
    """A host's reports in a span, how many rows of containers they came with, and when the last was taken."""

    reports: int
    rows: int
    last: datetime


def counts(connection: Connection, host_ids: Collection[int], span: Span) -> dict[int, Count]:
    """Of the hosts that reported."""
    found = connection.execute(_counts(), bound(host_ids, span))
    return {row.host_id: Count(row.reports, int(row.rows), row.last) for row in found}


@cache
def _counts() -> Select[Any]:
    r = reports.c
    rows, last = func.sum(r.containers_count).label("rows"), func.max(r.sampled_at).label("last")
    made = select(r.host_id, func.count().label("reports"), rows, last)
    return made.where(*inside(reports)).group_by(r.host_id)


def bound(host_ids: Collection[int], span: Span) -> dict[str, object]:
    """The parameters of the statements here."""
    return {"host_ids": list(host_ids), "first": span[0], "last": span[1]}


def inside(table: FromClause) -> list[ColumnElement[bool]]:
    """Rows of some hosts from a span's first moment to before its last."""
    at = table.c.sampled_at
    return [
        table.c.host_id.in_(_HOST_IDS),
        at >= bindparam("first", type_=at.type),
        at < bindparam("last", type_=at.type),
    ]


@dataclass(frozen=True, slots=True)
class Told:
    """What the rows of a span tell of each host's containers.

    A row has host, engine and name, `samples`, `last`, `status_min` and `status_max`, and whether it was `steady`:
    always the same, as then `image`, `started_at` and `restart_count` say; `series_id` and `last_on` if the series is
    there. `rows` counts those of the table; `doubled` are the hosts that had a name twice in one report, of which the
    first counts.
    """

    containers: dict[int, list[Record]]
    rows: dict[int, int]
    doubled: set[int]

    def wanted(self, host_ids: Collection[int]) -> dict[int, list[Name]]:
        """The series of some hosts and of their containers."""
        rows = self.containers
        return {id_: [HOST, *((row.engine_type, row.container_name) for row in rows.get(id_, ()))] for id_ in host_ids}

    def known(self, held: Mapping[int, Record]) -> Names:
        """The series of the hosts, which are named with theirs, and of their containers that are there already."""
        names: Names = {host_id: {HOST: host.series_id} if host.series_id else {} for host_id, host in held.items()}
        for host_id, rows in self.containers.items():
            names[host_id] |= {(row.engine_type, row.container_name): row.series_id for row in rows if row.series_id}
        return names

    def known_before(self, day: date) -> list[int]:
        """The series of containers of which nothing was known since a day."""
        rows = (row for rows in self.containers.values() for row in rows)
        return [row.series_id for row in rows if row.last_on and row.last_on < day]

    def holds(self, host_id: int, count: Count) -> bool:
        """Whether none of its rows are gone: retention removes them before the reports they came with."""
        return self.rows.get(host_id, 0) == count.rows

    def unsteady(self, host_ids: Collection[int]) -> Iterator[Record]:
        """Containers that changed their status."""
        for host_id in host_ids:
            yield from (row for row in self.containers.get(host_id, ()) if row.status_min != row.status_max)


def read(connection: Connection, host_ids: Collection[int], span: Span) -> Told:
    """Equal names in one report are looked for only where a name has more rows than moments."""
    made = Told({}, {}, set())
    for row in connection.execute(_lives(), bound(host_ids, span)) if host_ids else ():
        made.containers.setdefault(row.host_id, []).append(row)
        made.rows[row.host_id] = made.rows.get(row.host_id, 0) + row.samples
        if row.samples != row.moments:
            made.doubled.add(row.host_id)
    made.containers.update((host_id, []) for host_id in made.doubled)
    for row in connection.execute(_lives(once=True), bound(made.doubled, span)) if made.doubled else ():
        made.containers[row.host_id].append(row)
    return made


def rows_of(*, once: bool) -> tuple[FromClause, list[ColumnElement[bool]]]:
    """Rows of containers; `once`: without those whose name the report had before."""
    c = containers.c
    if not once:
        return containers, inside(containers)
    equal = (c.host_id, c.sampled_at, c.engine_type, c.container_name)
    place = func.row_number().over(partition_by=equal, order_by=c.id)
    numbered = along_index(select(containers, place.label("place")).where(*inside(containers))).subquery()
    return numbered, [numbered.c.place == 1]


@cache
def _lives(*, once: bool = False) -> Select[Any]:
    table, span = rows_of(once=once)
    c = table.c
    names = (c.host_id, c.engine_type, c.container_name)
    steady = and_(func.min(c.status) == func.max(c.status), *(_unchanged(c[name]) for name in _DETAILS))
    made = select(
        *names,
        func.count().label("samples"),
        func.count(c.sampled_at.distinct()).label("moments"),
        func.max(c.sampled_at).label("last"),
        func.min(c.status).label("status_min"),
        func.max(c.status).label("status_max"),
        case((steady, 1), else_=0).label("steady"),
        *(func.min(c[name]).label(name) for name in _DETAILS),
    )
    g, s = along_index(made.where(*span).group_by(*names)).subquery(), series.c
    same = and_(s.host_id == g.c.host_id, s.engine_type == g.c.engine_type, s.container_name == g.c.container_name)
    return select(g, s.id.label("series_id"), s.last_on).outerjoin_from(g, series, same)


def _unchanged(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Known never, or always and always the same."""
    known = func.count(column)
    return or_(known == 0, and_(known == func.count(), func.min(column) == func.max(column)))
