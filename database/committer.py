"""Brings a batch to an outcome: retries what is safe, isolates what is poisoned, asks after lost commits.

Before COMMIT is sent everything may be rolled back and written again. After it was sent and no clean answer was read
the outcome is unknown: the batch's identities are looked up, and if they are not there the batch is written again under
the very same ones, so that a lost COMMIT that executes late meets the primary key and not a second copy.
"""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from database import batch as batches
from database import reports
from database.attempt import Attempt
from database.clock import Clock
from database.dialect import Dialect, ServerFacts
from database.faults import Fault, Step, classify, judged, next_step, number_of
from database.host_ids import HostIds, NewHosts, TooManyHosts
from database.rows import Prepared, Record, Stored
from logger import Throttle, event
from model.envelope import Code, Failure, too_often, unavailable
from utils.utils import micros, moment

logger = logging.getLogger(__name__)

# How long hosts that are locked elsewhere are passed over after a lock wait ran out: the acknowledgement deadline.
PASS_OVER_S = 15
# So many unforeseen errors are looked into, one by one; more are no single report's fault.
MAX_SEARCHES = 32
Outcome = Stored | Failure
Outcomes = list[tuple[Prepared, Outcome]]

_UNKNOWN = "the outcome is not known yet; send the same report and key again"
JOB_UNKNOWN = "the outcome is not known; look whether it was done before you ask again"
_GIVE_UP = {
    Fault.STORAGE_FULL: (Code.STORAGE_FULL, "the database has no space left; try again later"),
    Fault.CORRUPT: (Code.DB_UNAVAILABLE, "the database file is damaged; nothing is written until it is restored"),
    Fault.UNWRITABLE: (Code.DB_UNAVAILABLE, "the database file cannot be written"),
    Fault.SCHEMA: (Code.DB_UNAVAILABLE, "the database's tables are not those of this version"),
    Fault.OTHER: (Code.DB_UNAVAILABLE, "the database could not take the report; try again"),
    Fault.TIMEOUT: (Code.DB_UNAVAILABLE, "the database took too long; try again"),
    Fault.DUPLICATE: (Code.DB_UNAVAILABLE, "the database kept refusing the report's identity; try again"),
    Fault.CONFLICT: (Code.DB_UNAVAILABLE, "the database kept refusing in favour of other writers; try again"),
    Fault.LOCK_WAIT: (Code.DB_UNAVAILABLE, "the database kept what the report needs locked; try again"),
    Fault.HOST_GONE: (Code.DB_UNAVAILABLE, "the report's host could not be found or made; try again"),
}
_NEW_CONNECTION = frozenset({Fault.LOST, Fault.NO_CONNECTION, Fault.REFUSED, Fault.READ_ONLY, Fault.OTHER})
_ALARMING = frozenset({Fault.DATA, Fault.STORAGE_FULL, Fault.UNWRITABLE, Fault.SCHEMA, Fault.CORRUPT, Fault.OTHER})


class Committer:
    """Writes batches on one connection of its own, from one thread. `settle` gets the outcomes of each transaction."""

    def __init__(
        self,
        engine: Engine,
        dialect: Dialect,
        clock: Clock,
        settle: Callable[[Outcomes], None],
        sleep: Callable[[float], None] = time.sleep,
        *,
        new_hosts: NewHosts | None = None,
    ) -> None:
        self._engine = engine
        self._dialect = dialect
        self._clock = clock
        self._settle = settle
        self._sleep = sleep
        self._connection: Connection | None = None
        self._facts: ServerFacts | None = None
        self._ids = HostIds(new_hosts)
        self._pass_over_until = 0.0
        self._pieces: deque[Attempt] = deque()
        self._held: list[Prepared] = []
        self._searches = 0
        self._alarms = Throttle()
        self.last_fault: Fault | None = None
        self.last_fault_at = 0.0

    def connection(self) -> Connection:
        """The open connection, made anew after a loss."""
        if self._connection is None:
            connection = self._engine.connect()
            try:
                self._facts = self._dialect.facts(connection)
                connection.rollback()
            except BaseException:
                _discard(connection)
                raise
            self._connection = connection
        return self._connection

    def close(self) -> None:
        """Gives the connection up, whatever state it is in; it does not go back to the pool."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _discard(connection)

    def run(self, job: Callable[[Connection], Any]) -> Any:  # noqa: ANN401 - whatever the job gives
        """Runs a job's statements in one transaction between two batches."""
        if self.last_fault is Fault.CORRUPT:
            raise unavailable(_GIVE_UP[Fault.CORRUPT][1])
        connection = self.connection()
        try:
            result = job(connection)
            _commit(connection)
        except BaseException:  # nothing of it may stay for the next batch to commit
            self.close()
            raise
        return result

    def write(self, batch: Sequence[Prepared]) -> list[Prepared]:
        """Settles every report of the batch that is awaited; gives back those whose host is held elsewhere."""
        self._pieces = deque([Attempt(list(batch))])
        self._held, self._searches = [], 0
        while self._pieces:
            attempt = self._pieces.popleft()
            while attempt.reports:
                self._try(attempt)
                attempt.drop_abandoned()
        return self._held

    def _try(self, attempt: Attempt) -> None:
        attempt.committing = False
        if self.last_fault is Fault.CORRUPT:  # another write may damage more
            self._give_up(attempt, Fault.CORRUPT)
            return
        try:
            self._transact(attempt)
        except batches.HostGone as gone:
            self._ids.forget(gone.args[0])
            self._undo()
            self._next(attempt, Fault.HOST_GONE)
        except TooManyHosts as surplus:
            self._turn_away(attempt, surplus)
        except DBAPIError as error:
            self._recover(attempt, error)

    def _transact(self, attempt: Attempt) -> None:
        """One try: names to ids, the statements, COMMIT."""
        connection = self.connection()
        if attempt.look_up or attempt.unknown:
            self._settle_known(connection, attempt)
        if not attempt.reports:
            return
        self._ids.give(connection, attempt.reports, self._clock.now())
        batches.part(attempt.reports)
        written = self._statements(connection, attempt.reports)
        attempt.committing = True
        for report in written:
            report.maybe_stored = True  # a deadline may pass while the answer is outstanding
        connection.commit()
        attempt.committing = False
        self.last_fault = None
        if len(written) < len(attempt.reports):
            wrote = set(written)
            self._held += [report for report in attempt.reports if report not in wrote]
        attempt.reports = []
        self._settle([(report, _stored(report)) for report in written])

    def _turn_away(self, attempt: Attempt, surplus: TooManyHosts) -> None:
        """Refuses the reports of hosts that may not be made now; the others are tried again without them."""
        refused = [report for report in attempt.reports if report.host_name in surplus.names]
        failure = too_often("too many new hosts; try again later", surplus.wait_s)
        if attempt.unknown:
            failure = unavailable(_UNKNOWN, Code.COMMIT_UNKNOWN)
        attempt.reports = [report for report in attempt.reports if report.host_name not in surplus.names]
        self._settle([(report, failure) for report in refused])

    def _statements(self, connection: Connection, batch: Sequence[Prepared]) -> list[Prepared]:
        assert self._facts is not None  # noqa: S101 - set with the connection
        return batches.write(
            connection,
            self._dialect,
            batch,
            packet=self._facts.max_packet // 2,
            now=self._clock.now(),
            skip_locked=time.monotonic() < self._pass_over_until,
        )

    def _undo(self) -> None:
        """Rolls back; a connection that cannot even do that is given up."""
        try:
            if self._connection is not None:
                self._connection.rollback()
        except SQLAlchemyError:
            self.close()

    def _recover(self, attempt: Attempt, error: DBAPIError) -> None:
        """Decides what an error means for the batch; on return the loop goes on with what is left of it."""
        fault = classify(error)
        self.last_fault, self.last_fault_at = fault, time.monotonic()
        if attempt.committing and not judged(error):
            attempt.doubt()
        self._report(fault, error, len(attempt.reports))
        if fault in _NEW_CONNECTION or attempt.committing or error.connection_invalidated:
            self.close()
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

    def _next(self, attempt: Attempt, fault: Fault) -> None:
        attempt.met[fault] += 1
        step = next_step(fault, attempt.met[fault])
        if step is Step.GIVE_UP:
            self._give_up(attempt, fault)
        elif step is Step.ISOLATE:
            self._isolate(attempt, fault)
        elif step is Step.LOOK_UP:
            attempt.look_up = True
        else:
            if step is Step.PASS_OVER:
                # From now on hosts that are held are passed over, so that only their own reports wait.
                self._pass_over_until = time.monotonic() + PASS_OVER_S
            elif fault is Fault.HOST_GONE:
                self._ids.forget({report.host_id for report in attempt.reports})
            attempt.pause(fault, self._sleep)

    def _give_up(self, attempt: Attempt, fault: Fault) -> None:
        code, message = (Code.COMMIT_UNKNOWN, _UNKNOWN) if attempt.unknown else _GIVE_UP[fault]
        self._settle([(report, unavailable(message, code)) for report in attempt.reports])
        attempt.reports = []

    def _isolate(self, attempt: Attempt, fault: Fault) -> None:
        """Halves until the guilty report stands alone: at most 2 log2 n transactions more.

        The halves wait behind what is still to be written, so that most sound reports do not wait for the search.
        """
        self._searches += fault is not Fault.DATA
        if len(attempt.reports) > 1 and (fault is Fault.DATA or self._searches <= MAX_SEARCHES):
            self._pieces.extend(attempt.halve())
        elif fault is Fault.DATA:
            self._refuse(attempt)
        else:
            self._give_up(attempt, fault)

    def _refuse(self, attempt: Attempt) -> None:
        logger.error(event("report_refused_by_database", host=attempt.reports[0].host_name))
        refused = Failure(Code.VALIDATION, "the database refuses a value of this report")
        self._settle([(report, refused) for report in attempt.reports])
        attempt.reports = []

    def _settle_known(self, connection: Connection, attempt: Attempt) -> None:
        """A lost COMMIT, or a key or moment that is taken: settles what is stored, moves off the moments of others."""
        attempt.look_up = False
        stored = reports.by_identity(connection, attempt.reports)
        keys = reports.by_key(connection, [report.report_key for report in attempt.reports if report.report_key])
        connection.rollback()
        known: Outcomes = []
        moved = False
        for report in attempt.reports:
            row = stored.get((report.host_id, moment(report.sampled_at)))
            if row is not None and batches.is_ours(row, report):
                known.append((report, _stored(report)))
            elif report.report_key in keys:
                known.append((report, _repeat(keys[report.report_key], report)))
            elif row is not None:
                report.sampled_at += 1
                moved = True
        if known or moved:
            attempt.met[Fault.DUPLICATE] = 0
        settled = {report for report, _ in known}
        attempt.reports = [report for report in attempt.reports if report not in settled]
        self._settle(known)


def _commit(connection: Connection) -> None:
    """Commits a job. Raises COMMIT_UNKNOWN where no answer proves that it was undone."""
    try:
        connection.commit()
    except DBAPIError as error:
        if judged(error):
            raise
        raise unavailable(JOB_UNKNOWN, Code.COMMIT_UNKNOWN) from error


def _discard(connection: Connection) -> None:
    """Closes what is in doubt; whether it can still be closed in good order does not matter."""
    with contextlib.suppress(Exception):
        connection.invalidate()
        connection.close()


def _stored(report: Prepared) -> Stored:
    return Stored(report.host_id, report.containers_count, report.received_at)


def _repeat(row: Record, report: Prepared) -> Outcome:
    """The answer to a key that is stored already."""
    if row.content_hash != report.content_hash:
        return Failure(Code.KEY_MISMATCH, "this Idempotency-Key was used for another report")
    return Stored(row.host_id, row.containers_count, micros(row.received_at), replayed=True)
