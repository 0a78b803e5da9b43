"""The fleet as this process last saw it: numbered, so that whoever looks again gets only what changed."""

import asyncio
import gzip
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from database import fleet
from database.database import Database
from database.hosts import Presence
from database.rows import Record

# Lists that are looked at together cost one look at the database; the past moves on by minutes.
KEPT_S, TREND_KEPT_S = 2.0, 30.0
TREND = timedelta(hours=1)
# So many hosts that are gone are remembered: whoever looked before they went gets everything.
GONE = 1_000
# Answers of one snapshot that are kept packed: dashboards ask at the same pace for the same differences.
ANSWERS = 64
DIGITS = 15
SHOWN = ("cpu_percentage", "memory_percentage")

Host = dict[str, Any]
T = TypeVar("T")


class Snapshot(NamedTuple):
    """The fleet: its hosts by id, by which snapshot each is what it is or is gone, and the sums."""

    number: int
    hosts: dict[int, Host]
    changed: dict[int, int]
    gone: dict[int, int]
    totals: dict[str, Any]


class Kept(Generic[T]):
    """What one look gives to all that ask within a while; one that fails, fails for all that wait for it."""

    def __init__(self) -> None:
        self._last: tuple[T, float] | None = None
        self._task: asyncio.Future[T] | None = None

    async def get(self, look: Callable[[], Awaitable[T]], kept_s: float) -> T:
        """What was seen last if that is no older, else what a look gives, which is under way once at most."""
        if self._last is not None and time.monotonic() - self._last[1] <= kept_s:
            return self._last[0]
        if self._task is None:
            self._task = asyncio.ensure_future(look())
            self._task.add_done_callback(self._seen)
        return await asyncio.shield(self._task)

    def _seen(self, task: asyncio.Future[T]) -> None:
        self._task = None
        if not (task.cancelled() or task.exception()):
            self._last = task.result(), time.monotonic()


class Fleet:
    """Snapshots of a process, each kept for a moment; their names are told from those of other processes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._process = secrets.token_hex(4)
        self._snapshot = Snapshot(0, {}, {}, {}, {})
        self._looks: Kept[Snapshot] = Kept()
        self._trends: Kept[Sequence[Record]] = Kept()
        self._packed: dict[tuple[int, int, bool], bytes] = {}

    async def look(self, presence: Presence) -> Snapshot:
        """At most KEPT_S old; raises a Failure while the database is away."""
        return await self._looks.get(partial(self._look, presence), KEPT_S)

    async def _look(self, presence: Presence) -> Snapshot:
        rows, tags, states = await self._database.read(fleet.look, presence)
        found = {row.id: _shown(row, tags.get(row.id, [])) for row in rows}
        self._snapshot = following(self._snapshot, found, states)
        return self._snapshot

    async def trend(self, since: datetime) -> Sequence[Record]:
        """All hosts together since then, at most TREND_KEPT_S old; raises a Failure as `look` does."""
        return await self._trends.get(partial(self._database.read, fleet.trend, since), TREND_KEPT_S)

    def name(self, snapshot: Snapshot) -> str:
        """What a client gives back as `changed_since`."""
        return f"{self._process}-{snapshot.number}"

    def number(self, name: str | None, snapshot: Snapshot) -> int:
        """The number in a name; 0, from which on everything is new, if it is another process's or too long ago."""
        process, _, digits = (name or "").partition("-")
        if process != self._process or not digits.isdecimal() or len(digits) > DIGITS:
            return 0
        oldest = min(snapshot.gone.values(), default=0) if len(snapshot.gone) >= GONE else 0
        return int(digits) if oldest <= int(digits) <= snapshot.number else 0

    async def packed(self, number: int, since: int, body: Callable[[], bytes], *, small: bool) -> bytes:
        """An answer of a snapshot, kept for all that ask for the same; `small`: by gzip."""
        key = (number, since, small)
        if key not in self._packed:
            made = body()
            made = await asyncio.to_thread(gzip.compress, made, 1, mtime=0) if small else made
            kept = {other: answer for other, answer in self._packed.items() if other[0] == self._snapshot.number}
            self._packed = {**(kept if len(kept) < ANSWERS else {}), key: made}
        return self._packed[key]


def following(before: Snapshot, found: dict[int, Host], states: dict[str, int]) -> Snapshot:
    """The next snapshot; the same number if nothing is new."""
    new = {id_ for id_, host in found.items() if before.hosts.get(id_) != host}
    left = before.hosts.keys() - found.keys()
    totals = totals_of(found, states)
    if not (new or left) and totals == before.totals:
        return before
    number = before.number + 1
    changed = {id_: number if id_ in new else before.changed[id_] for id_ in found}
    gone = {**{id_: at for id_, at in before.gone.items() if id_ not in found}, **dict.fromkeys(left, number)}
    return Snapshot(number, found, changed, dict(list(gone.items())[-GONE:]), totals)


def totals_of(found: dict[int, Host], states: dict[str, int]) -> dict[str, Any]:
    """The sums over the hosts that are online: CPU in % of all their cores, memory in GiB and in % of all there is."""
    online = [host for host in found.values() if host["status"] == "online"]
    cpu = [(host["cpu_percentage"], host["cpu_cores"] or 1) for host in online if host["cpu_percentage"] is not None]
    cores, memory = sum(weight for _, weight in cpu), [host for host in online if host["memory_usage"] is not None]
    shares = [(host["memory_usage"], host["memory_percentage"] or 0) for host in memory]
    told = [(usage, share) for usage, share in shares if share > fleet.LEAST_SHARE]
    there, used = sum(usage * 100 / share for usage, share in told), sum(usage for usage, _ in told)
    return {
        "hosts": {"online": len(online), "offline": len(found) - len(online)},
        "containers": states,
        "cpu_percentage": round(sum(share * weight for share, weight in cpu) / cores, 2) if cores else None,
        "cpu_cores": sum(host["cpu_cores"] or 0 for host in online),
        "memory_percentage": round(used * 100 / there, 2) if there else None,
        "memory_usage": round(sum(host["memory_usage"] for host in memory), 2),
        "memory_total": round(there, 2),
    }


def _shown(row: Record, tags: list[str]) -> Host:
    return {
        "id": row.id,
        "host_name": row.host_name,
        "status": "online" if row.online else "offline",
        "cpu_percentage": row.cpu_percentage,
        "cpu_cores": row.cpu_cores,
        "memory_usage": row.memory_usage,
        "memory_percentage": row.memory_percentage,
        "containers_count": row.containers_count,
        "containers_running": row.containers_running,
        "last_seen": row.last_seen,
        "tags": tags,
    }


def series_of(rows: Sequence[Record], since: datetime) -> list[dict[str, object]]:
    """Rows of minutes as series, each with a value for every minute from `since` on, None where there is no row."""
    minutes = int(TREND.total_seconds() // fleet.MINUTE_S) + 1
    made: dict[tuple[int | None, str, str], dict[str, Any]] = {}
    for row in rows:
        whose = (row.host_id, row.engine_type, row.container_name)
        series = made.setdefault(whose, {metric: [None] * minutes for metric in SHOWN})
        minute = int((datetime.fromisoformat(row.minute) - since).total_seconds() // fleet.MINUTE_S)
        for metric in SHOWN:
            if 0 <= minute < minutes and (value := getattr(row, metric)) is not None:
                series[metric][minute] = round(value, 1)
    names = ("host_id", "engine_type", "container_name")
    return [
        dict(zip(names, (whose[0], *(word or None for word in whose[1:])), strict=True)) | series
        for whose, series in made.items()
    ]
