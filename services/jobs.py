"""The background jobs of one process."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable

from sqlalchemy import Connection

from database import hosts, leases, rollups
from database.database import Database
from database.writer import Writer
from logger import event
from utils.utils import moment

logger = logging.getLogger(__name__)

PURGE_EVERY_S = 60.0
PURGE_ROWS = 5_000
ROLL_EVERY_S = 5.0
# A holder that was killed is replaced within this and one round.
LEASE, LEASE_TTL_S = "history", 20.0


class Jobs:
    """Runs on the event loop; the statements run on the writer's connection, between two batches.

    Removing what was deleted needs no lease: whoever locks the hidden host's row works on it, others pass it over. Of
    several processes one makes the aggregates, as long as it holds the lease.
    """

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer
        self._owner = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._deleted = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._every("purge", PURGE_EVERY_S, self._purge, self._deleted)),
            loop.create_task(self._every("rollups", ROLL_EVERY_S, self._roll, asyncio.Event())),
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
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(soon.wait(), seconds)
            soon.clear()
            try:
                await job()
            except Exception as error:  # noqa: BLE001 - the job's top: it comes again
                logger.warning(event("job_failed", job=name, error=type(error).__name__, reason=error))

    async def _purge(self) -> None:
        """In transactions of at most 5,000 rows, so that no report waits long behind one."""
        total = 0
        while removed := await self._writer.run(lambda connection: hosts.purge(connection, PURGE_ROWS)):
            total += removed
        if total:
            logger.info(event("purged", rows=total))

    async def _roll(self) -> None:
        """Until nothing is due; between two transactions the writer has its turn."""
        if not self._database.is_up:
            return
        began, total = time.monotonic(), 0
        while made := await self._writer.run(self._step):
            total += made
        if total:
            logger.debug(event("rolled", buckets=total, s=time.monotonic() - began))

    def _step(self, connection: Connection) -> int:
        if not leases.hold(connection, self._database.dialect, LEASE, self._owner, LEASE_TTL_S):
            return 0
        return rollups.step(connection, moment(self._database.clock.now()))
