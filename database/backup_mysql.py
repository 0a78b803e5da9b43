"""Backups of MySQL and MariaDB: a dump by the engine's own client program, loaded statement by statement."""

from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import DBAPIError

from database.adoption_state import VERSION
from database.backup_client import Address, dump
from database.backup_dump import CREATED, EXPECTED, REVISION, opened, statements
from database.backup_file import BackupRefused
from database.dialect import Role
from database.dialect_mysql import MySql
from database.migrating import make_views

# An INSERT of one megabyte, on a server that is busy with the one before.
LOAD_TIMEOUT_S = 3_600


class MySqlBackups(MySql):
    """The backup is text, compressed if its name ends in .gz."""

    def save(self, target: Path) -> None:
        """Lets the client program write it, with the settings that have just proved good for a connection."""
        engine = self.engine(Role("backup", writes=False))
        try:
            with engine.connect() as connection:
                server = self.facts(connection).engine
                encrypted = bool(connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()[1])
                # The version last, as in a migration: whoever sees it sees a complete schema.
                names = sorted(inspect(connection).get_table_names(), key=lambda name: (name == VERSION, name))
        finally:
            engine.dispose()
        with opened(target, "wb") as file:
            dump(server, self._address(engine, encrypted=encrypted), names, file)

    def _address(self, engine: Engine, *, encrypted: bool) -> Address:
        url, mysql = engine.url, self._settings.mysql
        return Address(
            host=url.host or "",
            port=url.port or mysql.port,
            user=url.username or "",
            password=self._password().decode(),
            database=url.database or "",
            ssl_mode=mysql.ssl_mode,
            ssl_ca=mysql.ssl_ca,
            encrypted=encrypted,
        )

    def check(self, source: Path) -> str | None:
        """Reads every statement of the dump."""
        revision = None
        for statement in statements(source):
            if not EXPECTED.match(statement):
                raise BackupRefused(
                    f"{source.name} is not a backup made by `manage.py backup`: it holds {statement[:40]!r}"
                )
            if found := REVISION.match(statement):
                revision = found[1]
        return revision

    def alone(self) -> AbstractContextManager[None]:
        """Nobody is kept out: a server that runs here has made its tables, so that the database is not empty."""
        return nullcontext()

    def load(self, source: Path) -> None:
        """Runs every statement, then makes the views, which hold nothing and are in no dump.

        If one fails, the tables made so far are dropped again; the next try begins with views that are left.
        """
        engine = self.engine(Role("restore", read_timeout_s=LOAD_TIMEOUT_S))
        engine.echo = False  # these statements are full of the reports' values
        made: list[str] = []
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                for statement in statements(source):
                    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
                    made += CREATED.findall(statement)
                    if revision := REVISION.match(statement):  # the version is last
                        make_views(connection, revision[1])
        except BaseException:
            with suppress(DBAPIError):  # what went wrong first is the news
                _drop(engine, made)
            raise
        finally:
            engine.dispose()


def _drop(engine: Engine, names: list[str]) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS=0")
        for name in names:
            connection.exec_driver_sql(f"DROP TABLE {name}", execution_options={"no_parameters": True})
