"""The database of the owner's earlier server, as its SQLAlchemy models made it."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, DateTime, Float, ForeignKey, Integer, MetaData, String, Table, insert, select

from model.models import containers
from tests.schema_engine import Target

NOON = datetime(2025, 6, 23, 12, 0, 0)  # noqa: DTZ001 - local times, as the agents sent them
HOUR = timedelta(hours=1)
HOST = {"cpu_percentage": 3.9, "cpu_cores": 16, "cpu_threads": 32, "memory_usage": 18.1, "memory_percentage": 57.9}
CONTAINER = {
    "engine_type": "docker",
    "cluster_name": "cluster",
    "node_name": "node",
    "container_name": "web",
    "status": "running",
    "cpu_percentage": 0.1,
    "memory_usage": 1.7,
    "memory_percentage": 5.3,
    "get_datetime": NOON,
    "host_id": 1,
}


class Earlier:
    """Makes the tables and fills them."""

    def __init__(self, target: Target, *, text: int = 255, key: str | None = None, checked: bool = True) -> None:
        self._target = target
        self._metadata = MetaData()
        self.hosts, self.containers = self._hosts(text), self._containers(text, key, checked=checked)
        self._metadata.create_all(target.engine)

    def _hosts(self, text: int) -> Table:
        floats = [Column(name, Float) for name in ("memory_usage", "memory_percentage")]
        return Table(
            "hosts",
            self._metadata,
            Column("id", Integer, primary_key=True, index=True),
            Column("host_name", String(text)),
            Column("cpu_percentage", Float),
            Column("cpu_cores", Integer),
            Column("cpu_threads", Integer),
            *floats,
            Column("get_datetime", DateTime),
        )

    def _containers(self, text: int, key: str | None, *, checked: bool) -> Table:
        words = ("engine_type", "cluster_name", "node_name", "container_name", "status")
        floats = ("cpu_percentage", "memory_usage", "memory_percentage")
        return Table(
            "containers",
            self._metadata,
            Column("id", Integer, primary_key=True, index=True),
            *(Column(name, String(text)) for name in words),
            *(Column(name, Float) for name in floats),
            Column("get_datetime", DateTime),
            Column("host_id", Integer, *([ForeignKey("hosts.id", name=key)] if checked else [])),
        )

    def add_host(self, id_: int, name: str | None, at: datetime | None = NOON, **values: object) -> None:
        self._add(self.hosts, [{"id": id_, "host_name": name, "get_datetime": at, **HOST, **values}])

    def add_container(self, id_: int, host_id: int | None, name: str | None, **values: object) -> None:
        self._add(self.containers, [{**CONTAINER, "id": id_, "host_id": host_id, "container_name": name, **values}])

    def add_containers(self, rows: list[dict[str, Any]]) -> None:
        self._add(self.containers, [{**CONTAINER, **row} for row in rows])

    def _add(self, table: Table, rows: list[dict[str, Any]]) -> None:
        with self._target.engine.begin() as connection:
            connection.execute(insert(table), rows)


def small(one: Target) -> None:
    """Two hosts with a present and a past."""
    earlier = Earlier(one)
    earlier.add_host(1, "web-1")
    earlier.add_host(2, "web-2", NOON + HOUR)
    earlier.add_container(1, 1, "web", get_datetime=NOON - HOUR)
    earlier.add_container(2, 1, "db", status="exited")
    earlier.add_container(3, 1, "web")
    earlier.add_container(4, 2, "web", get_datetime=NOON + HOUR)


def rows(one: Target, table: Table = containers) -> list[dict[str, Any]]:
    with one.engine.begin() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def of(one: Target, table: Table, id_: int) -> dict[str, Any]:
    return next(row for row in rows(one, table) if row["id"] == id_)
