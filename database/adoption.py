"""Adopts the database of the owner's earlier server: its tables `hosts` and `containers`, in place, losing nothing.

The earlier tables are renamed, ours are made, the rows are copied and counted, then the earlier tables are dropped.
Every step is found out from what is there, so that an adoption that was killed at any point goes on when it is started
again. Alembic's version row appears under its real name last: until then no process takes the schema for complete.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import (
    Connection,
    Engine,
    FromClause,
    LargeBinary,
    Table,
    cast,
    column,
    func,
    insert,
    inspect,
    select,
    table,
)

from database import leases
from database.adoption_plan import Plan, Times
from database.adoption_state import ADOPTING, COLUMNS, CONTAINERS, EARLIER, HOSTS, VERSION, NotReady, look
from database.dialect import Dialect, insert_ignore
from model import models
from utils.utils import moment

CHUNK = 5_000
# The columns have no types, so that the driver's values come as they are.
_hosts = table(HOSTS, *map(column, COLUMNS["hosts"]))
_containers = table(CONTAINERS, *map(column, COLUMNS["containers"]))
_MARK = insert_ignore(models.rollup_pending)


@dataclass(frozen=True, slots=True)
class Job:
    """What the work on a schema needs: a lease, and whom to tell the rows done and the rows in all."""

    engine: Engine
    dialect: Dialect
    lease: leases.Lease
    zone: tzinfo | None
    progress: Callable[[int, int], None] | None


def adopt(job: Job, upgrade: Callable[[Engine, str], None]) -> None:
    """Adopts, or goes on where an adoption ended; `upgrade` runs the migrations by the word of a version table."""
    _rename(job)
    upgrade(job.engine, ADOPTING)
    if CONTAINERS in look(job.engine).names:
        _copy(job)
    _finish(job)


def _rename(job: Job) -> None:
    seen = look(job.engine)
    with job.engine.begin() as connection:
        leases.keep(connection, job.dialect, job.lease)
        operations = Operations(MigrationContext.configure(connection))
        for name, other in EARLIER.items():
            if seen.earlier(name):
                operations.rename_table(name, other)
        _drop_foreign_keys(connection, operations)


def _drop_foreign_keys(connection: Connection, operations: Operations) -> None:
    """Their names are the whole database's on MySQL, and ours may be among them."""
    if connection.dialect.supports_alter and CONTAINERS in inspect(connection).get_table_names():
        for key in inspect(connection).get_foreign_keys(CONTAINERS):
            operations.drop_constraint(str(key["name"]), CONTAINERS, type_="foreignkey")


def _copy(job: Job) -> None:
    plan = _plan(job)
    _copy_hosts(job, plan)
    copied = _count(job.engine, models.hosts, models.containers)
    total = len(plan.names) + _count(job.engine, _containers)
    while rows := _copy_chunk(job, plan):
        copied += rows
        if job.progress:
            job.progress(copied, total)
    _verify(job.engine, plan)


def _plan(job: Job) -> Plan:
    """The newest row of each name by the bytes of the name: the earlier table's collation may take `web` for `Web`."""
    newest = (
        select(func.max(_containers.c.id).label("id"))
        .group_by(_containers.c.host_id, cast(_containers.c.container_name, LargeBinary))
        .subquery()
    )
    columns = (_containers.c[name] for name in ("id", "host_id", "container_name", "status", "get_datetime"))
    statement = select(*columns).join(newest, newest.c.id == _containers.c.id).order_by(_containers.c.id)
    with job.engine.begin() as connection:
        times = Times(job.zone, moment(job.dialect.now(connection)))
        return Plan(connection.execute(select(_hosts)).all(), connection.execute(statement).all(), times)


def _copy_hosts(job: Job, plan: Plan) -> None:
    """All in one transaction. If they are there already, their moments stand: `now` was earlier then."""
    there = select(models.hosts.c.id, models.hosts.c.sampled_at)
    with job.engine.begin() as connection:
        leases.keep(connection, job.dialect, job.lease)
        if stored := {row.id: row.sampled_at for row in connection.execute(there)}:
            plan.moments.update(stored)
            return
        _insert(connection, models.hosts, list(plan.hosts()))
        _insert(connection, models.reports, reports := list(plan.reports()))
        _mark(connection, reports)


def _copy_chunk(job: Job, plan: Plan) -> int:
    """Copies the rows after the last one that is there; gives how many."""
    with job.engine.begin() as connection:
        leases.keep(connection, job.dialect, job.lease)
        last = connection.scalar(select(func.max(models.containers.c.id)))
        page = select(_containers).order_by(_containers.c.id).limit(CHUNK)
        found = connection.execute(page if last is None else page.where(_containers.c.id > last)).all()
        rows = [plan.container(row) for row in found]
        _insert(connection, models.containers, rows)
        _mark(connection, rows)
    return len(rows)


def _insert(connection: Connection, into: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(into), rows)


def _mark(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Aggregates of these minutes are due, as if the reports had come to us."""
    pairs = {(row["host_id"], row["sampled_at"].replace(second=0, microsecond=0)) for row in rows}
    if pairs:
        connection.execute(_MARK, [{"host_id": host_id, "minute": minute} for host_id, minute in sorted(pairs)])


def _count(engine: Engine, *tables: FromClause) -> int:
    with engine.begin() as connection:
        return sum(connection.scalars(select(func.count()).select_from(one)).one() for one in tables)


def _verify(engine: Engine, plan: Plan) -> None:
    expected = len(plan.names), sum(max(len(rows), 1) for rows in plan.rows.values()), _count(engine, _containers)
    found = tuple(_count(engine, one) for one in (models.hosts, models.reports, models.containers))
    if found != expected:
        raise NotReady(
            f"The adoption made {found} hosts, reports and containers where {expected} were due: "
            f"the earlier rows are untouched in {HOSTS} and {CONTAINERS}."
        )


def _finish(job: Job) -> None:
    names = look(job.engine).names
    with job.engine.begin() as connection:
        leases.keep(connection, job.dialect, job.lease)
        operations = Operations(MigrationContext.configure(connection))
        for name in (CONTAINERS, HOSTS):
            if name in names:
                operations.drop_table(name)
        operations.rename_table(ADOPTING, VERSION)
