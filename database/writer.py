"""The group-commit writer: a bounded queue in front of one thread that commits whatever is waiting, batch by batch.

There is no timer: while one commit runs, the next batch forms. Futures live on the event loop; the thread hands it all
outcomes of a transaction in one call.
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import tzinfo
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from database.committer import Committer, Outcome, Outcomes
from database.database import WRITER_TIMEOUT_S, Database
from database.faults import Fault
from database.host_ids import NewHosts
from database.rows import Prepared, Stored, prepare
from database.waiting import Waiting
from logger import event
from model.envelope import Code, Failure, unavailable
from model.schemas import Report
from utils.utils import SECOND, local_second

logger = logging.getLogger(__name__)
T = TypeVar("T")
Job = tuple[Callable[[Connection], Any], asyncio.Future[Any]]

ACK_TIMEOUT_S = 15.0
MAX_QUEUE_REPORTS = 5_000
MAX_QUEUE_BYTES = 64 << 20
MAX_BATCH_REPORTS = 500
MAX_BATCH_ROWS = 10_000
MAX_BATCH_BYTES = 8 << 20
# An outage that has lasted so long may last on. It is longer than the deadline, because the probe sees its end late.
AWAY_S = ACK_TIMEOUT_S + 5
SWEEP_S = 0.25
HELD_PAUSE_S = 0.05
# A statement that a stop finds running may still wait for a connection and for its answer.
STOP_S = ACK_TIMEOUT_S + 2 * WRITER_TIMEOUT_S
# So long after a refusal `/health` believes that the next report would be refused too: without traffic none is tried.
BLOCKED_S = 30.0
# A batch that takes longer waits for somebody's lock, whatever the probe says of the database.
STUCK_S = 5.0
_BLOCKING = frozenset({Fault.STORAGE_FULL, Fault.UNWRITABLE, Fault.CORRUPT, Fault.SCHEMA})


class Writer:
    """Owns the writing connection and the thread that uses it; lives on one event loop.

    `max_new_hosts` is how many hosts it makes within an hour; 0 is no limit.
    """

    def __init__(self, database: Database, zone: tzinfo | None, *, max_new_hosts: int = 0) -> None:
        self._database = database
        self._zone = zone
        self._loop = asyncio.get_running_loop()
        self._clock = database.clock
        new_hosts = NewHosts(max_new_hosts)
        self._committer = Committer(
            database.writer_engine, database.dialect, database.clock, self._note, new_hosts=new_hosts
        )
        self._wake = threading.Condition()
        self._queue: deque[Prepared] = deque()
        self._jobs: deque[Job] = deque()
        self._bytes = 0
        self._all_held = False
        self._stopping = False
        self._keys: dict[bytes, Prepared] = {}
        self._waiting = Waiting(ACK_TIMEOUT_S)
        self.last_commit: float | None = None
        self._began = 0.0
        self._in_hand = 0
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._sweeper = self._loop.create_task(self._sweep())
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many reports wait to be written, those that are being written included."""
        return len(self._queue) + self._in_hand

    @property
    def blocked(self) -> Code | None:
        """Why the next report would not be stored: for want of space, of tables, of a sound file, or of a lock."""
        now, fault = time.monotonic(), self._committer.last_fault
        recent = now - self._committer.last_fault_at < BLOCKED_S
        if fault is Fault.STORAGE_FULL and recent:
            return Code.STORAGE_FULL
        lasting = fault is Fault.CORRUPT or (fault in _BLOCKING and recent)
        stuck = self._in_hand and now - self._began > STUCK_S
        return Code.DB_UNAVAILABLE if lasting or stuck else None

    def submit(self, report: Report, key: str | None = None) -> asyncio.Future[Stored]:
        """Queues a validated report; the future ends when it is committed, or with a Failure that says why not.

        Raises a Failure at once when the queue is full (OVERLOADED), or while there is no database to write to.
        """
        if not self._database.ready or self._stopping or self._is_hopeless():
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

    def _is_hopeless(self) -> bool:
        """Whether the database has been away for long and somebody waits for its return already.

        Nobody else need wait: the one who does keeps the writer trying.
        """
        since = self._database.away_since
        failing = self._committer.last_fault is not None  # the probe alone may be wrong
        return failing and since is not None and bool(self._waiting) and time.monotonic() - since > AWAY_S

    def _attach(self, prepared: Prepared) -> asyncio.Future[Stored] | None:
        """Joins an equal key that is on its way already."""
        first = self._keys.get(prepared.report_key) if prepared.report_key else None
        if first is None:
            return None
        if first.content_hash != prepared.content_hash:
            raise Failure(Code.KEY_MISMATCH, "this Idempotency-Key was used for another report")
        return self._waiting.add(first, replayed=True)

    def _enqueue(self, prepared: Prepared) -> asyncio.Future[Stored]:
        if prepared.report_key:
            self._keys[prepared.report_key] = prepared
        future = self._waiting.add(prepared, replayed=False)
        with self._wake:
            self._queue.append(prepared)
            self._bytes += prepared.size
            self._wake.notify()
        return future

    def run(self, job: Callable[[Connection], T]) -> asyncio.Future[T]:
        """Runs a job's statements between two batches, in one transaction that is committed behind it.

        The future ends with its result, with its own exception, or with a Failure if the database is at fault.
        """
        if self._stopping:
            raise unavailable()
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
        await asyncio.to_thread(self._thread.join, STOP_S)
        self._sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sweeper
        self._waiting.expire(math.inf, self._late)

    async def _sweep(self) -> None:
        """Answers requests whose deadline has passed."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self._waiting.expire(time.monotonic(), self._late)
            self._forget_abandoned()

    @staticmethod
    def _late(prepared: Prepared) -> Failure:
        """What is told at the deadline; the report itself knows whether a COMMIT of it may have been executed."""
        if prepared.maybe_stored:
            return unavailable(
                "the outcome was not known in time; send the same report and key again", Code.COMMIT_UNKNOWN
            )
        return unavailable("the database did not take the report in time; send it again")

    def _note(self, outcomes: Outcomes) -> None:
        """Takes the outcomes of a transaction, in the writer's thread."""
        self._in_hand -= len(outcomes)
        self._log_commit([report for report, outcome in outcomes if _written(outcome)])
        self._post(self._settle, outcomes)

    def _settle(self, outcomes: Outcomes) -> None:
        """Answers the requests of a transaction, on the event loop."""
        for prepared, outcome in outcomes:
            if prepared.report_key and self._keys.get(prepared.report_key) is prepared:
                del self._keys[prepared.report_key]
            for waiter in prepared.waiters:
                waiter.resolve(outcome)

    def _forget_abandoned(self) -> None:
        """Lets go of keys whose requests have all been answered already by their deadline."""
        for key in [key for key, prepared in self._keys.items() if not prepared.awaited]:
            del self._keys[key]

    def _run(self) -> None:
        """The thread: its top catches everything, for without it nothing would ever be written again."""
        while (work := self._take()) is not None:
            batch, jobs = work
            try:
                self._do(batch, jobs)
            except Exception as error:  # the thread's top: it must outlive any bug
                logger.exception(event("writer_failed", reports=len(batch)))
                self._fail(batch, error)
        self._committer.close()

    def _take(self) -> tuple[list[Prepared], list[Job]] | None:
        """Waits for work; None when all is written and the writer stops."""
        with self._wake:
            while not (self._queue or self._jobs or self._stopping):
                self._wake.wait()
            if self._all_held:
                self._wake.wait(HELD_PAUSE_S)
                self._all_held = False
            if not (self._queue or self._jobs):
                return None
            jobs = list(self._jobs)
            self._jobs.clear()
            return self._batch(), jobs

    def _batch(self) -> list[Prepared]:
        """What waits, up to the limits of one transaction; a report nobody awaits any more is dropped, not written."""
        batch: list[Prepared] = []
        rows = size = 0
        while self._queue and len(batch) < MAX_BATCH_REPORTS and rows < MAX_BATCH_ROWS and size < MAX_BATCH_BYTES:
            report = self._queue.popleft()
            self._bytes -= report.size
            if report.awaited:
                batch.append(report)
                rows += report.containers_count
                size += report.size
        return batch

    def _do(self, batch: list[Prepared], jobs: list[Job]) -> None:
        for job, future in jobs:
            self._run_job(job, future)
        if batch:
            self._began, self._in_hand = time.monotonic(), len(batch)
            try:
                self._put_back(self._committer.write(batch), len(batch))
            finally:
                self._in_hand = 0

    def _put_back(self, held: list[Prepared], tried: int) -> None:
        """Reports whose host is held elsewhere queue up again at the end: nobody else's report waits for them."""
        with self._wake:
            self._queue.extend(held)
            self._bytes += sum(report.size for report in held)
            self._all_held = len(held) == tried

    def _run_job(self, job: Callable[[Connection], Any], future: asyncio.Future[Any]) -> None:
        if future.done():  # whoever asked for it has gone
            return
        try:
            result = self._committer.run(job)
        except DBAPIError as error:
            failure = unavailable()
            failure.__cause__ = error
            self._post(_end, future, None, failure)
        except Exception as error:  # noqa: BLE001 - the caller's, whatever it is
            self._post(_end, future, None, error)
        else:
            self._post(_end, future, result, None)

    def _log_commit(self, written: list[Prepared]) -> None:
        if not written:
            return
        self.last_commit = time.monotonic()
        containers = sum(report.containers_count for report in written)
        names = ",".join(report.host_name for report in written[:20])
        took = (self.last_commit - self._began) * 1000
        logger.info(event("commit", reports=len(written), containers=containers, ms=took, hosts=names))

    def _fail(self, batch: list[Prepared], error: Exception) -> None:
        """A bug, not a fault of the database: whoever still waits is told, and a traceback is in the log."""
        failure = Failure(Code.INTERNAL, "internal error; the log has the details")
        failure.__cause__ = error
        self._post(self._settle, [(prepared, failure) for prepared in batch])
        self._committer.close()

    def _post(self, function: Callable[..., None], *arguments: object) -> None:
        """Calls a function on the event loop; one that is closed has nobody left to tell."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)


def _written(outcome: Outcome) -> bool:
    return isinstance(outcome, Stored) and not outcome.replayed


def _end(future: asyncio.Future[Any], result: object, error: Exception | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
