"""What an earlier server's database looks like, at every step of its adoption, and what must not be touched."""

from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Engine, column, func, inspect, select, table
from sqlalchemy.exc import NoSuchTableError

from model import models

COLUMNS = {
    "hosts": (
        "id",
        "host_name",
        "cpu_percentage",
        "cpu_cores",
        "cpu_threads",
        "memory_usage",
        "memory_percentage",
        "get_datetime",
    ),
    "containers": (
        "id",
        "engine_type",
        "cluster_name",
        "node_name",
        "container_name",
        "status",
        "cpu_percentage",
        "memory_usage",
        "memory_percentage",
        "get_datetime",
        "host_id",
    ),
}
# The earlier tables while they are adopted.
HOSTS, CONTAINERS = "earlier_hosts", "earlier_containers"
EARLIER = {"hosts": HOSTS, "containers": CONTAINERS}
# Alembic's version table, and its name until the adoption is complete.
VERSION, ADOPTING = "alembic_version", "adopting_version"
LEASES, OUR_LEASES = models.leases.name, frozenset(models.leases.c.keys())


class NotReady(Exception):
    """Why the schema cannot be used, in one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is: the columns of the tables that matter, and the names of all tables and views."""

    columns: dict[str, frozenset[str]]
    names: frozenset[str]

    def earlier(self, name: str) -> bool:
        """Whether the table of this name is one of the earlier server's."""
        owners = COLUMNS["hosts" if name in ("hosts", HOSTS) else "containers"]
        return self.columns.get(name) == frozenset(owners)

    @property
    def begun(self) -> bool:
        """Whether an adoption has begun and is not complete."""
        return ADOPTING in self.names or self.earlier(HOSTS) or self.earlier(CONTAINERS)


def look(engine: Engine) -> Seen:
    """The columns before the names: whoever adopts meanwhile leaves a name that tells."""
    with engine.begin() as connection:
        inspector = inspect(connection)
        columns = {}
        for name in (*COLUMNS, HOSTS, CONTAINERS, LEASES):
            with suppress(NoSuchTableError):
                columns[name] = frozenset(str(found["name"]).lower() for found in inspector.get_columns(name))
        return Seen(columns, frozenset([*inspector.get_table_names(), *inspector.get_view_names()]))


def check(engine: Engine, max_rows: int | None, *, alone: bool = False) -> bool:
    """Tells whether there is something to adopt, and touches nothing.

    `alone` says that the lease is held. Without it a table of leases means that a process like this one is at work, or
    was: what there is will be judged under the lease. Raises NotReady for what cannot be adopted.
    """
    seen = look(engine)
    if VERSION in seen.names or (not alone and seen.columns.get(LEASES) == OUR_LEASES):
        return False
    if not seen.begun:
        _refuse_strangers(seen)
    for name, other in EARLIER.items():
        if seen.earlier(name) and other in seen.names:
            raise NotReady(f"The earlier server's table {name} cannot be renamed: there is a table {other} already.")
    if not (seen.begun or seen.earlier("hosts")):
        return False
    _refuse_too_many(engine, seen, max_rows)
    return True


def _refuse_strangers(seen: Seen) -> None:
    strange = (set(models.metadata.tables) & seen.names) - {LEASES}
    if seen.earlier("hosts") and seen.earlier("containers"):
        strange -= set(COLUMNS)
    if seen.columns.get(LEASES, OUR_LEASES) != OUR_LEASES:
        strange.add(LEASES)
    if strange:
        names = ", ".join(sorted(strange))
        raise NotReady(f"The database has tables of these names that are not this server's: {names}; give it another.")


def _refuse_too_many(engine: Engine, seen: Seen, max_rows: int | None) -> None:
    """Counts no further than it must, for every start asks."""
    if max_rows is None:
        return
    left = max_rows
    with engine.begin() as connection:
        for name in (*COLUMNS, HOSTS, CONTAINERS):
            if seen.earlier(name):
                some = select(column("id")).select_from(table(name)).limit(left + 1).subquery()
                left -= connection.scalars(select(func.count()).select_from(some)).one()
            if left < 0:
                raise NotReady(
                    f"The earlier server's database has more than {max_rows:,} rows: "
                    "adopt it by `python manage.py db upgrade`, which shows its progress."
                )
