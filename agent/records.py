"""The lines of the spool's segments: each has a checksum, for a line may be torn, and a disk may lie."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, NamedTuple

from agent.clock import Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

REPORT, SETTLED = b"R", b"A"
# Of a report's line: number, key, uptime, boot, time of the wall, report.
_FIELDS = 6


class Record(NamedTuple):
    """One report as JSON text, when it was measured, and the key that makes sending it twice harmless."""

    number: int
    key: str
    stamp: Stamp
    report: str

    @property
    def line(self) -> bytes:
        uptime_s, boot, wall_s = self.stamp
        text = f"{self.number} {self.key} {uptime_s:.3f} {boot} {wall_s:.3f} {self.report}"
        return framed(REPORT, text.encode())


def lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Each line that is not empty, and where it begins."""
    offset = 0
    for line in content.split(b"\n"):
        if line:
            yield offset, line
        offset += len(line) + 1


def framed(kind: bytes, text: bytes) -> bytes:
    return b"%s %08x %s\n" % (kind, zlib.crc32(kind + text), text)


def checked(line: bytes) -> bytes:
    """What a line says. Raises a ValueError if it is damaged."""
    kind, checksum, text = line.rstrip(b"\n").split(b" ", 2)
    if kind not in (REPORT, SETTLED) or int(checksum, 16) != zlib.crc32(kind + text):
        raise ValueError("damaged")
    return text


def record(text: bytes) -> Record:
    """What a report's line says. Raises a ValueError if it is none."""
    number, key, uptime_s, boot, wall_s, report = text.decode().split(" ", _FIELDS - 1)
    # Thousands have the name of the same start: it is kept once.
    return Record(int(number), key, Stamp(float(uptime_s), sys.intern(boot), float(wall_s)), report)
