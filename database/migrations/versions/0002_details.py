"""Adds what newer agents tell of a host and of a container; whatever a killed run added already is left as it is."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
NAME = sqlite.VARCHAR(255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
HOST: dict[str, TypeEngine[Any]] = {
    "os": NAME,
    "kernel": NAME,
    "uptime_s": sa.BigInteger(),
    "load1": sa.Double(),
    "disk_usage": sa.Double(),
    "disk_total": sa.Double(),
    "network_received": sa.BigInteger(),
    "network_sent": sa.BigInteger(),
}
CONTAINER: dict[str, TypeEngine[Any]] = {
    "container_id": NAME,
    "image": NAME,
    "restart_count": sa.Integer(),
    "exit_code": sa.BigInteger(),
    "oom_killed": sa.Boolean(),
    "health": NAME,
    "started_at": MOMENT,
}


# What one statement may add: a table is altered once where that can be, for each time is a moment without it.
AT_ONCE = {"mysql": 99, "mariadb": 99}


def upgrade() -> None:
    for table, columns in (("hosts", HOST), ("reports", HOST), ("containers", CONTAINER)):
        known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
        add(table, [sa.Column(name, kind) for name, kind in columns.items() if name not in known])


def add(table: str, columns: list[sa.Column[Any]]) -> None:
    dialect = op.get_bind().dialect
    at_once = AT_ONCE.get(dialect.name, 1)
    texts = [f"ADD COLUMN {CreateColumn(column).compile(dialect=dialect)}" for column in columns]
    for first in range(0, len(texts), at_once):
        op.execute(f"ALTER TABLE {table} {', '.join(texts[first : first + at_once])}")
