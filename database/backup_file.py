"""The file of a backup: for its owner alone, under its name only when it is whole."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BackupRefused(Exception):
    """Why there is no backup, or why it is not restored, in one sentence for the operator."""


def refuse_existing(target: Path) -> None:
    """Nothing is ever overwritten, not even a link to nowhere."""
    if os.path.lexists(target):
        raise BackupRefused(f"{target} exists already: give another name")


@contextmanager
def written(target: Path) -> Iterator[Path]:
    """Gives an empty file that gets its name, in the same folder, when the block has ended well; else it vanishes.

    It is made in a folder of its own, for SQLite puts its journals beside it.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target.parent) as folder:
            file = Path(folder, target.name)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            yield file
            _sync(file, os.O_RDWR)
            file.replace(target)
        if os.name == "posix":  # elsewhere a folder cannot be opened
            _sync(target.parent, os.O_RDONLY)
    except OSError as error:
        raise BackupRefused(f"{target} cannot be written: {error.strerror}") from None


def _sync(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
