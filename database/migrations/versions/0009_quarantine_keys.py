"""Adds the key that a refused report was sent with; what a killed run added already is left as it is."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, sqlite

revision = "0009"
down_revision = "0008"

KEY = sqlite.VARCHAR(255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)


def upgrade() -> None:
    if "idempotency_key" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("quarantine")}:
        op.add_column("quarantine", sa.Column("idempotency_key", KEY))
