"""Makes events, the calls still to be made of them, and hosts' tags; what a killed run made is left as it is."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.types import TypeEngine

revision = "0004"
down_revision = "0003"

ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
HOSTS = sa.table("hosts", sa.column("last_seen", MOMENT), sa.column("dark_since", MOMENT))
QUIET = timedelta(minutes=10)
COLUMNS = {"hosts": ("dark_since", "ledger_at"), "series": ("first_at",)}


def name(length: int = 255) -> TypeEngine[str]:
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sqlite.VARCHAR(length).with_variant(binary, "mysql", "mariadb")


def create(table: str, *parts: sa.Column[Any]) -> None:
    options = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
    given = {f"{engine}_{option}": value for engine in ("mysql", "mariadb") for option, value in options.items()}
    op.create_table(table, *parts, if_not_exists=True, sqlite_with_rowid=False, **given)


def index(title: str, table: str, *columns: str) -> None:
    if title not in {known["name"] for known in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(title, table, list(columns))


def hush() -> None:
    """Whoever is on call knows of the hosts that were silent before there was a ledger: long before the last report."""
    connection = op.get_bind()
    newest = connection.scalar(sa.select(sa.func.max(HOSTS.c.last_seen)))
    if newest is not None:
        silent = sa.update(HOSTS).where(HOSTS.c.last_seen < newest - QUIET, HOSTS.c.dark_since.is_(None))
        connection.execute(silent.values(dark_since=HOSTS.c.last_seen))


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
        for column in columns:
            if column not in known:
                op.add_column(table, sa.Column(column, MOMENT))
    hush()
    create(
        "events",
        sa.Column(
            "host_id", ID, sa.ForeignKey("hosts.id", name="fk_events_host"), primary_key=True, autoincrement=False
        ),
        sa.Column("at", MOMENT, primary_key=True),
        sa.Column("kind", name(16), primary_key=True),
        sa.Column("series_id", ID, primary_key=True, autoincrement=False),
        sa.Column("from_value", name()),
        sa.Column("to_value", name()),
        sa.Column("details", name(1024)),
    )
    index("ix_events_at", "events", "at")
    index("ix_events_kind_at", "events", "kind", "at")
    index("ix_events_series_at", "events", "series_id", "at")
    create(
        "webhook_calls",
        sa.Column("host_id", ID, primary_key=True, autoincrement=False),
        sa.Column("at", MOMENT, primary_key=True),
        sa.Column("kind", name(16), primary_key=True),
    )
    create(
        "host_tags",
        sa.Column(
            "host_id", ID, sa.ForeignKey("hosts.id", name="fk_host_tags_host"), primary_key=True, autoincrement=False
        ),
        sa.Column("tag", name(64), primary_key=True),
    )
    index("ix_host_tags_tag", "host_tags", "tag", "host_id")
