"""What is not delivered yet, on disk: a journal of reports and of what became of them.

A folder of segments, to which lines are appended: `R` a report, `A` a report that is settled; each with a checksum. A
segment goes when all its reports are settled, or, the oldest first, when the folder is full. A report is on disk when
`append` returns. That a settled one is noted may be lost: it is sent again then, and its key makes that harmless.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import uuid
from typing import IO, TYPE_CHECKING, NamedTuple

from agent import records
from agent.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.clock import Clock, Stamp
    from agent.notices import Notices

logger = logging.getLogger(__name__)

# A full folder loses its oldest segment: so much of it at a time.
SEGMENTS = 64
# What is kept of reports that cannot be written.
MEMORY_BYTES = 8 << 20
MAX_REJECTED = 100


class SpoolError(Exception):
    """A spool that cannot be used; its text is one line for the operator."""


class _Place(NamedTuple):
    segment: int
    offset: int
    length: int


class Spool:
    """Used by two threads: one appends, one sends."""

    def __init__(self, folder: Path, clock: Clock, notices: Notices, *, max_bytes: float, max_age_s: float) -> None:
        self._folder, self._clock, self._notices = folder, clock, notices
        self._max_bytes, self._max_age_s = max_bytes, max_age_s
        self._lock = threading.RLock()
        self._places: dict[int, _Place] = {}
        self._memory: dict[int, Record] = {}
        self._sizes: dict[int, int] = {}
        self._next = self._current = 0
        self.dropped = 0
        self._guard = _only_one(folder)
        self._read_all()

    def __len__(self) -> int:
        """How many reports are not delivered yet."""
        return len(self._places) + len(self._memory)

    def close(self) -> None:
        """Lets another agent use the folder."""
        if self._guard:
            self._guard.close()

    def append(self, report: str, stamp: Stamp) -> None:
        """Keeps a report; if it cannot be written, in memory, which is told."""
        with self._lock:
            record = Record(self._next, uuid.uuid4().hex, stamp, report)
            self._next += 1
            try:
                self._write(record)
            except OSError as error:
                self._current += 1  # what was written of it, if anything, ends its segment
                self._remember(record)
                self._notices.tell("spool", f"spool {self._folder}: {error.strerror}; reports are kept in memory only")
            else:
                self._notices.over("spool", f"spool {self._folder}: can be written again")
            self._expire()

    def newest(self) -> Record | None:
        with self._lock:
            return self._get(max(next(reversed(kept), -1) for kept in (self._places, self._memory)))

    def oldest(self, most: int, most_bytes: int) -> list[Record]:
        """The oldest ones, of so many bytes in all; one at least, if there is any."""
        found: list[Record] = []
        size = 0
        with self._lock:
            self._expire()
            for number in sorted([*self._places, *self._memory])[:most]:
                record = self._get(number)
                if record is None:
                    continue
                size += len(record.report)
                if found and size > most_bytes:
                    break
                found.append(record)
        return found

    def settle(self, numbers: Sequence[int]) -> None:
        """These are delivered, or never will be."""
        with self._lock:
            for number in numbers:
                self._memory.pop(number, None)
                place = self._places.pop(number, None)
                if place is not None:
                    self._note(place.segment, number)

    def reject(self, record: Record, reason: str) -> None:
        """The server will never take it: keeps the last hundred of these for a person to look at."""
        folder = self._folder / "rejected"
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
            (folder / f"{record.number:012}.json").write_text(f"{record.report}\n{reason}\n", encoding="utf-8")
            for old in sorted(folder.glob("*.json"))[:-MAX_REJECTED]:
                old.unlink()
        self.settle([record.number])

    def _get(self, number: int) -> Record | None:
        """Reads one back; what is damaged is given up, a folder that cannot be read may come back."""
        if number in self._memory:
            return self._memory[number]
        place = self._places.get(number)
        if place is None:
            return None
        try:
            with self._path(place.segment).open("rb") as file:
                file.seek(place.offset)
                record = records.record(records.checked(file.read(place.length)))
        except OSError:
            return None
        except ValueError:
            self._drop([number], "damaged")
            return None
        return record

    def _write(self, record: Record) -> None:
        line = record.line
        size = self._sizes.get(self._current, 0)
        if size and size + len(line) > self._max_bytes / SEGMENTS:
            self._current, size = self._current + 1, 0
            self._tidy(self._current - 1)
        self._make_room(len(line))
        with self._path(self._current).open("ab", buffering=0) as file:
            offset = file.tell()
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        if not size:
            _sync_folder(self._folder)
        self._places[record.number] = _Place(self._current, offset, len(line))
        self._sizes[self._current] = offset + len(line)

    def _make_room(self, needed: int) -> None:
        while len(self._sizes) > 1 and sum(self._sizes.values()) + needed > self._max_bytes:
            oldest = min(self._sizes)
            self._drop([number for number, place in self._places.items() if place.segment == oldest], "spool is full")
            self._remove(oldest)

    def _remember(self, record: Record) -> None:
        self._memory[record.number] = record
        while sum(len(one.report) for one in self._memory.values()) > MEMORY_BYTES:
            self._drop([next(iter(self._memory))], "spool cannot be written, and memory is full")

    def _expire(self) -> None:
        """Drops what is too old to be of use: the server refuses it after a week."""
        while len(self):
            number = min(next(iter(kept), self._next) for kept in (self._places, self._memory))
            record = self._get(number)
            if record and self._clock.age_s(record.stamp) >= self._max_age_s:
                self._drop([number], f"older than {self._max_age_s / 3600:g} h")
            elif record or number in self._places:
                return

    def _drop(self, numbers: Sequence[int], reason: str) -> None:
        self.settle(numbers)
        self.dropped += len(numbers)
        if numbers:
            message = f"spool: the oldest reports are dropped, {self.dropped} so far: {reason}"
            self._notices.tell("dropped", message, about=reason)

    def _note(self, segment: int, number: int) -> None:
        """Writes that a report is settled; the last one takes its segment with it."""
        try:
            if segment != self._current and self._tidy(segment):
                return
            with self._path(segment).open("ab", buffering=0) as file:
                # Behind a line that was torn the new one has to begin on its own.
                self._sizes[segment] = file.tell() + file.write(b"\n" + records.line(records.SETTLED, b"%d" % number))
        except OSError as error:
            logger.debug("spool: not noted as settled: %s", error)

    def _tidy(self, segment: int) -> bool:
        """Removes a segment of which nothing is left to deliver."""
        done = all(place.segment != segment for place in self._places.values())
        if done:
            self._remove(segment)
        return done

    def _remove(self, segment: int) -> None:
        self._sizes.pop(segment, None)
        with contextlib.suppress(OSError):
            self._path(segment).unlink()

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:012}.log"

    def _read_all(self) -> None:
        """Finds what an earlier process left; its lines that are damaged are passed over, and counted."""
        damaged = 0
        for path in sorted(self._folder.glob("????????????.log")):
            segment = int(path.stem)
            damaged += self._read(path, segment)
            self._current = segment + 1
            self._tidy(segment)
        if damaged:
            self._notices.tell("damaged", f"spool {self._folder}: {damaged} damaged lines were passed over")

    def _read(self, path: Path, segment: int) -> int:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SpoolError(f"spool {path}: {error.strerror}") from error
        self._sizes[segment] = len(content)
        damaged = 0
        for offset, line in records.lines(content):
            try:
                kind, text = line[:1], records.checked(line)
                number = int(text.split(b" ", 1)[0])
            except ValueError:
                damaged += 1
                continue
            self._next = max(self._next, number + 1)
            if kind == records.REPORT:
                self._places[number] = _Place(segment, offset, len(line))
            else:
                self._places.pop(number, None)
        return damaged


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
        import fcntl  # noqa: PLC0415 - Windows has none

        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except OSError as error:
        guard.close()
        raise SpoolError(f"spool {folder}: another agent uses it; give this one another --spool") from error
    return guard
