"""From when on a host's silence means that the host is silent, and not that the server hears nobody."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from database.presence import Heard

# What the database's clock may differ from the time that passed here: it is adjusted now and then.
SLACK_S = 30.0
# A host is on time for so many of its intervals; it counts as silent after three at the earliest.
ON_TIME = 1.5


class Watch:
    """Remembers since when the server hears its fleet.

    It begins anew when the server starts, when it takes the job over, when the database was away, when no host was on
    time, and when the clock jumped. No host counts as silent before it has had its whole time since.
    """

    def __init__(self, offline_after_s: float) -> None:
        self._patience = timedelta(seconds=offline_after_s)
        self._since: datetime | None = None
        self._passed: tuple[datetime, float] | None = None

    def begin_anew(self) -> None:
        """The database is away, or another instance watches."""
        self._since = self._passed = None

    def earliest(self, now: datetime, monotonic_s: float, newest: Iterable[Heard]) -> datetime:
        """The first moment at which a host may count as silent; `newest` are the hosts that were heard last."""
        on_time = any(now < host.last_seen + self._usual(host) for host in newest)
        if self._since is None or not on_time or self._jumped(now, monotonic_s):
            self._since = now
        self._passed = (now, monotonic_s)
        return self._since + self._patience

    def _usual(self, host: Heard) -> timedelta:
        """At least half of the patience: two agents of one name seem to report every few milliseconds."""
        return max(timedelta(seconds=ON_TIME * (host.interval_s or 0)), self._patience / 2)

    def _jumped(self, now: datetime, monotonic_s: float) -> bool:
        if self._passed is None:
            return False
        moved_s, passed_s = (now - self._passed[0]).total_seconds(), monotonic_s - self._passed[1]
        return abs(moved_s - passed_s) > SLACK_S
