"""Backups of the embedded file: SQLite's online copy, and the plain file back in its place."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from database.backup_file import BackupRefused, written
from database.database import StartRefused, claim
from database.dialect_sqlite import Sqlite

STEP_PAGES = 1_000
# What belongs to a database file and would change any other that takes its name.
COMPANIONS = ("-wal", "-shm", "-journal")


class SqliteBackups(Sqlite):
    """The backup is an SQLite file itself, without a write-ahead log, so that it can be read where nobody may write."""

    def save(self, target: Path) -> None:
        """Copies one snapshot, however much is written meanwhile."""
        if target.suffix == ".gz":
            raise BackupRefused("a backup of SQLite is not compressed: leave .gz out of its name")
        try:
            with closing(self._open(self._path, "mode=rw")) as source, closing(self._open(target, "mode=rw")) as copy:
                # In a transaction of its own: else the copy would begin again whenever the server has committed.
                source.execute("BEGIN")
                source.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
                source.backup(copy, pages=STEP_PAGES, progress=_between_steps)
                copy.execute("PRAGMA journal_mode=DELETE")
        except self._module.Error as error:
            raise BackupRefused(f"{self._path} cannot be copied: {error}") from None

    def check(self, source: Path) -> str | None:
        """Looks at every page of the file."""
        if Path(f"{source}-wal").exists():
            raise BackupRefused(
                f"{source.name} is in use, or a copy of a file in use: beside it lies {source.name}-wal"
            )
        try:
            with closing(self._open(source, "mode=ro&immutable=1")) as file:
                found: str = file.execute("PRAGMA integrity_check(1)").fetchone()[0]
                if found != "ok":
                    raise BackupRefused(f"{source.name} is damaged: {' '.join(found.split())}")
                return _revision(file)
        except self._module.Error as error:
            raise BackupRefused(f"{source.name} cannot be read: {error}") from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the lock that every server takes."""
        try:
            lock = claim(self._path)
        except StartRefused as reason:
            raise BackupRefused(str(reason)) from None
        try:
            yield
        finally:
            lock.release()

    def load(self, source: Path) -> None:
        """Puts a copy of the file in the place of the empty one."""
        with written(self._path) as file:
            shutil.copyfile(source, file)
            for end in COMPANIONS:
                Path(f"{self._path}{end}").unlink(missing_ok=True)

    def _open(self, path: Path, how: str) -> Any:  # noqa: ANN401 - the driver's connection
        return self._module.connect(f"{path.resolve().as_uri()}?{how}", uri=True, isolation_level=None)


def _between_steps(_status: int, _remaining: int, _pages: int) -> None:
    """Lets Python look at signals: a copy of many gigabytes can be interrupted."""


def _revision(file: Any) -> str | None:  # noqa: ANN401 - the driver's connection
    if not file.execute("PRAGMA table_info(alembic_version)").fetchall():
        return None
    row = file.execute("SELECT version_num FROM alembic_version").fetchone()
    return row and str(row[0])
