"""The background jobs of one process."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from config.settings import Settings
from database import agents, hosts, leases, presence, purge, quarantine, retention, rollups, tokens
from database.database import Database
from database.presence import Call, Turn
from database.retention import Expire, Progress
from database.rollups import NOTHING, Plan
from database.writer import Writer
from logger import Throttle, audit, event
from services import webhook
from services.agents import Agents
from services.guard import Guard
from services.pace import Pace
from services.presence import Watch
from services.quarantine import Quarantine
from services.retention import Trust, expiries
from services.webhook import Pauses
from utils.utils import moment

logger = logging.getLogger(__name__)

T = TypeVar("T")
PURGE_EVERY_S = 60.0
PURGE_ROWS = 5_000
KEEP_EVERY_S = 2.0
ROLL_EVERY_S, PRESENCE_EVERY_S = 5.0, 5.0
CALLS = 20
FIRST_S = 60.0
USED_EVERY_S = 60.0
# A host may have two ways out, and take them in turns.
MOVED_S = 3_600.0
RETAIN_EVERY_S = 600.0
# A holder that was killed is replaced within this and one round.
LEASE, LEASE_TTL_S = "history", 20.0


@contextlib.contextmanager
def _unless_written(put_back: Callable[[], None]) -> Iterator[None]:
    """Puts back what was taken; also after a COMMIT whose outcome is unknown: rather twice than never."""
    try:
        yield
    except Exception:
        put_back()
        raise


class Jobs:
    """Runs on the event loop; the statements run on the writer's connection, between two batches.

    Removing what was deleted needs no lease: whoever locks the hidden host's row works on it, others pass it over. Of
    several processes one makes the aggregates, as long as it holds the lease.
    """

    def __init__(
        self, settings: Settings, database: Database, writer: Writer, heard: Agents, refused: Quarantine
    ) -> None:
        self._monitoring = settings.monitoring
        self._database = database
        self._heard, self._refused = heard, refused
        self._moved, self._flood = Throttle(MOVED_S), Throttle()
        self._writer, self._pace = writer, Pace(writer)
        self._owner = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._deleted = asyncio.Event()
        self._trust, self._trusted = Trust(), True
        self._watch, self._pauses = Watch(settings.monitoring.offline_after_s), Pauses()
        limit_gib = self._monitoring.max_database_gib
        self._guard = Guard(limit_gib, database, self._holds, self._expire) if limit_gib else None
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._every("purge", PURGE_EVERY_S, self._purge, self._deleted)),
            loop.create_task(self._every("rollups", ROLL_EVERY_S, self._roll, asyncio.Event())),
            loop.create_task(self._every("presence", PRESENCE_EVERY_S, self._judge, asyncio.Event())),
            loop.create_task(self._every("webhook", PRESENCE_EVERY_S, self._call, asyncio.Event())),
            loop.create_task(self._every("tokens", USED_EVERY_S, self._note_used, asyncio.Event())),
            loop.create_task(self._every("quarantine", KEEP_EVERY_S, self._keep_refused, asyncio.Event())),
            loop.create_task(self._every("agents", USED_EVERY_S, self._note_agents, asyncio.Event())),
            loop.create_task(self._every("retention", RETAIN_EVERY_S, self._retain, asyncio.Event())),
        ]

    def purge_soon(self) -> None:
        """A host was deleted: its rows can go."""
        self._deleted.set()

    async def stop(self) -> None:
        """Ends at the next pause between two transactions."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _every(self, name: str, seconds: float, job: Callable[[], Awaitable[None]], soon: asyncio.Event) -> None:
        """The first time soon after the start: a process may be started again more often than a rare job comes."""
        wait_s = min(seconds, FIRST_S)
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(soon.wait(), wait_s)
            soon.clear()
            wait_s = seconds
            try:
                await job()
            except Exception as error:  # noqa: BLE001 - the job's top: it comes again
                logger.warning(event("job_failed", job=name, error=type(error).__name__, reason=error))

    async def _purge(self) -> None:
        """In transactions of at most 5,000 rows, so that no report waits long behind one."""
        total = 0
        while removed := await self._pace.run(lambda connection: purge.purge(connection, PURGE_ROWS)):
            total += removed
        if total:
            logger.info(event("purged", rows=total))

    async def _note_used(self) -> None:
        """Once a minute, so that a report costs no write of its own."""
        credentials = self._database.credentials
        used, previous = taken = credentials.take_used()
        if used or previous:
            now = moment(self._database.clock.now())
            with _unless_written(partial(credentials.put_back, taken)):
                await self._writer.run(partial(tokens.used, ids=used, previous=previous, now=now))

    async def _keep_refused(self) -> None:
        if self._refused.dropped and self._flood.allow(None) is not None:
            logger.warning(event("quarantine_dropped", reports=self._refused.take_dropped()))
        if self._database.is_up and (refused := self._refused.take()):
            with _unless_written(partial(self._refused.put_back, refused)):
                await self._pace.run(partial(quarantine.keep, refused=refused))

    async def _note_agents(self) -> None:
        """What was heard of them; a host that reports from another address is worth a line: someone may pose as it."""
        if not self._database.is_up:
            return
        for heard in self._heard.take():  # what fails is not forgotten there
            moved = await self._pace.run(partial(agents.note, heard=heard))
            now = {one.host_id: one.address for one in heard}
            for host_id, was in moved.items():
                if self._moved.allow(host_id) is not None:
                    audit("host_moved", logging.WARNING, host_id=host_id, was=was, now=now[host_id])

    async def _retain(self) -> None:
        """Table by table."""
        now = moment(self._database.clock.now())
        if not self._database.is_up or not self._believes(now):
            return
        removed = Counter({name: await self._expire(expire) for name, expire in expiries(self._monitoring, now)})
        if removed.total():
            logger.info(event("expired", **removed))
        if self._guard:
            await self._guard.keep(now)

    async def _holds(self) -> bool:
        return await self._writer.run(self._guarded(lambda _connection: True, otherwise=False))

    async def _expire(self, expire: Expire) -> int:
        """Removes all that one statement finds; gives how many rows went."""
        removed, after = 0, 0
        while True:
            sweep = partial(retention.sweep, expire=expire, after=after)
            progress = await self._pace.run(self._guarded(sweep, Progress(0, None)))
            removed += progress.removed
            if progress.after is None:
                return removed
            after = progress.after

    def _believes(self, now: datetime) -> bool:
        believed = self._trust.believes(now, time.monotonic())
        if self._trusted and not believed:
            logger.error(event("clock_jumped", now=now, reason="nothing is removed until as much time has passed"))
        self._trusted = believed
        return believed

    async def _roll(self) -> None:
        """Until nothing is due, or another process does it."""
        if not self._database.is_up:
            return
        began, total, plan = time.monotonic(), 0, NOTHING
        while (plan := await self._pace.run(self._guarded(partial(self._due, after=plan.after), NOTHING))).portions:
            for portion in plan.portions:
                made = await self._pace.run(self._guarded(partial(rollups.make, portion=portion), 0))
                if not made:
                    return
                total += made
        logger.debug(event("rolled", buckets=total, s=time.monotonic() - began))

    def _due(self, connection: Any, after: int) -> Plan:  # noqa: ANN401 - the writer's, which only statements look into
        return rollups.due(connection, moment(self._database.clock.now()), after)

    async def _judge(self) -> None:
        """Who fell silent, and who is back."""
        if not self._database.is_up:
            self._watch.begin_anew()
            return
        made = await self._writer.run(self._guarded(self._turns, None))
        if made is None:
            self._watch.begin_anew()
        for turn in made or ():
            logger.warning(event(f"host_{turn.kind}", host=turn.host_name, at=turn.at, last_seen=turn.last_seen))

    def _turns(self, connection: Any) -> list[Turn] | None:  # noqa: ANN401 - the writer's
        now, monitoring = moment(self._database.clock.now()), self._monitoring
        earliest = self._watch.earliest(now, time.monotonic(), presence.newest(connection))
        seen_after = now - timedelta(seconds=monitoring.offline_after_s)
        call = monitoring.webhook_url is not None
        return presence.turns(connection, hosts.Presence(now, seen_after), earliest, call=call)

    async def _call(self) -> None:
        """One call after the other, so that a host is back after it was silent; what fails is tried again."""
        url = self._monitoring.webhook_url
        if url is None or not self._database.is_up or not self._pauses.over(time.monotonic()):
            return
        since = moment(self._database.clock.now()) - webhook.GIVEN_UP_AFTER
        of_use = partial(presence.calls, since=since, most=CALLS)
        for call in await self._writer.run(self._guarded(of_use, list[Call]())):
            refused = await asyncio.to_thread(webhook.post, url.get_secret_value(), webhook.body(call))
            if refused is not None:
                logger.warning(event("webhook_failed", host=call.host_name, kind=call.kind, reason=refused))
            again = refused is not None and not webhook.is_final(refused)
            self._pauses.note(time.monotonic(), failed=again)
            if again:
                return
            await self._writer.run(partial(presence.called, call=call))

    def _guarded(self, job: Callable[[Any], T], otherwise: T) -> Callable[[Any], T]:
        dialect, owner = self._database.dialect, self._owner
        return leases.guarded(job, otherwise, dialect=dialect, name=LEASE, owner=owner, ttl_s=LEASE_TTL_S)
