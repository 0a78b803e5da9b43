"""Keeps the database below `[monitoring] max_database_gib`: shortens what is kept, the finest first, and says so."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from database import storage
from database.database import Database
from database.retention import Expire
from logger import event
from services.retention import removals

logger = logging.getLogger(__name__)

GIB = 1 << 30
# For how long each is kept whatever the size. The coarser ones tell of the same time in less room, so they go later.
FLOORS = {
    "reports": timedelta(days=1),
    "rollup_60": timedelta(days=2),
    "rollup_600": timedelta(days=14),
    "rollup_3600": timedelta(days=90),
}
# A step shortens by this share of what is kept at least: six hours of samples.
STEPS = 4
# What InnoDB still has to clear away after a deletion is not free yet.
SETTLE_S = 2.0
# A row frees more bytes than this, sooner or later: InnoDB gives pages back by the 64. When so many bytes should show,
# a quarter of them does, unless something holds them.
ROW, ENOUGH, SHOWS = 100, 16 << 20, 4


class Step(NamedTuple):
    """What is to be shortened, and to when."""

    name: str
    cutoff: datetime


def next_step(oldest: Mapping[str, datetime | None], reached: Mapping[str, datetime], now: datetime) -> Step | None:
    """The finest that may still be shortened, beyond what was reached before; None: nothing may."""
    for name, floor in FLOORS.items():
        first, latest = oldest[name], now - floor
        if first is None:
            continue
        begin = max(first, reached.get(name, first))
        if begin < latest:
            return Step(name, min(begin + floor / STEPS, latest))
    return None


class Guard:
    """Removes step by step while the database is too large; only in the process that holds the jobs' lease."""

    def __init__(
        self,
        limit_gib: float,
        database: Database,
        holds: Callable[[], Awaitable[bool]],
        expire: Callable[[Expire], Awaitable[int]],
    ) -> None:
        self._limit = int(limit_gib * GIB)
        self._database = database
        self._holds, self._expire = holds, expire
        self._removed = self._freed = 0
        self._stuck: tuple[int, datetime] | None = None
        self._told = False

    async def keep(self, now: datetime) -> None:
        """Shortens until the database is below the limit, or nothing may go any more."""
        reached: dict[str, datetime] = {}
        while await self._holds() and (used := await self._used()) > self._limit:
            if self._waits(used, now):
                return
            step = next_step(await self._database.read(storage.oldest, FLOORS), reached, now)
            if step is None:
                self._give_up(used)
                return
            reached[step.name] = step.cutoff
            await self._shorten(step, used, now)
        self._told = False

    async def _used(self) -> int:
        return (await self._database.read(partial(self._database.dialect.used, fresh=True))).bytes

    def _waits(self, used: int, now: datetime) -> bool:
        """Whether what was removed last still takes its room, as while a backup reads an old state on MySQL.

        Then as much time passes first as was removed: whatever goes on, no more goes than comes.
        """
        if self._stuck and (used < self._stuck[0] or now >= self._stuck[1]):
            self._stuck = None
        return self._stuck is not None

    async def _shorten(self, step: Step, used: int, now: datetime) -> None:
        rows = sum([await self._expire(expire) for expire in removals(step.name, step.cutoff, now).values()])
        if not rows:
            return
        await asyncio.sleep(SETTLE_S)
        after = await self._used()
        figures = {"used_gib": _gib(after), "before_gib": _gib(used), "limit_gib": _gib(self._limit)}
        logger.warning(event("database_shortened", table=step.name, kept_from=step.cutoff, rows=rows, **figures))
        self._watch(rows, used - after, after, now + FLOORS[step.name] / STEPS)

    def _watch(self, rows: int, freed: int, used: int, until: datetime) -> None:
        """Adds up what was removed and what became free, until there is enough to compare."""
        self._removed += rows * ROW
        self._freed += freed
        if self._removed < ENOUGH:
            return
        if self._freed < self._removed // SHOWS:
            self._stuck = (used - self._removed // SHOWS, until)
        self._removed = self._freed = 0

    def _give_up(self, used: int) -> None:
        """Once, until it is below the limit again."""
        if not self._told:
            reason = "nothing more may be removed: raise [monitoring] max_database_gib, or report less often"
            figures = {"used_gib": _gib(used), "limit_gib": _gib(self._limit)}
            logger.error(event("database_too_large", **figures, reason=reason))
        self._told = True


def _gib(size: int) -> str:
    return f"{size / GIB:.3f}"
