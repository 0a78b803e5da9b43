"""The one clock of the service: the database's, read through this process's monotonic clock."""

import threading
import time

from utils.utils import SECOND


class Clock:
    """Microseconds since 1970, UTC, by the database's clock; each stamp of one process is later than the one before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset = time.time_ns() // 1_000 - self.monotonic()
        self._last = 0

    @staticmethod
    def monotonic() -> int:
        """Microseconds of the process's monotonic clock."""
        return time.monotonic_ns() // 1_000

    def measured(self, database_now: int, before: int, after: int) -> None:
        """Takes the database's time, which was read between two moments of the monotonic clock.

        The true offset lies between two bounds, wide apart if the answer was slow: what is known is moved no further
        than into them, so that a slow answer does not move a clock that is right.
        """
        self._offset = min(max(self._offset, database_now - after), database_now - before)

    def now(self) -> int:
        """The present moment."""
        return self.monotonic() + self._offset

    def stamp(self) -> int:
        """The present moment as one no other report of this process has.

        A clock set back by more than a second is followed at once: better stamps that repeat, which the primary key
        of `reports` tells apart, than an hour of stamps that stand still.
        """
        with self._lock:
            now = self.now()
            ahead = self._last - now
            self._last = self._last + 1 if 0 <= ahead < SECOND else now
            return self._last
