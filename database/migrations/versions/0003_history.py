"""Makes series, their aggregates and what is due of them."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.types import TypeEngine

revision = "0003"
down_revision = "0002"

ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
NAME: TypeEngine[str] = sqlite.VARCHAR(255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
METRICS = ("cpu_percentage", "memory_usage", "memory_percentage")


def create(name: str, *parts: sa.Column[Any] | sa.Constraint, rowid: bool = True) -> None:
    options = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
    given = {f"{engine}_{option}": value for engine in ("mysql", "mariadb") for option, value in options.items()}
    op.create_table(name, *parts, if_not_exists=True, sqlite_with_rowid=rowid, **given)


def index(title: str, *columns: str, unique: bool = False) -> None:
    if title not in {known["name"] for known in sa.inspect(op.get_bind()).get_indexes("series")}:
        op.create_index(title, "series", list(columns), unique=unique)


def upgrade() -> None:
    create(
        "series",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("host_id", ID, sa.ForeignKey("hosts.id", name="fk_series_host"), nullable=False),
        sa.Column("engine_type", NAME, nullable=False),
        sa.Column("container_name", NAME, nullable=False),
        sa.Column("last_on", sa.Date(), nullable=False),
    )
    index("uq_series_name", "host_id", "engine_type", "container_name", unique=True)
    index("ix_series_last_on", "host_id", "last_on")
    for seconds in (60, 600, 3_600):
        tier(seconds)
    create(
        "rollup_due",
        sa.Column("seconds", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("host_id", ID, primary_key=True, autoincrement=False),
        sa.Column("begins_at", sa.DateTime(), primary_key=True),
        rowid=False,
    )


def tier(seconds: int) -> None:
    aggregates: list[sa.Column[Any]] = []
    for metric in METRICS:
        aggregates += [sa.Column(f"{metric}_{name}", sa.Double()) for name in ("sum", "min", "max")]
        aggregates.append(sa.Column(f"{metric}_nulls", sa.Integer()))
    create(
        f"rollup_{seconds}",
        sa.Column("series_id", ID, primary_key=True, autoincrement=False),
        sa.Column("begins_at", sa.DateTime(), primary_key=True),
        sa.Column("samples", sa.Integer(), nullable=False),
        *aggregates,
        sa.Column("status", NAME),
        sa.Column("interval_s", sa.Double()),
        rowid=False,
    )
