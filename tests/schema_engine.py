"""An engine with the rights of a start, on any database: what the tests of schema, adoption and leases share."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, event, text

from config.config import ROOT, load
from database import schema
from database.dialect import Dialect, Role, dialect_for

SEOUL = ZoneInfo("Asia/Seoul")


class Crash(Exception):
    """Ends a start where a test wants it to end."""


class Target:
    """A database to make, migrate or adopt."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dialect: Dialect = dialect_for(load({"DATABASE_URL": url}, Path("no-such-config.ini")))
        self.engine: Engine = self.dialect.engine(Role("schema", size=2, read_timeout_s=600))

    def prepare(self, *, migrate: bool = True, **options: Any) -> None:  # noqa: ANN401 - options of prepare()
        schema.prepare(self.engine, self.dialect, migrate=migrate, zone=SEOUL, **options)

    def sql(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        with self.engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []


@contextmanager
def target(url: str) -> Iterator[Target]:
    one = Target(url)
    try:
        yield one
    finally:
        one.engine.dispose()


class Saboteur:
    """Lets so many changes pass, statements and commits, then raises Crash before the next; counts what passed."""

    def __init__(self, engine: Engine, passes: int) -> None:
        self.engine, self.left, self.active = engine, passes, True
        event.listen(engine, "before_cursor_execute", self._statement)
        event.listen(engine, "commit", self._strike)

    def _statement(self, *args: Any) -> None:  # noqa: ANN401 - SQLAlchemy's event
        if args[2].split()[0].upper() in {"CREATE", "ALTER", "DELETE", "DROP", "INSERT", "RENAME", "UPDATE"}:
            self._strike()

    def _strike(self, *_: object) -> None:
        self.left -= 1
        if self.active and self.left < 0:
            self.active = False  # what cleans up after the crash may work
            raise Crash

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self.engine, "before_cursor_execute", self._statement)
        event.remove(self.engine, "commit", self._strike)


# What a process of its own runs: sys.argv[1] is the URL of the database.
PREPARE = """
import sys
from tests.schema_engine import target
with target(sys.argv[1]) as one:
    one.prepare()
"""


def prepare_in_processes(url: str, count: int) -> list[tuple[int, str]]:
    """Starts so many processes at once that all prepare one database; gives their exit codes and error output."""
    command = [sys.executable, "-W", "error", "-c", PREPARE, url]
    started = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(count)]
    errors = [process.communicate(timeout=100)[1] for process in started]
    return [(process.returncode, error) for process, error in zip(started, errors, strict=True)]
