"""Brings a batch to an outcome: retries what is safe, isolates what is poisoned, asks after lost commits.

Before COMMIT is sent everything may be rolled back and written again. After it was sent and no clean answer was read
the outcome is unknown: the batch's identities are looked up, and if they are not there the batch is written again under
the very same ones, so that a lost COMMIT that executes late meets the primary key and not a second copy.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from database import batch as batches
from database import hosts, reports
from database.clock import Clock
from database.dialect import Dialect, ServerFacts
from database.faults import ROLLED_BACK, Fault, classify, number_of
from database.rows import Prepared, Record, Stored
from logger import Throttle, event
from model.envelope import Code, Failure
from utils.utils import micros, moment

logger = logging.getLogger(__name__)

MAX_CONFLICTS = 5
# Each look-up settles or moves at least the report that met the duplicate.
MAX_DUPLICATES = 1_000
# How long hosts that are locked elsewhere are passed over after a lock wait ran out: the acknowledgement deadline.
HELD_S = 15
RETRY_AFTER = {"Retry-After": "2"}
Outcome = Stored | Failure
Settle = Callable[[Prepared, Outcome], None]

_GIVE_UP = {
    Fault.STORAGE_FULL: (Code.STORAGE_FULL, "the database has no space left; try again later"),
    Fault.CORRUPT: (Code.DB_UNAVAILABLE, "the database file is damaged; nothing is written until it is restored"),
    Fault.SCHEMA: (Code.DB_UNAVAILABLE, "the database's tables are not those of this version"),
    Fault.OTHER: (Code.DB_UNAVAILABLE, "the database could not take the report; try again"),
    Fault.TIMEOUT: (Code.DB_UNAVAILABLE, "the database took too long; try again"),
    Fault.DUPLICATE: (Code.DB_UNAVAILABLE, "the database kept refusing the report's identity; try again"),
    Fault.CONFLICT: (Code.DB_UNAVAILABLE, "the database kept refusing in favour of other writers; try again"),
}


def unavailable(message: str = "the database is not available; try again", code: Code = Code.DB_UNAVAILABLE) -> Failure:
    """What a report gets that could not be written now but may be later."""
    return Failure(code, message, headers=RETRY_AFTER)


class Committer:
    """Writes batches on one connection of its own, from one thread."""

    def __init__(
        self,
        engine: Engine,
        dialect: Dialect,
        clock: Clock,
        settle: Settle,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._engine = engine
        self._dialect = dialect
        self._clock = clock
        self._settle = settle
        self._sleep = sleep
        self._connection: Connection | None = None
        self._facts: ServerFacts | None = None
        self._ids: dict[str, int] = {}
        self._skip_locked_until = 0.0
        self._alarms = Throttle()
        self.last_fault: Fault | None = None

    def connection(self) -> Connection:
        """The open connection, made anew after a loss."""
        if self._connection is None:
            self._connection = self._engine.connect()
            self._facts = self._dialect.facts(self._connection)
            self._connection.rollback()
        return self._connection

    def close(self, *, broken: bool = False) -> None:
        """Gives the connection up; a broken one is not given back to the pool."""
        if self._connection is not None:
            if broken:
                self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def run(self, job: Callable[[Connection], Any]) -> Any:  # noqa: ANN401 - whatever the job gives
        """Runs a job's statements in one transaction between two batches."""
        connection = self.connection()
        try:
            result = job(connection)
            connection.commit()
        except SQLAlchemyError:
            self.close(broken=True)
            raise
        return result

    def write(self, batch: Sequence[Prepared], *, unknown: bool = False) -> list[Prepared]:
        """Settles every report of the batch that is awaited; gives back those whose host is held elsewhere."""
        attempt = _Attempt(list(batch), unknown=unknown)
        while attempt.reports:
            attempt.committing = False
            try:
                self._transact(attempt)
            except batches.HostGone as gone:
                self._forget(gone.args[0])
                self._undo()
            except DBAPIError as error:
                self._recover(attempt, error)
            attempt.reports = [report for report in attempt.reports if report.awaited]
        return attempt.held

    def _transact(self, attempt: "_Attempt") -> None:
        """One try: names to ids, the statements, COMMIT."""
        connection = self.connection()
        if attempt.look_up or attempt.unknown:
            self._settle_known(connection, attempt)
        if not attempt.reports:
            return
        self._identify(connection, attempt.reports)
        written = self._statements(connection, attempt.reports)
        attempt.committing = True
        connection.commit()
        attempt.committing = False
        self.last_fault = None
        for report in written:
            self._settle(report, _stored(report))
        if len(written) < len(attempt.reports):
            attempt.held += [report for report in attempt.reports if report not in written]
        attempt.reports = []

    def _statements(self, connection: Connection, batch: Sequence[Prepared]) -> list[Prepared]:
        assert self._facts is not None  # noqa: S101 - set with the connection
        return batches.write(
            connection,
            self._dialect,
            batch,
            packet=self._facts.max_packet // 2,
            now=self._clock.now(),
            skip_locked=time.monotonic() < self._skip_locked_until,
        )

    def _identify(self, connection: Connection, batch: Sequence[Prepared]) -> None:
        """Gives each report its host's id; truly absent hosts are created in a short transaction of their own."""
        unknown = {report.host_name for report in batch} - self._ids.keys()
        if unknown:
            found = hosts.find(connection, list(unknown))
            if absent := unknown - found.keys():
                hosts.create(connection, absent, self._clock.now())
                connection.commit()
                found |= hosts.find(connection, list(absent))
            connection.rollback()
            self._ids |= found
        for report in batch:
            report.host_id = self._ids[report.host_name]
        batches.part(batch)

    def _forget(self, ids: set[int]) -> None:
        self._ids = {name: id_ for name, id_ in self._ids.items() if id_ not in ids}

    def _undo(self) -> None:
        """Rolls back; a connection that cannot even do that is given up."""
        try:
            if self._connection is not None:
                self._connection.rollback()
        except SQLAlchemyError:
            self.close(broken=True)

    def _recover(self, attempt: "_Attempt", error: DBAPIError) -> None:
        """Decides what an error means for the batch; on return the loop goes on with what is left of it."""
        fault = classify(error)
        self.last_fault = fault
        attempt.faults += 1
        attempt.unknown = attempt.unknown or (attempt.committing and fault not in ROLLED_BACK)
        self._report(fault, error, len(attempt.reports))
        if fault in _NEW_CONNECTION or attempt.committing:
            self.close(broken=True)
        else:
            self._undo()
        self._next(attempt, fault)

    def _report(self, fault: Fault, error: DBAPIError, reports_: int) -> None:
        """Alarms for what a person must mend, once a minute; the rest is the probe's to tell."""
        line = event("batch_fault", fault=fault.name, number=number_of(error), reports=reports_)
        if fault not in _ALARMING:
            logger.debug(line)
        elif (suppressed := self._alarms.allow(fault.name)) is not None:
            logger.error("%s suppressed=%d", line, suppressed)

    def _next(self, attempt: "_Attempt", fault: Fault) -> None:
        if fault is Fault.DUPLICATE and attempt.faults <= MAX_DUPLICATES:
            attempt.look_up = True
        elif fault is Fault.DATA:
            self._isolate(attempt)
        elif fault is Fault.LOCK_WAIT:
            # From now on hosts that are held are passed over, so that only their own reports wait.
            self._skip_locked_until = time.monotonic() + HELD_S
            self._pause(attempt, fault)
        elif fault in _GIVE_UP and (fault is not Fault.CONFLICT or attempt.faults > MAX_CONFLICTS):
            self._give_up(attempt, *_GIVE_UP[fault])
        else:
            if fault is Fault.HOST_GONE:
                self._forget({report.host_id for report in attempt.reports})
            self._pause(attempt, fault)

    def _pause(self, attempt: "_Attempt", fault: Fault) -> None:
        """Waits with full jitter: from 20 ms to 1 s after a conflict, from 0.1 to 5 s without a connection."""
        first, longest = (0.02, 1.0) if fault in _SOON else (0.1, 5.0)
        # In steps, so that a batch that nobody awaits any more does not hold the thread.
        left = random.uniform(0, min(longest, first * 2 ** min(attempt.faults, 8)))  # noqa: S311 - jitter is no secret
        while left > 0 and any(report.awaited for report in attempt.reports):
            self._sleep(min(left, 0.5))
            left -= 0.5

    def _give_up(self, attempt: "_Attempt", code: Code, message: str) -> None:
        if attempt.unknown:
            code, message = Code.COMMIT_UNKNOWN, "the outcome is not known yet; send the same report and key again"
        for report in attempt.reports:
            self._settle(report, unavailable(message, code))
        attempt.reports = []

    def _halve(self, attempt: "_Attempt") -> None:
        """Writes the halves one after the other, so that what is not held up commits."""
        middle = len(attempt.reports) // 2
        for half in (attempt.reports[:middle], attempt.reports[middle:]):
            attempt.held += self.write(half, unknown=attempt.unknown)
        attempt.reports = []

    def _isolate(self, attempt: "_Attempt") -> None:
        """Halves until the guilty report stands alone: at most 2 log2 n transactions more."""
        if len(attempt.reports) > 1:
            self._halve(attempt)
            return
        logger.error(event("report_refused_by_database", host=attempt.reports[0].host_name))
        for report in attempt.reports:
            self._settle(report, Failure(Code.VALIDATION, "the database refuses a value of this report"))
        attempt.reports = []

    def _settle_known(self, connection: Connection, attempt: "_Attempt") -> None:
        """A lost COMMIT, or a key or moment that is taken: settles what is stored, moves off the moments of others."""
        attempt.look_up = False
        stored = reports.by_identity(connection, attempt.reports)
        keys = reports.by_key(connection, [report.report_key for report in attempt.reports if report.report_key])
        connection.rollback()
        for report in list(attempt.reports):
            row = stored.get((report.host_id, moment(report.sampled_at)))
            if row is not None and batches.is_ours(row, report):
                self._settle(report, _stored(report))
            elif report.report_key in keys:
                self._settle(report, _repeat(keys[report.report_key], report))
            else:
                report.sampled_at += row is not None
                continue
            attempt.reports.remove(report)


class _Attempt:
    """A batch on its way: what is left of it, and what is known of its last try."""

    def __init__(self, batch: list[Prepared], *, unknown: bool) -> None:
        self.reports = batch
        self.held: list[Prepared] = []
        self.faults = 0
        self.committing = False
        self.unknown = unknown
        self.look_up = False


_NEW_CONNECTION = frozenset({Fault.LOST, Fault.NO_CONNECTION, Fault.REFUSED, Fault.READ_ONLY, Fault.OTHER})
_SOON = frozenset({Fault.CONFLICT, Fault.LOCK_WAIT, Fault.HOST_GONE})
_ALARMING = frozenset({Fault.DATA, Fault.STORAGE_FULL, Fault.SCHEMA, Fault.CORRUPT, Fault.OTHER})


def _stored(report: Prepared) -> Stored:
    return Stored(report.host_id, len(report.containers), report.received_at)


def _repeat(row: Record, report: Prepared) -> Outcome:
    """The answer to a key that is stored already."""
    if row.content_hash != report.content_hash:
        return Failure(Code.KEY_MISMATCH, "this Idempotency-Key was used for another report")
    return Stored(row.host_id, row.containers_count, micros(row.received_at), replayed=True)
