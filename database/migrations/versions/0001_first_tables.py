"""Makes hosts, reports, containers, rollup_pending and leases.

MySQL and MariaDB commit after each statement, so a migration that was killed runs again from its first: whatever is
there already is left as it is.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None

ID = sa.BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
DIGEST = sa.LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")


def text(length: int) -> TypeEngine[str]:
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sqlite.VARCHAR(length).with_variant(binary, "mysql", "mariadb")


def create(name: str, *parts: sa.Column[object] | sa.Constraint, rowid: bool = True) -> None:
    options = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
    given = {f"{engine}_{option}": value for engine in ("mysql", "mariadb") for option, value in options.items()}
    op.create_table(name, *parts, if_not_exists=True, sqlite_with_rowid=rowid, **given)


def index(name: str, table: str, columns: list[str], *, unique: bool = False) -> None:
    """MySQL has no CREATE INDEX IF NOT EXISTS."""
    if name not in {known["name"] for known in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, columns, unique=unique)


def upgrade() -> None:
    hosts()
    reports()
    containers()
    create(
        "rollup_pending",
        sa.Column("host_id", ID, primary_key=True, autoincrement=False),
        sa.Column("minute", sa.DateTime(), primary_key=True),
        rowid=False,
    )
    create(
        "leases",
        sa.Column("name", text(64), primary_key=True),
        sa.Column("owner", text(64)),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
    )


def hosts() -> None:
    create(
        "hosts",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("host_name", text(255), unique=True),
        sa.Column("cpu_percentage", sa.Double()),
        sa.Column("cpu_cores", sa.Integer()),
        sa.Column("cpu_threads", sa.Integer()),
        sa.Column("memory_usage", sa.Double()),
        sa.Column("memory_percentage", sa.Double()),
        sa.Column("get_datetime", sa.DateTime()),
        sa.Column("sampled_at", MOMENT),
        sa.Column("last_seen", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT),
        sa.Column("containers_count", sa.Integer()),
        sa.Column("containers_running", sa.Integer()),
        sa.Column("interval_s", sa.Double()),
        sa.Column("expected_by", MOMENT),
    )


def reports() -> None:
    create(
        "reports",
        sa.Column(
            "host_id", ID, sa.ForeignKey("hosts.id", name="fk_reports_host"), primary_key=True, autoincrement=False
        ),
        sa.Column("sampled_at", MOMENT, primary_key=True),
        sa.Column("report_key", DIGEST),
        sa.Column("content_hash", DIGEST),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("get_datetime", sa.DateTime()),
        sa.Column("cpu_percentage", sa.Double()),
        sa.Column("cpu_cores", sa.Integer()),
        sa.Column("cpu_threads", sa.Integer()),
        sa.Column("memory_usage", sa.Double()),
        sa.Column("memory_percentage", sa.Double()),
        sa.Column("containers_count", sa.Integer(), nullable=False),
        rowid=False,
    )
    index("uq_reports_report_key", "reports", ["report_key"], unique=True)


def containers() -> None:
    create(
        "containers",
        sa.Column("id", ID, primary_key=True, autoincrement=True),
        sa.Column("engine_type", text(255), nullable=False),
        sa.Column("cluster_name", text(255), nullable=False),
        sa.Column("node_name", text(255), nullable=False),
        sa.Column("container_name", text(255), nullable=False),
        sa.Column("status", text(255), nullable=False),
        sa.Column("cpu_percentage", sa.Double()),
        sa.Column("memory_usage", sa.Double()),
        sa.Column("memory_percentage", sa.Double()),
        sa.Column("get_datetime", sa.DateTime()),
        sa.Column("host_id", ID, sa.ForeignKey("hosts.id", name="fk_containers_host"), nullable=False),
        sa.Column("sampled_at", MOMENT, nullable=False),
    )
    index("ix_containers_host_sampled", "containers", ["host_id", "sampled_at"])
