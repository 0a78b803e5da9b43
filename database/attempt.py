"""A batch, or a part of one, on its way to an outcome."""

import random
from collections import Counter
from collections.abc import Callable

from database.faults import Fault
from database.rows import Prepared

# First and longest pause in seconds, by how soon the cause may be gone. A server that comes back is noticed within 5 s.
_PAUSES = dict.fromkeys((Fault.CONFLICT, Fault.LOCK_WAIT, Fault.BUSY, Fault.HOST_GONE), (0.02, 1.0))
_PAUSES[Fault.REFUSED] = (0.1, 5.0)
_PAUSE = (0.1, 2.5)


class Attempt:
    """What is left of a batch, and what is known of its tries.

    `met` counts its faults, `unknown` tells that a COMMIT of it may have been executed, `look_up` that something of it
    is stored already.
    """

    def __init__(self, reports: list[Prepared], *, unknown: bool = False) -> None:
        self.reports = reports
        self.unknown = unknown
        self.met: Counter[Fault] = Counter()
        self.committing = False
        self.look_up = False

    def doubt(self) -> None:
        """A COMMIT was sent and not answered: from now on nobody may be told that nothing was stored."""
        self.unknown = True
        for report in self.reports:
            report.maybe_stored = True

    def halve(self) -> "list[Attempt]":
        """Gives both halves, each to be written by itself; a lock wait counts for them too: each one lasts seconds."""
        middle = len(self.reports) // 2
        halves = [Attempt(half, unknown=self.unknown) for half in (self.reports[:middle], self.reports[middle:])]
        for half in halves:
            half.met[Fault.LOCK_WAIT] = self.met[Fault.LOCK_WAIT]
        self.reports = []
        return halves

    def drop_abandoned(self) -> None:
        """Lets go of reports that nobody awaits any more."""
        self.reports = [report for report in self.reports if report.awaited]

    def pause(self, fault: Fault, sleep: Callable[[float], None]) -> None:
        """Waits with full jitter, longer each time the fault is met."""
        first, longest = _PAUSES.get(fault, _PAUSE)
        left = random.uniform(0, min(longest, first * 2 ** min(self.met[fault], 8)))  # noqa: S311 - jitter is no secret
        # In steps, so that a batch that nobody awaits any more does not hold the thread.
        while left > 0 and any(report.awaited for report in self.reports):
            sleep(min(left, 0.5))
            left -= 0.5
