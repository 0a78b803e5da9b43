"""The reports that the server will never take: the last hundred of them, for a person to look at."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from agent.records import Record

MAX_REJECTED = 100


def keep(folder: Path, record: Record, reason: str) -> None:
    """Writes a report and what was said of it; a folder that cannot be written is no reason to keep it elsewhere."""
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        # Numbers begin anew with an empty spool: by them a later one could sort first, or replace another.
        path = folder / f"{time.time_ns():020}-{record.key}.json"
        path.write_text(f"{record.report}\n{reason}\n", encoding="utf-8", errors="backslashreplace")
        for old in sorted(folder.glob("*.json"))[:-MAX_REJECTED]:
            old.unlink()
