"""The tables. Text compares byte by byte, times of our own are UTC with microseconds, metrics are DOUBLE."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.types import TypeEngine

metadata = MetaData()

# SQLite hands out row ids only to a column declared INTEGER.
Id = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
Moment = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
Digest = LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
Sha256 = LargeBinary(32).with_variant(mysql.BINARY(32), "mysql", "mariadb")


def text_of(length: int) -> TypeEngine[str]:
    """Text under a binary collation: `web`/`Web`, `cafe`/`café` and two emoji are different names on every engine."""
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sqlite.VARCHAR(length).with_variant(binary, "mysql", "mariadb")


Name = text_of(255)

INNODB: dict[str, Any] = {
    f"{engine}_{option}": value
    for engine in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def _host_details() -> list[Column[Any]]:
    """What only some agents tell of a host. Disks in GiB, traffic in bytes since the host's start."""
    return [
        Column("os", Name),
        Column("kernel", Name),
        Column("uptime_s", BigInteger),
        Column("load1", Double),
        Column("disk_usage", Double),
        Column("disk_total", Double),
        Column("network_received", BigInteger),
        Column("network_sent", BigInteger),
    ]


# One row per host, its latest state. A deleted host keeps its id and gives up its name (NULL); one whose
# rows a merge is moving is deleted too, but bears a name of the merge's own.
hosts = Table(
    "hosts",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("host_name", Name, unique=True),
    Column("cpu_percentage", Double),
    Column("cpu_cores", Integer),
    Column("cpu_threads", Integer),
    Column("memory_usage", Double),
    Column("memory_percentage", Double),
    Column("get_datetime", DateTime),
    Column("sampled_at", Moment),
    Column("last_seen", Moment),
    Column("created_at", Moment, nullable=False),
    Column("deleted_at", Moment),
    Column("containers_count", Integer),
    Column("containers_running", Integer),
    Column("interval_s", Double),
    Column("expected_by", Moment),
    *_host_details(),
    # Of the life ledger: when a host that counts as silent was last seen, and the newest report whose events are known.
    Column("dark_since", Moment),
    Column("ledger_at", Moment),
    **INNODB,
)

# One row per accepted report: the host's history, clustered by its natural key.
reports = Table(
    "reports",
    metadata,
    Column("host_id", Id, ForeignKey("hosts.id", name="fk_reports_host"), primary_key=True, autoincrement=False),
    Column("sampled_at", Moment, primary_key=True),
    Column("report_key", Digest),
    Column("content_hash", Digest),
    Column("received_at", Moment, nullable=False),
    Column("get_datetime", DateTime),
    Column("cpu_percentage", Double),
    Column("cpu_cores", Integer),
    Column("cpu_threads", Integer),
    Column("memory_usage", Double),
    Column("memory_percentage", Double),
    Column("containers_count", Integer, nullable=False),
    *_host_details(),
    Index("uq_reports_report_key", "report_key", unique=True),
    sqlite_with_rowid=False,
    **INNODB,
)

# One row per container per report, never updated: the history, and the present where sampled_at is the host's.
containers = Table(
    "containers",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("engine_type", Name, nullable=False),
    Column("cluster_name", Name, nullable=False),
    Column("node_name", Name, nullable=False),
    Column("container_name", Name, nullable=False),
    Column("status", Name, nullable=False),
    Column("cpu_percentage", Double),
    Column("memory_usage", Double),
    Column("memory_percentage", Double),
    Column("get_datetime", DateTime),
    Column("host_id", Id, ForeignKey("hosts.id", name="fk_containers_host"), nullable=False),
    Column("sampled_at", Moment, nullable=False),
    # What only some agents tell.
    Column("container_id", Name),
    Column("image", Name),
    Column("restart_count", Integer),
    Column("exit_code", BigInteger),
    Column("oom_killed", Boolean),
    Column("health", Name),
    Column("started_at", Moment),
    Index("ix_containers_host_sampled", "host_id", "sampled_at"),
    **INNODB,
)

# The minutes whose aggregates are out of date, written in the same transaction as the rows that made them so.
rollup_pending = Table(
    "rollup_pending",
    metadata,
    Column("host_id", Id, primary_key=True, autoincrement=False),
    Column("minute", DateTime, primary_key=True),
    sqlite_with_rowid=False,
    **INNODB,
)

# Words by which operators group hosts.
host_tags = Table(
    "host_tags",
    metadata,
    Column("host_id", Id, ForeignKey("hosts.id", name="fk_host_tags_host"), primary_key=True, autoincrement=False),
    Column("tag", text_of(64), primary_key=True),
    Index("ix_host_tags_tag", "tag", "host_id"),
    sqlite_with_rowid=False,
    **INNODB,
)

# What agents and programs show instead of a password: of each token its id and the hashes of its secrets. The previous
# secret is good until a moment after it was replaced, so that an agent can be given the new one without a gap.
tokens = Table(
    "tokens",
    metadata,
    Column("id", text_of(16), primary_key=True),
    Column("name", Name, nullable=False),
    Column("scope", text_of(16), nullable=False),
    # Of the scope `ingest`: whether host_name is a host's name, a pattern, or the first host's that used the token.
    Column("binding", text_of(16)),
    Column("host_name", Name),
    Column("secret_hash", Sha256, nullable=False),
    Column("previous_hash", Sha256),
    Column("previous_until", Moment),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("last_used", Moment),
    Column("previous_used", Moment),
    **INNODB,
)

# How each host's agent reports, as the servers noted it about once a minute.
agents = Table(
    "agents",
    metadata,
    Column("host_id", Id, primary_key=True, autoincrement=False),
    Column("address", text_of(64), nullable=False),
    Column("agent", Name),
    Column("token_id", text_of(16)),
    Column("first_seen", Moment, nullable=False),
    Column("last_seen", Moment, nullable=False),
    Column("reports", BigInteger, nullable=False),
    Column("repeats", BigInteger, nullable=False),
    Column("gaps", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("last_refusal", text_of(32)),
    Column("refused_at", Moment),
    # Of the newest report: what the agent's clock is ahead by, and how its zone differs from UTC.
    Column("skew_s", Double),
    Column("utc_offset_min", Integer),
    **INNODB,
)

# The last reports that were refused for what they are, with why, for an admin to look at and to replay.
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("received_at", Moment, nullable=False),
    Column("path", text_of(64), nullable=False),
    Column("host_name", Name),
    Column("address", text_of(64), nullable=False),
    Column("token_id", text_of(16)),
    Column("code", text_of(32), nullable=False),
    Column("message", text_of(512), nullable=False),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary(65_535)),  # as sent, inflated; NULL: it was larger
    Column("replayed_at", Moment),
    Column("idempotency_key", Name),
    **INNODB,
)

# People who sign in with a password. Nobody is removed, so that a name never comes to mean somebody else.
users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("name", Name, nullable=False, unique=True),
    Column("password_hash", Name, nullable=False),
    Column("role", text_of(16), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("disabled_at", Moment),
    **INNODB,
)

# Where people are signed in: of each the hash of the secret that its cookie holds, and of the one before, which is good
# for some seconds more: two pages of one browser may ask at the same time.
sessions = Table(
    "sessions",
    metadata,
    Column("id", text_of(32), primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", name="fk_sessions_user"), nullable=False),
    Column("refresh_hash", Sha256, nullable=False),
    Column("previous_hash", Sha256),
    Column("previous_until", Moment),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment),
    Index("ix_sessions_user", "user_id"),
    **INNODB,
)

# One row: a number that grows with every change of tokens and people, by which processes know that theirs are old.
access_revision = Table(
    "access_revision",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    **INNODB,
)

# Who may do a job that must run once: holder and fence number, until a moment of the database's own clock.
leases = Table(
    "leases",
    metadata,
    Column("name", text_of(64), primary_key=True),
    Column("owner", text_of(64)),
    Column("fence", BigInteger, nullable=False),
    Column("expires_at", Moment, nullable=False),
    **INNODB,
)
