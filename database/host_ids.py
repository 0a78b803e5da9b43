"""The ids of hosts by their names, as a writer remembers them."""

from collections.abc import Sequence

from sqlalchemy import Connection

from database import hosts
from database.batch import HostGone
from database.rows import Prepared

# Names beyond this are looked up again: a flood of made-up names must not fill the memory.
MAX_IDS = 100_000


class HostIds:
    """Hosts may be deleted or renamed: what is remembered is believed until a transaction finds it otherwise."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def give(self, connection: Connection, batch: Sequence[Prepared], now: int) -> None:
        """Gives each report its host's id; truly absent hosts are created in a short transaction of their own.

        Raises HostGone if a host is not there even so: someone deleted it just now.
        """
        if len(self._ids) > MAX_IDS:
            self._ids.clear()
        unknown = {report.host_name for report in batch} - self._ids.keys()
        if unknown:
            self._ids |= _find_or_create(connection, unknown, now)
            if unknown - self._ids.keys():
                raise HostGone(set())
        for report in batch:
            report.host_id = self._ids[report.host_name]

    def forget(self, ids: set[int]) -> None:
        """Lets the names of these hosts be looked up again."""
        self._ids = {name: id_ for name, id_ in self._ids.items() if id_ not in ids}


def _find_or_create(connection: Connection, names: set[str], now: int) -> dict[str, int]:
    found = hosts.find(connection, list(names))
    if absent := names - found.keys():
        hosts.create(connection, absent, now)
        connection.commit()
        found |= hosts.find(connection, list(absent))
    connection.rollback()
    return found
