"""The ids of hosts by their names, as a writer remembers them."""

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence

from sqlalchemy import Connection

from database import hosts
from database.batch import HostGone
from database.rows import Prepared

# Names beyond this are looked up again: a flood of made-up names must not fill the memory.
MAX_IDS = 100_000
HOUR_S = 3_600.0


class TooManyHosts(Exception):
    """Hosts of these names may not be created before so many seconds."""

    def __init__(self, names: Collection[str], wait_s: float) -> None:
        super().__init__(f"{len(names)} new hosts too many")
        self.names, self.wait_s = names, wait_s


class NewHosts:
    """How many hosts were created within the hour; 0 is no limit."""

    def __init__(self, per_hour: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_hour, self._clock = per_hour, clock
        self._moments: deque[float] = deque(maxlen=per_hour)

    def surplus(self, names: Collection[str]) -> list[str]:
        """Which of these names are too many now."""
        if not self._per_hour:
            return []
        while self._moments and self._moments[0] <= self._clock() - HOUR_S:
            self._moments.popleft()
        return sorted(names)[max(self._per_hour - len(self._moments), 0) :]

    def note(self, count: int) -> None:
        """Counts hosts that were created."""
        self._moments.extend([self._clock()] * count)

    def wait_s(self) -> float:
        """How long until there is room for one more."""
        return self._moments[0] + HOUR_S - self._clock() if self._moments else HOUR_S


class HostIds:
    """Hosts may be deleted or renamed: what is remembered is believed until a transaction finds it otherwise."""

    def __init__(self, new_hosts: NewHosts | None = None) -> None:
        self._ids: dict[str, int] = {}
        self._new_hosts = new_hosts or NewHosts()

    def give(self, connection: Connection, batch: Sequence[Prepared], now: int) -> None:
        """Gives each report its host's id; truly absent hosts are created in a short transaction of their own.

        Raises HostGone if a host is not there even so: someone deleted it just now; TooManyHosts if some may not be
        created.
        """
        if len(self._ids) > MAX_IDS:
            self._ids.clear()
        unknown = {report.host_name for report in batch} - self._ids.keys()
        if unknown:
            self._ids |= _find_or_create(connection, unknown, now, self._new_hosts)
            if unknown - self._ids.keys():
                raise HostGone(set())
        for report in batch:
            report.host_id = self._ids[report.host_name]

    def forget(self, ids: set[int]) -> None:
        """Lets the names of these hosts be looked up again."""
        self._ids = {name: id_ for name, id_ in self._ids.items() if id_ not in ids}


def _find_or_create(connection: Connection, names: set[str], now: int, new_hosts: NewHosts) -> dict[str, int]:
    found = hosts.find(connection, list(names))
    if absent := names - found.keys():
        refused = new_hosts.surplus(absent)
        if refused:
            connection.rollback()
            raise TooManyHosts(refused, new_hosts.wait_s())
        hosts.create(connection, absent, now)
        connection.commit()
        new_hosts.note(len(absent))
        found |= hosts.find(connection, list(absent))
    connection.rollback()
    return found
