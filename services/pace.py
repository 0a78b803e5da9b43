"""How often the background jobs have the writer's connection: one at a time, and reports first."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from database.writer import Writer

T = TypeVar("T")
# Reports have the connection for at most three times as long as a job had it. Other processes have a moment at any
# rate: SQLite lets one write at a time.
REST, POLL_S = 3, 0.005


class Pace:
    """The jobs' transactions of one process. Saturated, the intake keeps three quarters of the writer's time.

    Below that the jobs use what it leaves: their turn comes as soon as the writer gains on the queue.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._lock = asyncio.Lock()

    async def run(self, job: Callable[[Any], T]) -> T:
        """Runs one transaction, then rests; raises what the writer's `run` does."""
        async with self._lock:
            result, took_s = await self._writer.run(partial(_timed, job))
            await self._rest(took_s)
        return result

    async def _rest(self, took_s: float) -> None:
        """Until fewer reports wait than at the end of the job: with a steady stream there are always some."""
        waited, ends = self._writer.depth, time.monotonic() + REST * took_s
        await asyncio.sleep(POLL_S)
        while waited and self._writer.depth >= waited and time.monotonic() < ends:  # noqa: ASYNC110 - a thread empties it
            await asyncio.sleep(POLL_S)


def _timed(job: Callable[[Any], T], connection: Any) -> tuple[T, float]:  # noqa: ANN401 - the writer's
    began = time.monotonic()
    return job(connection), time.monotonic() - began
