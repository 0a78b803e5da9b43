"""How old a report is, whatever somebody does to the clock of the wall; and the times that engines write."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import psutil

# The oldest report that the server takes, in seconds: a week.
MAX_AGE_S = 604_800.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Docker writes UTC, Podman and Docker on Windows local time; with as many digits as are not zero.
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?(?:Z|([+-][0-9]{2}:[0-9]{2}))?")


class Stamp(NamedTuple):
    """A moment: seconds since this start of the machine, which start that was, and seconds since 1970."""

    uptime_s: float
    boot: str
    wall_s: float


class Clock:
    """Counts from the machine's start, so that another process of the same start still knows how old a report is."""

    def __init__(self) -> None:
        self._boot = _boot()

    def now(self) -> Stamp:
        return Stamp(uptime_s(), self._boot, time.time())

    def age_s(self, then: Stamp) -> float:
        """Seconds since a moment, from 0 to MAX_AGE_S; after a new start of the machine by the clock of the wall."""
        now = self.now()
        same = now.boot == then.boot and now.uptime_s >= then.uptime_s
        age = now.uptime_s - then.uptime_s if same else now.wall_s - then.wall_s
        return min(max(age, 0.0), MAX_AGE_S)


def _boot() -> str:
    """Names this start of the machine; where the system does not, the minute of it does."""
    if _BOOT_ID.exists():
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return f"{psutil.boot_time() // 60:.0f}"


def uptime_s() -> float:
    """Seconds since the machine's start, those that it slept included where the system counts them."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def seconds(text: str) -> float:
    """A written time as seconds since 1970; 0 if it is none."""
    found = _TIME.fullmatch(text)
    if not found:
        return 0.0
    try:
        whole = datetime.fromisoformat(found[1] + (found[3] or "+00:00"))
    except ValueError:
        return 0.0
    # Engines write nine digits, of which Python 3.9 and 3.10 read six or none at all.
    return whole.timestamp() + float(found[2] or 0)
