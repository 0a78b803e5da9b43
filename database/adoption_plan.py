"""What becomes of an earlier server's rows: values in, rows of our tables out; no statement is made here."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from hashlib import sha256
from math import isfinite
from typing import Any

from database.rows import HOST_COLUMNS, RUNNING, Record
from utils.utils import from_zone

MICROSECOND = timedelta(microseconds=1)
NAME_LENGTH = 255
MAX_INT = 2**31
# A container without a name; all of a host's are one.
NAMELESS = "unknown"


@dataclass(frozen=True, slots=True)
class Times:
    """How the earlier server's local times are read; nothing was measured later than `now` (UTC, naive)."""

    zone: tzinfo | None
    now: datetime

    def utc(self, value: object) -> datetime | None:
        """The moment that a time in the operators' zone means."""
        local = local_time(value)
        moment = _utc(local, self.zone) if local else None
        return moment and min(moment, self.now)


@lru_cache(maxsize=8192)
def _utc(local: datetime, zone: tzinfo | None) -> datetime | None:
    try:
        return from_zone(local, zone)
    except (ValueError, OverflowError, OSError):  # the first and last years that a datetime can hold
        return None


@lru_cache(maxsize=8192)
def local_time(value: object) -> datetime | None:
    """A naive time of whatever the driver gives: MySQL's zero dates and a clockless agent's words are no times."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    return value.replace(tzinfo=None) if isinstance(value, datetime) else None


@lru_cache(maxsize=65_536)
def clean(value: object) -> str:
    """A name as an intake would keep it: trimmed, so that the next report finds it, and of at most 255 characters.

    A longer one ends in a digest of the whole: two that differ later than that stay apart.
    """
    name = "" if value is None else str(value).strip()
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 9]}~{sha256(name.encode()).hexdigest()[:8]}"


def metric(value: object) -> float | None:
    """A finite number; infinity could be stored but not sent."""
    return value + 0.0 if isinstance(value, int | float) and isfinite(value) else None


def count(value: object) -> int | None:
    """A whole number of the column's range."""
    return int(value) if isinstance(value, int | float) and isfinite(value) and -MAX_INT <= value < MAX_INT else None


def host_values(row: Record) -> dict[str, Any]:
    """What a host's row says that a report would."""
    return {
        "cpu_percentage": metric(row.cpu_percentage),
        "cpu_cores": count(row.cpu_cores),
        "cpu_threads": count(row.cpu_threads),
        "memory_usage": metric(row.memory_usage),
        "memory_percentage": metric(row.memory_percentage),
        "get_datetime": _second(row.get_datetime),
    }


@lru_cache(maxsize=8192)
def _second(value: object) -> datetime | None:
    """MySQL would round a fraction, and MariaDB cut it."""
    local = local_time(value)
    return local and local.replace(microsecond=0)


class Plan:
    """Which host each row goes to, and which rows are a host's present.

    `earlier` are the rows of hosts, `newest` the newest row of each container name of each host, by ascending id. Where
    several hosts have one name the newest is kept; containers of a host that is not there get one, `host-<id>`.
    """

    def __init__(self, earlier: Sequence[Record], newest: Sequence[Record], times: Times) -> None:
        self.times = times
        self.names: dict[int, str] = {}
        self.homes: dict[object, int] = {}
        self.rows: dict[int, list[Record]] = {}
        self.moments: dict[int, datetime] = {}
        self._keep(earlier)
        self._make(newest)
        self._present = self._find_present(newest)
        self.current = frozenset(row.id for rows in self._present.values() for row in rows)

    def _keep(self, earlier: Iterable[Record]) -> None:
        owners: dict[str, int] = {}
        nameless = []
        for row in sorted(earlier, key=lambda row: -row.id):
            name = clean(row.host_name)
            home = owners.setdefault(name, row.id) if name else row.id
            self.homes[row.id] = home
            self.rows.setdefault(home, []).append(row)
            if not name:
                nameless.append(row.id)
        self.names = {home: name for name, home in owners.items()}
        self._taken = set(owners)
        for home in nameless:
            self.names[home] = self._free_name(home)
        for home, rows in self.rows.items():
            self.moments[home] = self.times.utc(rows[0].get_datetime) or self.times.now

    def _make(self, newest: Iterable[Record]) -> None:
        """The row with the largest id says when a made host was last heard of."""
        made = {row.host_id: row for row in newest if row.host_id not in self.homes}
        for host_id, row in made.items():
            home = host_id if isinstance(host_id, int) and host_id > 0 else self._free_id(made)
            self.homes[host_id] = home
            self.names[home] = self._free_name(host_id or 0)
            self.moments[home] = self.times.utc(row.get_datetime) or self.times.now
            self.rows[home] = []

    def _free_id(self, made: Iterable[object]) -> int:
        """AUTO_INCREMENT takes 0 for a question, and NULL is no id."""
        return max((id_ for id_ in (*self.names, *made) if isinstance(id_, int)), default=0) + 1

    def _free_name(self, id_: int) -> str:
        name, turn = f"host-{id_}", 1
        while name in self._taken:
            turn += 1
            name = f"host-{id_}-{turn}"
        self._taken.add(name)
        return name

    def _find_present(self, newest: Iterable[Record]) -> dict[int, list[Record]]:
        last = {(self.homes[row.host_id], clean(row.container_name) or NAMELESS): row for row in newest}
        present: dict[int, list[Record]] = {home: [] for home in self.names}
        for (home, _), row in last.items():
            present[home].append(row)
        return present

    def hosts(self) -> Iterator[dict[str, Any]]:
        """The rows of our hosts."""
        for home in sorted(self.names):
            at, rows, present = self.moments[home], self.rows[home], self._present[home]
            yield {
                "id": home,
                "host_name": self.names[home],
                **(host_values(rows[0]) if rows else dict.fromkeys(HOST_COLUMNS)),
                **dict.fromkeys(("sampled_at", "last_seen", "created_at", "expected_by"), at),
                "containers_count": len(present),
                "containers_running": sum(clean(row.status) == RUNNING for row in present),
            }

    def reports(self) -> Iterator[dict[str, Any]]:
        """One report for each row of a host; those of the older rows of its name lie before the newest."""
        for home, rows in sorted(self.rows.items()):
            at = self.moments[home]
            for row in rows or (None,):
                if row is not None and row is not rows[0]:
                    at = min(self.times.utc(row.get_datetime) or at, at - MICROSECOND)
                yield {
                    "host_id": home,
                    "sampled_at": at,
                    "received_at": at,
                    **(host_values(row) if row is not None else dict.fromkeys(HOST_COLUMNS)),
                    "containers_count": len(self._present[home]) if at == self.moments[home] else 0,
                }

    def container(self, row: Record) -> dict[str, Any]:
        """The row of our containers."""
        home = self.homes[row.host_id]
        name = self.names[home]
        return {
            "id": row.id,
            "engine_type": clean(row.engine_type) or "docker",
            "cluster_name": clean(row.cluster_name) or name,
            "node_name": clean(row.node_name) or name,
            "container_name": clean(row.container_name) or NAMELESS,
            "status": clean(row.status) or "unknown",
            "cpu_percentage": metric(row.cpu_percentage),
            "memory_usage": metric(row.memory_usage),
            "memory_percentage": metric(row.memory_percentage),
            "get_datetime": _second(row.get_datetime),
            "host_id": home,
            "sampled_at": self._moment(row, home),
        }

    def _moment(self, row: Record, home: int) -> datetime:
        """The present's rows share the host's moment, and no other row has it."""
        at = self.moments[home]
        if row.id in self.current:
            return at
        own = self.times.utc(row.get_datetime) or at
        return own - MICROSECOND if own == at else own
