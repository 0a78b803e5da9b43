"""Makes agents, what is noted of how each host reports; what a killed run made is left as it is."""

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


def upgrade() -> None:
    options = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
    op.create_table(
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
        if_not_exists=True,
        **{f"{engine}_{option}": value for engine in ("mysql", "mariadb") for option, value in options.items()},
    )
