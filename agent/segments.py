"""The files of the spool: numbered segments to which lines are appended, and the lock that keeps a second agent out."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class SpoolError(Exception):
    """A spool that cannot be used; its text is one line for the operator."""


class Segments:
    """Knows how large each file is; what to keep and to remove is the spool's business."""

    def __init__(self, folder: Path) -> None:
        """Raises SpoolError if the folder is none, or another agent's."""
        self._folder = folder
        self._guard = _only_one(folder)
        self.sizes: dict[int, int] = {}

    def close(self) -> None:
        """Lets another agent use the folder."""
        if self._guard:
            self._guard.close()

    def renew(self) -> None:
        """Makes the folder anew if somebody deleted it; not what it is in, which may be a disk's. Raises OSError."""
        if not self._folder.is_dir():
            self._folder.mkdir()
            self.close()
            self._guard = _only_one(self._folder)

    @property
    def total_bytes(self) -> int:
        return sum(self.sizes.values())

    def found(self) -> list[int]:
        """Those that an earlier process left, the oldest first; a folder of such a name is none."""
        return sorted(int(path.stem) for path in self._folder.glob("[0-9]" * 12 + ".log") if path.is_file())

    def content(self, segment: int) -> bytes:
        """All of a segment that was found. Raises SpoolError."""
        path = self._path(segment)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SpoolError(f"spool {path}: {error.strerror}") from error
        self.sizes[segment] = len(content)
        return content

    def read(self, segment: int, offset: int, length: int) -> bytes:
        """A part of one. Raises OSError."""
        with self._path(segment).open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def write(self, segment: int, line: bytes) -> int:
        """Appends a line, and tells where it begins: it is on disk then. Raises OSError."""
        new = segment not in self.sizes
        offset = self._append(segment, line, durable=True)
        if new:
            _sync_folder(self._folder)
        return offset

    def note(self, segment: int, lines: bytes) -> None:
        """Appends lines that may be lost. Raises OSError."""
        self._append(segment, lines, durable=False)

    def remove(self, segment: int) -> None:
        self.sizes.pop(segment, None)
        with contextlib.suppress(OSError):
            self._path(segment).unlink()

    def is_gone(self, segment: int) -> bool:
        """Whether the file is away for good: where the folder is away too, both may come back."""
        return self._folder.is_dir() and not self._path(segment).exists()

    def _append(self, segment: int, lines: bytes, *, durable: bool) -> int:
        with self._path(segment).open("ab", buffering=0) as file:
            offset = file.tell() + 1
            # Behind a line that was torn the new one has to begin on its own.
            written = file.write(b"\n" + lines)
            self.sizes[segment] = file.tell()
            if written <= len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if durable:
                os.fsync(file.fileno())
        return offset

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:012}.log"


def _sync_folder(folder: Path) -> None:
    """A new file's name is on disk too; Windows cannot open a folder, and need not."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _only_one(folder: Path) -> IO[str] | None:
    """Makes the folder and keeps a second agent out of it. A folder that cannot be written is no reason to stop."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        guard = (folder / "lock").open("a", encoding="ascii")
    except FileExistsError as error:
        raise SpoolError(f"spool {folder}: should be a folder") from error
    except OSError:
        return None
    try:
        _lock(guard)
    except BlockingIOError as error:
        guard.close()
        raise SpoolError(f"spool {folder}: another agent uses it; give this one another --spool") from error
    return guard


def _lock(guard: IO[str]) -> None:
    """Raises BlockingIOError if another process has it; where there are no such locks nobody is kept out."""
    try:
        import fcntl  # noqa: PLC0415 - Windows has none of it

        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except (ImportError, OSError):  # some network file systems cannot
        pass
