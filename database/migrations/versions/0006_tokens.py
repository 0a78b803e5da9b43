"""Makes tokens and the number that tells of their changes; what a killed run made is left as it is."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.types import TypeEngine

revision = "0006"
down_revision = "0005"

ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
SHA256 = sa.LargeBinary(32).with_variant(mysql.BINARY(32), "mysql", "mariadb")
REVISION = sa.table("access_revision", sa.column("id", ID), sa.column("number", sa.BigInteger()))


def name(length: int = 255) -> TypeEngine[str]:
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sqlite.VARCHAR(length).with_variant(binary, "mysql", "mariadb")


def create(table: str, *parts: sa.Column[Any]) -> None:
    options = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
    given = {f"{engine}_{option}": value for engine in ("mysql", "mariadb") for option, value in options.items()}
    op.create_table(table, *parts, if_not_exists=True, **given)


def upgrade() -> None:
    create(
        "tokens",
        sa.Column("id", name(16), primary_key=True),
        sa.Column("name", name(), nullable=False),
        sa.Column("scope", name(16), nullable=False),
        sa.Column("binding", name(16)),
        sa.Column("host_name", name()),
        sa.Column("secret_hash", SHA256, nullable=False),
        sa.Column("previous_hash", SHA256),
        sa.Column("previous_until", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("revoked_at", MOMENT),
        sa.Column("last_used", MOMENT),
        sa.Column("previous_used", MOMENT),
    )
    create(
        "access_revision",
        sa.Column("id", ID, primary_key=True, autoincrement=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
    )
    connection = op.get_bind()
    if connection.scalar(sa.select(REVISION.c.number)) is None:
        connection.execute(sa.insert(REVISION).values(id=1, number=0))
