"""The whole database in one file, and the way back: what holds on every engine."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine, inspect

from config.config import Settings
from database.backup_file import BackupRefused, refuse_existing, written
from database.backup_mysql import MySqlBackups
from database.backup_sqlite import SqliteBackups
from database.dialect import Role
from database.schema import revisions

__all__ = ["BackupRefused", "backup", "restore"]


class Backups(Protocol):
    """What an engine has to bring."""

    def engine(self, role: Role) -> Engine:
        """Makes an engine for a role; nothing connects yet."""

    def save(self, target: Path) -> None:
        """Writes the database, as it is at one moment, into an empty file."""

    def check(self, source: Path) -> str | None:
        """Reads a whole backup; gives the schema's revision in it, None if there is none, and refuses a damaged one."""

    def alone(self) -> AbstractContextManager[None]:
        """Keeps the server out as long as the block lasts, where that is possible."""

    def load(self, source: Path) -> None:
        """Fills the empty database from a checked backup, or leaves it empty."""


def backup(settings: Settings, target: Path) -> None:
    """Copies the database into a new file while the server runs; the file appears when it is whole and checked."""
    backups = _backups_for(settings)
    refuse_existing(target)
    with written(target) as unfinished:
        backups.save(unfinished)
        if backups.check(unfinished) is None:
            raise BackupRefused("the database is empty or an earlier server's: it has no table alembic_version")
        refuse_existing(target)


def restore(settings: Settings, source: Path) -> None:
    """Fills the empty database from a backup, checked before anything is changed."""
    backups = _backups_for(settings)
    with backups.alone():
        _refuse_filled(backups.engine(Role("restore", writes=False)))
        _refuse_unknown(source, backups.check(source))
        backups.load(source)


def _backups_for(settings: Settings) -> Backups:
    path = settings.sqlite_path
    return SqliteBackups(path, settings) if path else MySqlBackups(settings)


def _refuse_filled(engine: Engine) -> None:
    try:
        names = inspect(engine).get_table_names()
    finally:
        engine.dispose()
    if names:
        raise BackupRefused(f"the database holds tables already ({', '.join(names)}): restore into an empty one")


def _refuse_unknown(source: Path, revision: str | None) -> None:
    if revision is None:
        raise BackupRefused(f"{source.name} is no backup of this server: it has no table alembic_version")
    if revision not in revisions():
        raise BackupRefused(f"{source.name} is of a newer version of this program: install that one first")
