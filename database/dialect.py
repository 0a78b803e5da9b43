"""What an engine has to bring, and the choice of one.

All that differs per engine lives here and in the modules `dialect_*` beside this one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Engine, Insert, Table, insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from config.config import Settings
from database.rows import CONTAINER_COLUMNS, CONTAINER_DETAILS, HOST_VALUES, Finisher, Prepared, Row

STATEMENT_TIMEOUT_S = 5
LOCK_WAIT_S = 3
CONNECT_TIMEOUT_S = 5
# MySQL's own floor for the server; half of a packet leaves room for the statement around the rows.
SMALLEST_PACKET = 1 << 20


@dataclass(frozen=True, slots=True)
class Role:
    """Who uses an engine: how many connections, how long an answer of the server may take, and whether it writes."""

    name: str
    size: int = 1
    overflow: int = 0
    read_timeout_s: int = 10
    writes: bool = True


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself. `max_packet` in bytes; `warning` is for the operator."""

    engine: str
    version: str
    writable: bool
    durable: bool
    max_packet: int
    warning: str | None = None


class Held(NamedTuple):
    """A locked host: what its move is decided by. Microseconds since 1970, UTC; None: no report has reached it yet."""

    sampled_at: int | None
    last_seen: int | None
    interval_s: float | None
    host_name: str


class Used(NamedTuple):
    """Bytes of pages that hold something, in all and of each table with its indexes; no tables: nobody can tell."""

    bytes: int
    tables: dict[str, int]


class Dialect(Finisher, Protocol):
    """What an engine has to bring: connections, facts, and the five statements of a batch."""

    def engine(self, role: Role) -> Engine:
        """Makes an engine for a role; nothing connects yet."""

    def now(self, connection: Connection) -> int:
        """The database's clock, microseconds since 1970, UTC."""

    def facts(self, connection: Connection) -> ServerFacts:
        """What the server says of itself."""

    def used(self, connection: Connection, *, fresh: bool) -> Used:
        """How large the database is; pages that were freed do not count.

        `fresh` has the engine look anew where it would tell what it remembers, which a server that only reads refuses
        and which ends the transaction. Without it what was written or removed lately may be missing.
        """

    def lock_hosts(self, connection: Connection, ids: Sequence[int], *, skip_locked: bool) -> dict[int, Held]:
        """Locks those of the ids that are hosts, in their order: the only lock order there is.

        With `skip_locked` those that another transaction holds are left out instead of waited for.
        """

    def insert_reports(self, connection: Connection, batch: Sequence[Prepared]) -> None:
        """Inserts the batch's reports."""

    def insert_containers(self, connection: Connection, batch: Sequence[Prepared], packet: int) -> None:
        """Inserts the containers of the batch's reports, in packets of at most so many bytes; detailed ones apart."""

    def insert_pending(self, connection: Connection, minutes: Sequence[tuple[int, str]]) -> None:
        """Marks minutes of hosts as out of date; those that are marked already stay so."""

    def update_hosts(self, connection: Connection, moves: Sequence[Row]) -> None:
        """Sets the hosts' rows: values in the order of `MOVE`; where `moves` is 0 only presence changes."""


# The columns of a container, plain or detailed, and of a report in the order of their rows, and what of a host's row a
# report sets.
TARGET = (*CONTAINER_COLUMNS, "host_id", "sampled_at")
DETAILED = (*CONTAINER_COLUMNS, *CONTAINER_DETAILS, "host_id", "sampled_at")
REPORT = ("host_id", "sampled_at", "report_key", "content_hash", "received_at", *HOST_VALUES, "containers_count")
STATE = (*HOST_VALUES, "sampled_at", "containers_count", "containers_running", "interval_s")
PRESENCE = ("last_seen", "expected_by")
MOVE = ("id", "moves", *STATE, *PRESENCE)


class gathered(FunctionElement[str]):  # noqa: N801 - it reads as the functions beside it
    """The values of a group as one JSON array."""

    inherit_cache = True


@compiles(gathered)
def _gathered(element: gathered, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's own
    return f"JSON_ARRAYAGG({compiler.process(element.clauses, **options)})"


@compiles(gathered, "sqlite")
def _gathered_sqlite(element: gathered, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the same
    return f"json_group_array({compiler.process(element.clauses, **options)})"


def insert_ignore(table: Table) -> Insert:
    """An INSERT that leaves rows alone whose key is there already, as another instance may have just made them."""
    made = insert(table).prefix_with("OR IGNORE", dialect="sqlite")
    return made.prefix_with("IGNORE", dialect="mysql").prefix_with("IGNORE", dialect="mariadb")


def skips_groups(connection: Connection) -> bool:
    """Whether MAX of a key's last column, grouped by those before it, takes a look or two a group and reads no more.

    SQLite reads all of a group then, but not for the MAX of one that is named.
    """
    return connection.dialect.name != "sqlite"


def dialect_for(settings: Settings) -> Dialect:
    """Chooses by the configuration."""
    from database.dialect_mysql import MySql  # noqa: PLC0415 - both modules build on the contract above
    from database.dialect_sqlite import Sqlite  # noqa: PLC0415 - the same

    path = settings.sqlite_path
    return Sqlite(path, settings) if path else MySql(settings)
