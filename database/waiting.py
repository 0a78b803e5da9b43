"""The requests that wait for a report's outcome. They live on the event loop; the writer's thread only reads `done`."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from database.rows import Prepared, Stored
from model.envelope import Failure


class Waiter:
    """One request that waits for a report's outcome; several may wait for one report (repeats of its key).

    It does not know its report: the two would keep each other in memory until the collector comes by.
    """

    __slots__ = ("deadline", "done", "future", "replayed")

    def __init__(self, future: asyncio.Future[Stored], deadline: float, *, replayed: bool) -> None:
        self.future = future
        self.deadline = deadline
        self.replayed = replayed
        self.done = False

    def resolve(self, outcome: Stored | Failure) -> None:
        """Gives the outcome to whoever still listens: a client that hung up changes nothing."""
        self.done = True
        if self.future.done():
            return
        if isinstance(outcome, Failure):
            self.future.set_exception(outcome)
        elif self.replayed:
            self.future.set_result(replace(outcome, replayed=True))
        else:
            self.future.set_result(outcome)


class Waiting:
    """All waiters with their reports, in the order of their deadlines."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._waiters: deque[tuple[Waiter, Prepared]] = deque()

    def __bool__(self) -> bool:
        """Whether anyone waits, or did a moment ago."""
        return bool(self._waiters)

    def add(self, prepared: Prepared, *, replayed: bool) -> asyncio.Future[Stored]:
        """One more request that waits for this report."""
        future: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        waiter = Waiter(future, time.monotonic() + self._timeout_s, replayed=replayed)
        prepared.waiters.append(waiter)
        self._waiters.append((waiter, prepared))
        return future

    def expire(self, now: float, failure: Callable[[Prepared], Failure]) -> None:
        """Answers those whose deadline has passed; infinity means everyone."""
        while self._waiters and (self._waiters[0][0].done or self._waiters[0][0].deadline <= now):
            waiter, prepared = self._waiters.popleft()
            if not waiter.done:
                waiter.resolve(failure(prepared))
