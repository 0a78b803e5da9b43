"""What is not delivered yet, on disk: a journal of reports and of what became of them.

A folder of segments, to which lines are appended: `R` a report, `A` a report that is settled; each with a checksum. A
segment goes when all its reports are settled, or, the oldest first, when the folder is full. A report is on disk when
`append` returns. That a settled one is noted may be lost: it is sent again then, and its key makes that harmless.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import uuid
from typing import TYPE_CHECKING, NamedTuple

from agent import records, rejected
from agent.records import Record
from agent.segments import Segments, SpoolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from agent.clock import Clock, Stamp
    from agent.notices import Notices

__all__ = ["Spool", "SpoolError"]
logger = logging.getLogger(__name__)

# A full folder loses its oldest segment: so much of it at a time.
SEGMENTS = 64
# What was refused for good may take one part of so many, on top.
REJECTED_PARTS = 10
# What is kept of reports that cannot be written.
MEMORY_BYTES = 8 << 20


class _Place(NamedTuple):
    """Where a report is, and its moment: its age is asked at every append, which the disk should not notice."""

    segment: int
    offset: int
    length: int
    stamp: Stamp


class Spool:
    """Used by two threads: one appends, one sends."""

    def __init__(self, folder: Path, clock: Clock, notices: Notices, *, max_bytes: float, max_age_s: float) -> None:
        """Reads what an earlier process left. Raises SpoolError."""
        self._folder, self._clock, self._notices = folder, clock, notices
        self._max_bytes, self._max_age_s = max_bytes, max_age_s
        self._lock = threading.RLock()
        self._places: dict[int, _Place] = {}
        self._memory: dict[int, Record] = {}
        self._next = self._current = 0
        self.dropped = 0
        self._segments = Segments(folder)
        self._read_all()

    def __len__(self) -> int:
        """How many reports are not delivered yet."""
        return len(self._places) + len(self._memory)

    def close(self) -> None:
        """Lets another agent use the folder."""
        with self._lock:
            if self._memory:
                logger.warning("spool: %d reports are lost: they were kept in memory only", len(self._memory))
            self._segments.close()

    def append(self, report: str, stamp: Stamp) -> None:
        """Keeps a report; if it cannot be written, in memory, which is told."""
        with self._lock:
            record = Record(self._next, uuid.uuid4().hex, stamp, report)
            self._next += 1
            try:
                self._write(record)
            except OSError as error:
                self._remember(record)
                self._notices.tell("spool", f"spool {self._folder}: {error.strerror}; reports are kept in memory only")
            else:
                self._notices.over("spool", f"spool {self._folder}: can be written again")
            self._expire()

    def newest(self) -> Record | None:
        with self._lock:
            return next(self._readable(sorted([*self._places, *self._memory], reverse=True)), None)

    def oldest(self, most: int, most_bytes: int) -> list[Record]:
        """The oldest ones that can be read, of so many bytes in all; one at least, if there is any."""
        found: list[Record] = []
        size = 0
        with self._lock:
            self._expire()
            for record in itertools.islice(self._readable(list(self._numbers())), most):
                size += len(record.report)
                if found and size > most_bytes:
                    break
                found.append(record)
        return found

    def settle(self, numbers: Sequence[int]) -> None:
        """These are delivered, or never will be."""
        with self._lock:
            for segment, settled in self._forget(numbers).items():
                if not self._tidy(segment):
                    self._note(segment, settled)

    def reject(self, record: Record, reason: str) -> None:
        """The server will never take it."""
        rejected.keep(self._folder / "rejected", record, reason, max_bytes=self._max_bytes / REJECTED_PARTS)
        self.settle([record.number])

    def _numbers(self) -> Iterator[int]:
        """All that is kept, the oldest first: each of the two is in order."""
        return heapq.merge(self._places, self._memory)

    def _readable(self, numbers: Iterable[int]) -> Iterator[Record]:
        """Reads these back, without those in segments that cannot be read now."""
        away: set[int] = set()
        for number in numbers:
            place = self._places.get(number)
            if place and place.segment not in away:
                record = self._read_back(number, place, away)
            else:
                record = self._memory.get(number)
            if record:
                yield record

    def _read_back(self, number: int, place: _Place, away: set[int]) -> Record | None:
        """What is damaged or has no file any more is given up; a folder that cannot be read may come back."""
        try:
            return records.record(records.checked(self._segments.read(place.segment, place.offset, place.length)))
        except OSError:
            away.add(place.segment)
            if self._segments.is_gone(place.segment):
                self._drop(self._of(place.segment), "their file is gone")
        except ValueError:
            self._drop([number], "damaged")
        return None

    def _write(self, record: Record) -> None:
        """Into the current segment, or the next one if it is full or cannot be written. Raises OSError."""
        line = record.line
        size = self._segments.sizes.get(self._current, 0)
        if size and size + len(line) > self._max_bytes / SEGMENTS:
            self._turn_over()
        self._make_room(len(line))
        try:
            offset = self._put(line)
        except OSError:  # a second try finds the room of what was settled, and a folder that somebody deleted
            self._segments.renew()
            offset = self._put(line)
        self._places[record.number] = _Place(self._current, offset, len(line), record.stamp)

    def _put(self, line: bytes) -> int:
        """A segment that cannot be written is left, and goes if it holds nothing. Raises OSError."""
        try:
            return self._segments.write(self._current, line)
        except OSError:
            self._turn_over()
            raise

    def _turn_over(self) -> None:
        self._current += 1
        self._tidy(self._current - 1)

    def _make_room(self, needed: int) -> None:
        while len(self._segments.sizes) > 1 and self._segments.total_bytes + needed > self._max_bytes:
            oldest = min(self._segments.sizes)
            self._drop(self._of(oldest), "spool is full")
            self._segments.remove(oldest)

    def _remember(self, record: Record) -> None:
        self._memory[record.number] = record
        while sum(len(one.report) for one in self._memory.values()) > MEMORY_BYTES:
            self._drop([next(iter(self._memory))], "spool cannot be written, and memory is full")

    def _expire(self) -> None:
        """Drops what is too old to be of use: the server refuses it after a week."""
        old = list(itertools.takewhile(self._is_old, self._numbers()))
        self._drop(old, f"older than {self._max_age_s / 3600:g} h")

    def _is_old(self, number: int) -> bool:
        kept = self._places.get(number) or self._memory[number]
        return self._clock.age_s(kept.stamp) >= self._max_age_s

    def _drop(self, numbers: Sequence[int], reason: str) -> None:
        """Nothing is noted of these: a later process drops them again, and a full disk has no room for notes."""
        for segment in self._forget(numbers):
            self._tidy(segment)
        self.dropped += len(numbers)
        if numbers:
            message = f"spool: the oldest reports are dropped, {self.dropped} so far: {reason}"
            self._notices.tell("dropped", message, about=reason)

    def _forget(self, numbers: Iterable[int]) -> dict[int, list[int]]:
        """Those of them that are on disk, by segment."""
        forgotten: dict[int, list[int]] = {}
        for number in numbers:
            self._memory.pop(number, None)
            place = self._places.pop(number, None)
            if place:
                forgotten.setdefault(place.segment, []).append(number)
        return forgotten

    def _note(self, segment: int, numbers: Iterable[int]) -> None:
        """Writes that these are settled."""
        try:
            self._segments.note(segment, b"".join(records.framed(records.SETTLED, b"%d" % one) for one in numbers))
        except OSError as error:
            logger.debug("spool: not noted as settled: %s", error)

    def _of(self, segment: int) -> list[int]:
        return [number for number, place in self._places.items() if place.segment == segment]

    def _tidy(self, segment: int) -> bool:
        """Removes a segment of which nothing is left to deliver, unless it is still written to."""
        done = segment != self._current and all(place.segment != segment for place in self._places.values())
        if done:
            self._segments.remove(segment)
        return done

    def _read_all(self) -> None:
        """Finds what an earlier process left; its lines that are damaged are passed over, and counted."""
        damaged = 0
        for segment in self._segments.found():
            damaged += sum(not self._read(segment, *line) for line in records.lines(self._segments.content(segment)))
            self._current = segment + 1
            self._tidy(segment)
        if damaged:
            self._notices.tell("damaged", f"spool {self._folder}: {damaged} damaged lines were passed over")

    def _read(self, segment: int, offset: int, line: bytes) -> bool:
        """One line; False if it is damaged."""
        try:
            text = records.checked(line)
            number = int(text.split(b" ", 1)[0])
            if line.startswith(records.REPORT):
                self._places[number] = _Place(segment, offset, len(line), records.record(text).stamp)
            else:
                self._places.pop(number, None)
        except ValueError:
            return False
        self._next = max(self._next, number + 1)
        return True
