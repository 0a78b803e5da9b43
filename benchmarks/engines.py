"""The databases that are measured: SQLite, and the servers of the tests with their default durability.

Those have MySQL's default buffer pool of 128 MiB, and no performance schema (MySQL's default has it).
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks import procs
from database.dialect_sqlite import sqlite_module
from tests.servers import MariaDb, MySql, Server, available

ENGINES: dict[str, type[Server] | None] = {"sqlite": None, "mariadb": MariaDb, "mysql": MySql}


def chosen() -> list[str]:
    """The engines that run here, or those of them that BENCH_ENGINES=sqlite,mysql names."""
    wanted = os.environ.get("BENCH_ENGINES", ",".join(ENGINES)).split(",")
    return [name for name, reason in available().items() if name in wanted and not reason]


class Store:
    """A database server, or a folder of SQLite files."""

    def __init__(self, name: str, folder: Path, server: Server | None) -> None:
        self.name = name
        self._folder = folder
        self._server = server

    @property
    def title(self) -> str:
        """For people, with the version."""
        return self._server.title_and_version if self._server else _sqlite_title()

    @property
    def processes(self) -> list[psutil.Process]:
        """The processes whose CPU time is the database's own; SQLite has none."""
        server = self._server
        return procs.family(server.pid) if server and server.controllable else []

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database that goes afterwards: the next one shall not carry its pages."""
        if self._server is None:
            path = self._folder / f"{secrets.token_hex(8)}.db"
            try:
                yield f"sqlite:///{path}"
            finally:
                for file in self._folder.glob(f"{path.name}*"):
                    file.unlink()
            return
        with _database(self._server) as url:
            yield url


@contextmanager
def _database(server: Server) -> Iterator[str]:
    """With a user of its own: the straightforward server cannot log in with the password of the tests' user."""
    name, password = server.create_database(), secrets.token_hex(16)
    server.execute(f"CREATE USER {name}@'%%' {server.identified} %s", password)
    server.execute(f"GRANT ALL PRIVILEGES ON {name}.* TO {name}@'%'")
    try:
        yield f"mysql+pymysql://{name}:{password}@{server.host}:{server.port}/{name}"
    finally:
        server.drop_database(name)
        server.execute(f"DROP USER {name}@'%'")


@contextmanager
def started(name: str, folder: Path, *options: str) -> Iterator[Store]:
    """An engine, its server running if it has one, with options of its own command line."""
    server_class = ENGINES[name]
    if server_class is None:
        yield Store(name, folder, None)
        return
    with server_class(*options) as server:
        yield Store(name, folder, server)


def _sqlite_title() -> str:
    return f"SQLite {sqlite_module().sqlite_version}"
