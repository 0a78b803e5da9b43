"""The background jobs of one process."""

import asyncio
import contextlib
import logging

from database import hosts
from database.writer import Writer
from logger import event

logger = logging.getLogger(__name__)

PURGE_EVERY_S = 60.0
PURGE_ROWS = 5_000


class Jobs:
    """Runs on the event loop; the statements run on the writer's connection, between two batches.

    Removing what was deleted needs no lease: whoever locks the hidden host's row works on it, others pass it over.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._due = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def purge_soon(self) -> None:
        """A host was deleted: its rows can go."""
        self._due.set()

    async def stop(self) -> None:
        """Ends at the next pause between two transactions."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), PURGE_EVERY_S)
            self._due.clear()
            try:
                await self._purge()
            except Exception as error:  # noqa: BLE001 - the job's top: it comes again in a minute
                logger.warning(event("purge_failed", error=type(error).__name__, reason=error))

    async def _purge(self) -> None:
        """In transactions of at most 5,000 rows, so that no report waits long behind one."""
        total = 0
        while removed := await self._writer.run(lambda connection: hosts.purge(connection, PURGE_ROWS)):
            total += removed
        if total:
            logger.info(event("purged", rows=total))
