"""Makes agents (how each host reports) and quarantine (what was refused); what a killed run made is left as it is."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.types import TypeEngine

revision = "0007"
down_revision = "0006"

ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


def name(length: int = 255) -> TypeEngine[str]:
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sqlite.VARCHAR(length).with_variant(binary, "mysql", "mariadb")


def create(table: str, *parts: sa.Column[Any]) -> None:
    options = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
    given = {f"{engine}_{option}": value for engine in ("mysql", "mariadb") for option, value in options.items()}
    op.create_table(table, *parts, if_not_exists=True, **given)


def upgrade() -> None:
    create(
        "agents",
        sa.Column("host_id", ID, primary_key=True, autoincrement=False),
        sa.Column("address", name(64), nullable=False),
        sa.Column("agent", name()),
        sa.Column("token_id", name(16)),
        sa.Column("first_seen", MOMENT, nullable=False),
        sa.Column("last_seen", MOMENT, nullable=False),
        sa.Column("reports", sa.BigInteger(), nullable=False),
        sa.Column("repeats", sa.BigInteger(), nullable=False),
        sa.Column("gaps", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("last_refusal", name(32)),
        sa.Column("refused_at", MOMENT),
        sa.Column("skew_s", sa.Double()),
        sa.Column("utc_offset_min", sa.Integer()),
    )
    create(
        "quarantine",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("path", name(64), nullable=False),
        sa.Column("host_name", name()),
        sa.Column("address", name(64), nullable=False),
        sa.Column("token_id", name(16)),
        sa.Column("code", name(32), nullable=False),
        sa.Column("message", name(512), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(65_535)),
        sa.Column("replayed_at", MOMENT),
    )
