"""The embedded SQLite file."""

import os
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from config.config import ConfigError, Settings
from database.dialect import STATEMENT_TIMEOUT_S, Role, ServerFacts, Used
from database.dialect_sqlite_json import Statements

# The first one with the operator `->>`, by which a batch's rows are taken apart.
OLDEST = (3, 38)
# SQLite's WAL-reset race: a checkpoint beside a writer may lose pages. Fixed in these and all later versions.
_WAL_FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))


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


class Sqlite(Statements):
    """The embedded file: WAL, synchronous=FULL, one writing connection a process."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self._module = sqlite_module()
        if self._module.sqlite_version_info < OLDEST:
            found, oldest = self._module.sqlite_version, ".".join(map(str, OLDEST))
            raise ConfigError(f"this Python's SQLite is {found}: {oldest} or newer is needed, or MySQL.")
        super().__init__(self._module.sqlite_version_info)

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

    def used(self, connection: Connection, *, fresh: bool) -> Used:  # noqa: ARG002 - it is never out of date
        """The file's pages but for its free ones; which table has which only a build with dbstat could tell."""
        pages, free, size = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("page_count", "freelist_count", "page_size")
        )
        return Used((pages - free) * size, {})

    def facts(self, connection: Connection) -> ServerFacts:
        """The library's version and whether it has the WAL-reset race."""
        version: str = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
        safe = wal_is_safe(tuple(int(part) for part in version.split(".")))
        warning = None if safe else "SQLite library with the WAL-reset race: 3.51.3 or newer is safe"
        return ServerFacts("SQLite", version, writable=True, durable=True, max_packet=1 << 30, warning=warning)


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
