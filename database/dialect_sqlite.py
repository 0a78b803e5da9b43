"""The embedded SQLite file."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from config.config import Settings
from database.dialect import MOVE, PRESENCE, REPORT, STATE, STATEMENT_TIMEOUT_S, TARGET, Held, Role, ServerFacts
from database.rows import Finished, Prepared, Row, Value
from utils.utils import micros, time_text

# SQLite's WAL-reset race: a checkpoint beside a writer may lose pages. Fixed in these and all later versions.
_WAL_FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))


# Containers a statement; SQLite takes 32,766 values in one.
ROWS = 250


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """Tells whether a SQLite version is free of the WAL-reset race (3.7.0 to 3.51.2, with two fixed branches)."""
    return version >= _WAL_FIXED[0] or any(version[:2] == fixed[:2] and version >= fixed for fixed in _WAL_FIXED[1:])


def sqlite_module() -> Any:  # noqa: ANN401 - a module
    """The SQLite binding: PyPI's, which bundles a current library, where it has a wheel, else Python's own."""
    try:
        return import_module("pysqlite3.dbapi2")
    except ImportError:
        return import_module("sqlite3")


def make_private(path: Path) -> None:
    """Makes the file, if there is none, readable for its owner alone; SQLite gives its logs the same mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # O_EXCL: a file that is there is not even opened, for closing it would end the locks this process has on it.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


class Sqlite:
    """The embedded file: WAL, synchronous=FULL, one writing connection a process."""

    ROW = f"({','.join('?' * len(TARGET))})"
    CONTAINERS = f"INSERT INTO containers ({','.join(TARGET)}) VALUES "  # noqa: S608 - column names of our own
    MANY = CONTAINERS + ",".join([ROW] * ROWS)
    REPORTS = f"INSERT INTO reports ({','.join(REPORT)}) VALUES ({','.join('?' * len(REPORT))})"  # noqa: S608
    PENDING = "INSERT OR IGNORE INTO rollup_pending (host_id, minute) VALUES (?, ?)"
    UPDATE = (
        "UPDATE hosts SET "  # noqa: S608 - column names of our own
        + ", ".join(f"{name} = CASE WHEN ?2 THEN ?{MOVE.index(name) + 1} ELSE {name} END" for name in STATE)
        + ", "
        + ", ".join(f"{name} = ?{MOVE.index(name) + 1}" for name in PRESENCE)
        + " WHERE id = ?1"
    )
    HOSTS = "SELECT id, sampled_at, last_seen, interval_s FROM hosts WHERE deleted_at IS NULL AND id IN "

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._module = sqlite_module()

    def engine(self, role: Role) -> Engine:
        """Makes an engine whose transactions begin where SQLAlchemy begins them: the writer's take the lock at once."""
        engine = create_engine(
            URL.create("sqlite+pysqlite", database=str(self._path)),
            module=self._module,
            connect_args={"check_same_thread": False, "timeout": STATEMENT_TIMEOUT_S},
            pool_size=role.size,
            max_overflow=role.overflow,
            pool_timeout=self._settings.database.pool_timeout_s,
            echo=self._settings.database.echo,
            hide_parameters=True,
        )
        event.listen(engine, "do_connect", lambda *_: make_private(self._path))
        event.listen(engine, "connect", lambda raw, record: self._prepare_session(raw, record, role))
        if not role.writes:
            event.listen(engine, "before_cursor_execute", _restart_deadline)
        begin = "BEGIN IMMEDIATE" if role.writes else "BEGIN"
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
        return engine

    def _prepare_session(self, raw: Any, record: Any, role: Role) -> None:  # noqa: ANN401 - the driver's connection
        raw.isolation_level = None  # the driver must not begin transactions of its own
        raw.create_function("lower", 1, _lower, deterministic=True)
        if role.writes:
            raw.execute("PRAGMA journal_mode=WAL")
            raw.execute("PRAGMA synchronous=FULL")
            raw.execute("PRAGMA foreign_keys=ON")
            return
        raw.execute("PRAGMA query_only=ON")
        raw.execute("PRAGMA wal_autocheckpoint=0")
        deadline = record.info["deadline"] = _Deadline()
        raw.set_progress_handler(deadline.passed, 100_000)

    def now(self, _connection: Connection) -> int:
        """The machine's clock."""
        return time.time_ns() // 1_000

    def facts(self, connection: Connection) -> ServerFacts:
        """The library's version and whether it has the WAL-reset race."""
        version: str = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
        safe = wal_is_safe(tuple(int(part) for part in version.split(".")))
        warning = None if safe else "SQLite library with the WAL-reset race: 3.51.3 or newer is safe"
        return ServerFacts("SQLite", version, writable=True, durable=True, max_packet=1 << 30, warning=warning)

    def finish(self, rows: list[Row]) -> list[Row]:
        """The values themselves: the driver binds them in C."""
        return rows

    def weigh(self, finished: Finished) -> int:
        """A close guess at the memory of the rows: their five names, and eight bytes for what else there is."""
        columns = list(zip(*finished, strict=True))
        return sum(len("".join(names)) for names in columns[:5]) + 8 * 4 * len(finished)

    def lock_hosts(self, connection: Connection, ids: Sequence[int], *, skip_locked: bool) -> dict[int, Held]:  # noqa: ARG002 - the writer's transactions hold the whole file
        """Reads hosts: the transaction holds the whole file already."""
        rows = connection.exec_driver_sql(f"{self.HOSTS}({','.join(map(str, ids))})")
        return {id_: Held(_micros(sampled_at), _micros(last_seen), known) for id_, sampled_at, last_seen, known in rows}

    def insert_reports(self, connection: Connection, batch: Sequence[Prepared]) -> None:
        """One `executemany`."""
        connection.exec_driver_sql(self.REPORTS, [_report(report) for report in batch])

    def insert_containers(self, connection: Connection, batch: Sequence[Prepared], _packet: int) -> None:
        """Many rows a statement: the driver hands the interpreter over once a statement, not once a row."""
        tails = [(report.containers, (report.host_id, time_text(report.sampled_at))) for report in batch]
        rows = [(*row, *tail) for containers, tail in tails for row in containers]
        whole = len(rows) // ROWS * ROWS
        for first in range(0, whole, ROWS):
            connection.exec_driver_sql(self.MANY, tuple(chain.from_iterable(rows[first : first + ROWS])))
        if rest := rows[whole:]:
            connection.exec_driver_sql(self.CONTAINERS + self.ROW, rest)

    def insert_pending(self, connection: Connection, minutes: Sequence[tuple[int, str]]) -> None:
        """One `executemany`."""
        connection.exec_driver_sql(self.PENDING, list(minutes))

    def update_hosts(self, connection: Connection, moves: Sequence[Row]) -> None:
        """One `executemany` by primary key."""
        connection.exec_driver_sql(self.UPDATE, list(moves))


def _report(report: Prepared) -> tuple[Value | bytes, ...]:
    moments = (time_text(report.sampled_at), report.report_key, report.content_hash, time_text(report.received_at))
    return (report.host_id, *moments, *report.host, report.containers_count)


def _micros(text: str | None) -> int | None:
    return micros(datetime.fromisoformat(text)) if text else None


def _lower(value: object) -> object:
    """SQLite's own lower() knows ASCII only."""
    return value.lower() if isinstance(value, str) else value


class _Deadline:
    """Ends a read that takes too long: SQLite has no such limit of its own, but asks between its steps."""

    def __init__(self) -> None:
        self.at = 0.0

    def passed(self) -> int:
        """Non-zero interrupts the statement."""
        return int(time.monotonic() > self.at)


def _restart_deadline(connection: Connection, *_: object) -> None:
    connection.info["deadline"].at = time.monotonic() + STATEMENT_TIMEOUT_S
