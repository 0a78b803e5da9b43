"""The reports that the server will never take: the last hundred of them at most, for a person to look at."""

from __future__ import annotations

import contextlib
import itertools
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from agent.records import Record

MAX_REJECTED = 100


def keep(folder: Path, record: Record, reason: str, *, max_bytes: float) -> None:
    """Writes a report and what was said of it; a folder that cannot be written is no reason to keep it elsewhere."""
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        # Numbers begin anew with an empty spool: by them a later one could sort first, or replace another.
        path = folder / f"{time.time_ns():020}-{record.key}.json"
        path.write_text(f"{record.report}\n{reason}\n", encoding="utf-8", errors="backslashreplace")
        for old in _too_many(sorted(folder.glob("*.json"), reverse=True), max_bytes):
            old.unlink()


def _too_many(newest_first: list[Path], max_bytes: float) -> list[Path]:
    """All behind the first hundred, or behind so many bytes; never the newest."""
    sizes = itertools.accumulate(path.stat().st_size for path in newest_first)
    kept = sum(size <= max_bytes for size in itertools.islice(sizes, MAX_REJECTED))
    return newest_first[max(kept, 1) :]
