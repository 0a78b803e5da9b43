"""Makes people and where they are signed in; what a killed run made is left as it is."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.types import TypeEngine

revision = "0008"
down_revision = "0007"

ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
SHA256 = sa.LargeBinary(32).with_variant(mysql.BINARY(32), "mysql", "mariadb")


def name(length: int = 255) -> TypeEngine[str]:
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sqlite.VARCHAR(length).with_variant(binary, "mysql", "mariadb")


def create(table: str, *parts: sa.Column[Any]) -> None:
    options = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
    given = {f"{engine}_{option}": value for engine in ("mysql", "mariadb") for option, value in options.items()}
    op.create_table(table, *parts, if_not_exists=True, **given)


def upgrade() -> None:
    create(
        "users",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("name", name(), nullable=False, unique=True),
        sa.Column("password_hash", name(), nullable=False),
        sa.Column("role", name(16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("disabled_at", MOMENT),
    )
    create(
        "sessions",
        sa.Column("id", name(32), primary_key=True),
        sa.Column("user_id", ID, sa.ForeignKey("users.id", name="fk_sessions_user"), nullable=False),
        sa.Column("refresh_hash", SHA256, nullable=False),
        sa.Column("previous_hash", SHA256),
        sa.Column("previous_until", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT),
    )
    if "ix_sessions_user" not in {known["name"] for known in sa.inspect(op.get_bind()).get_indexes("sessions")}:
        op.create_index("ix_sessions_user", "sessions", ["user_id"])
