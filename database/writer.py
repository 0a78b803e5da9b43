"""The group-commit writer: a bounded queue in front of one thread that commits whatever is waiting, batch by batch.

There is no timer: while one commit runs, the next batch forms. Futures live on the event loop; the thread hands it all
outcomes of a batch in one call.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from datetime import tzinfo
from typing import Any, TypeVar

from sqlalchemy import Connection

from database.committer import Committer, Outcome, unavailable
from database.database import Database
from database.rows import Prepared, Stored, prepare
from logger import event
from model.envelope import Code, Failure
from model.schemas import Report
from utils.utils import SECOND, local_second

logger = logging.getLogger(__name__)
T = TypeVar("T")

ACK_TIMEOUT_S = 15.0
MAX_QUEUE_REPORTS = 5_000
MAX_QUEUE_BYTES = 64 << 20
MAX_BATCH_REPORTS = 500
MAX_BATCH_ROWS = 10_000
MAX_BATCH_BYTES = 8 << 20
SWEEP_S = 0.25
HELD_PAUSE_S = 0.05


class Waiter:
    """One request that waits for a report's outcome; several may wait for one report (repeats of its key)."""

    __slots__ = ("deadline", "done", "future", "replayed")

    def __init__(self, future: asyncio.Future[Stored], deadline: float, *, replayed: bool) -> None:
        self.future = future
        self.deadline = deadline
        self.replayed = replayed
        self.done = False

    def resolve(self, outcome: Outcome) -> None:
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


class Writer:
    """Owns the writing connection and the thread that uses it."""

    def __init__(self, database: Database, zone: tzinfo | None) -> None:
        self._database = database
        self._zone = zone
        self._loop = asyncio.get_running_loop()
        self._clock = database.clock
        self._outcomes: list[tuple[Prepared, Outcome]] = []
        self._committer = Committer(database.writer_engine, database.dialect, database.clock, self._note)
        self._wake = threading.Condition()
        self._queue: deque[Prepared] = deque()
        self._jobs: deque[tuple[Callable[[Connection], Any], asyncio.Future[Any]]] = deque()
        self._held: list[Prepared] = []
        self._bytes = 0
        self._stopping = False
        self._keys: dict[bytes, Prepared] = {}
        self._waiting: deque[Waiter] = deque()
        self.last_commit: float | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._sweeper = self._loop.create_task(self._sweep())
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many reports wait to be written."""
        return len(self._queue) + len(self._held)

    @property
    def storage_full(self) -> bool:
        """Whether the last try to write failed for want of space."""
        fault = self._committer.last_fault
        return fault is not None and fault.name == "STORAGE_FULL"

    def submit(self, report: Report, key: str | None = None) -> asyncio.Future[Stored]:
        """Queues a validated report; the future ends when it is committed, or with a Failure that says why not.

        Raises a Failure at once when the queue is full (OVERLOADED) or there is no database to write to yet.
        """
        if not self._database.ready:
            raise unavailable()
        if len(self._queue) >= MAX_QUEUE_REPORTS or self._bytes >= MAX_QUEUE_BYTES:
            raise unavailable("too many reports are waiting; try again", Code.OVERLOADED)
        received_at = self._clock.stamp()
        prepared = prepare(
            report,
            key=key,
            received_at=received_at,
            now_local=local_second(received_at // SECOND, self._zone).replace("T", " "),
            dialect=self._database.dialect,
        )
        return self._attach(prepared) or self._enqueue(prepared)

    def _attach(self, prepared: Prepared) -> asyncio.Future[Stored] | None:
        """Joins an equal key that is on its way already."""
        first = self._keys.get(prepared.report_key) if prepared.report_key else None
        if first is None:
            return None
        if first.content_hash != prepared.content_hash:
            raise Failure(Code.KEY_MISMATCH, "this Idempotency-Key was used for another report")
        return self._wait(first, replayed=True)

    def _enqueue(self, prepared: Prepared) -> asyncio.Future[Stored]:
        if prepared.report_key:
            self._keys[prepared.report_key] = prepared
        future = self._wait(prepared, replayed=False)
        with self._wake:
            self._queue.append(prepared)
            self._bytes += prepared.size
            self._wake.notify()
        return future

    def _wait(self, prepared: Prepared, *, replayed: bool) -> asyncio.Future[Stored]:
        waiter = Waiter(self._loop.create_future(), time.monotonic() + ACK_TIMEOUT_S, replayed=replayed)
        prepared.waiters.append(waiter)
        self._waiting.append(waiter)
        return waiter.future

    def run(self, job: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Runs a job's statements between two batches, in one transaction that is committed behind it."""
        future: asyncio.Future[T] = self._loop.create_future()
        with self._wake:
            self._jobs.append((job, future))
            self._wake.notify()
        return future

    async def stop(self) -> None:
        """Writes what is queued, then ends the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join, ACK_TIMEOUT_S + 5)
        self._sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sweeper

    async def _sweep(self) -> None:
        """Answers requests whose deadline has passed; waiters stand in the order of their deadlines."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            while self._waiting and (self._waiting[0].done or self._waiting[0].deadline <= now):
                waiter = self._waiting.popleft()
                if not waiter.done:
                    waiter.resolve(self._late())
            self._forget_abandoned()

    def _late(self) -> Failure:
        message = "the outcome was not known in time; send the same report and key again"
        return unavailable(message, Code.COMMIT_UNKNOWN if self._database.is_up else Code.DB_UNAVAILABLE)

    def _note(self, prepared: Prepared, outcome: Outcome) -> None:
        """Collects outcomes in the writer's thread."""
        self._outcomes.append((prepared, outcome))

    def _settle(self, outcomes: list[tuple[Prepared, Outcome]]) -> None:
        """Answers the requests of a batch, on the event loop."""
        for prepared, outcome in outcomes:
            if prepared.report_key:
                self._keys.pop(prepared.report_key, None)
            for waiter in prepared.waiters:
                waiter.resolve(outcome)

    def _forget_abandoned(self) -> None:
        """Lets go of keys whose requests have all been answered already by their deadline."""
        for key in [key for key, prepared in self._keys.items() if not prepared.awaited]:
            del self._keys[key]

    def _run(self) -> None:
        """The thread: its top catches everything, for without it nothing would ever be written again."""
        while True:
            work = self._take()
            if work is None:
                break
            try:
                self._do(*work)
            except Exception as error:  # the thread's top: it must outlive any bug
                logger.exception(event("writer_failed", reports=len(work[0])))
                self._fail(work[0], error)
            self._hand_over()
        self._committer.close()

    def _take(self) -> tuple[list[Prepared], list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]]] | None:
        """Waits for work; None when all is written and the writer stops."""
        with self._wake:
            while not (self._queue or self._jobs or self._held or self._stopping):
                self._wake.wait()
            if self._held and not self._queue:
                self._wake.wait(HELD_PAUSE_S)
            if self._stopping and not (self._queue or self._jobs or self._held):
                return None
            jobs = list(self._jobs)
            self._jobs.clear()
            return self._batch(), jobs

    def _batch(self) -> list[Prepared]:
        """What waits, up to the limits of one transaction; a report nobody awaits any more is dropped, not written."""
        batch = [report for report in self._held if report.awaited]
        self._held = []
        rows = size = 0
        while self._queue and len(batch) < MAX_BATCH_REPORTS and rows < MAX_BATCH_ROWS and size < MAX_BATCH_BYTES:
            report = self._queue.popleft()
            self._bytes -= report.size
            if report.awaited:
                batch.append(report)
                rows += len(report.containers)
                size += report.size
        return batch

    def _do(self, batch: list[Prepared], jobs: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]]) -> None:
        for job, future in jobs:
            self._run_job(job, future)
        if batch:
            began = time.monotonic()
            self._held = self._committer.write(batch)
            self._log_commit(began)

    def _run_job(self, job: Callable[[Connection], Any], future: asyncio.Future[Any]) -> None:
        try:
            result = self._committer.run(job)
        except Exception as error:  # noqa: BLE001 - the caller's, whatever it is
            self._loop.call_soon_threadsafe(_end, future, None, error)
        else:
            self._loop.call_soon_threadsafe(_end, future, result, None)

    def _log_commit(self, began: float) -> None:
        stored = [report for report, outcome in self._outcomes if isinstance(outcome, Stored)]
        if not stored:
            return
        self.last_commit = time.monotonic()
        containers = sum(len(report.containers) for report in stored)
        names = ",".join(report.host_name for report in stored[:20])
        took = (self.last_commit - began) * 1000
        logger.info(event("commit", reports=len(stored), containers=containers, ms=took, hosts=names))

    def _fail(self, batch: list[Prepared], error: Exception) -> None:
        """A bug, not a fault of the database: whoever waits is told, and a traceback is in the log."""
        settled = {id(prepared) for prepared, _ in self._outcomes}
        failure = Failure(Code.INTERNAL, "internal error; the log has the details")
        failure.__cause__ = error
        self._outcomes += [(prepared, failure) for prepared in batch if id(prepared) not in settled]
        self._committer.close(broken=True)

    def _hand_over(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        self._loop.call_soon_threadsafe(self._settle, outcomes)


def _end(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
