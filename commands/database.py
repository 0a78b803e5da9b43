"""Commands about the whole database: its schema, backup and restore."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from commands.audits import audited
from commands.common import configured, connected, one_sentence
from config.config import zone_of
from database import backup as backups
from database import schema
from database.database import SCHEMA_TIMEOUT_S
from database.dialect import dialect_for


@click.group("db")
def db_commands() -> None:
    """Look after the database."""


@db_commands.command("upgrade")
def db_upgrade() -> None:
    """Bring the tables up to this version; adopts the database of the earlier server, however large."""
    settings = configured()
    dialect = dialect_for(settings)
    with connected(settings, read_timeout_s=SCHEMA_TIMEOUT_S) as engine:
        schema.prepare(engine, dialect, migrate=True, zone=zone_of(settings), max_rows=None, progress=_progress)
    click.echo("the schema is up to date")


def _progress(done: int, of: int) -> None:
    click.echo(f"\r{done} of {of} rows", nl=done >= of, err=True)


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Copy the whole database into a new FILE while the server runs; on MySQL a name in .gz compresses it."""
    settings = configured()
    with one_sentence(), _tidy_end():
        backups.backup(settings, file)
    click.echo(f"{file} is a backup of the database")


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
def restore(file: Path) -> None:
    """Fill the empty database from a backup FILE while the server is stopped."""
    settings = configured()
    with audited("database_restored", file=file), one_sentence(), _tidy_end():
        backups.restore(settings, file)
    click.echo(f"{file} is restored; the next start of the server brings its tables up to date")


@contextmanager
def _tidy_end() -> Iterator[None]:
    """Lets SIGTERM unwind as Ctrl-C does, so that nothing unfinished stays behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
