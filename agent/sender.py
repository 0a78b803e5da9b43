"""Delivers what the spool holds: the newest report first, then the backlog in batches, the oldest first."""

from __future__ import annotations

import logging
import random
import threading
from typing import TYPE_CHECKING, Any

from agent.server import Answer, Server, ServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.clock import Clock
    from agent.notices import Notices
    from agent.records import Record
    from agent.spool import Spool

logger = logging.getLogger(__name__)

# The server's limits of a batch are 500 reports and 2 MiB; a live report waits for one batch at most.
BATCH_REPORTS, BATCH_BYTES = 250, 1 << 20
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 64.0
# Of what Retry-After asks for: a proxy that says a day would mute the host for a day.
LONGEST_ASKED_S = 300.0
# After so many single reports batches are tried again, with two.
SINGLES = 100
# Sent again, a report would be refused again; anything else may be different next time.
FINAL = frozenset({400, 413, 415, 422})
FINAL_CODES = frozenset({"BAD_JSON", "BAD_REQUEST", "TOO_LARGE", "UNSUPPORTED", "VALIDATION", "KEY_MISMATCH"})
# An older server, or one whose proxy lets no batch through.
_NO_BATCH = FINAL | {404, 405}


class Later(Exception):
    """Not delivered this time; `asked_s` is how long the server wants to be left alone."""

    def __init__(self, reason: str, asked_s: float = 0.0) -> None:
        super().__init__(reason)
        self.asked_s = asked_s


class Sender:
    """A thread that sends whenever there is something, and pauses longer and longer while nobody takes it."""

    def __init__(self, spool: Spool, server: Server, clock: Clock, notices: Notices) -> None:
        self._spool, self._server, self._clock, self._notices = spool, server, clock, notices
        self._wake, self._stop = threading.Event(), threading.Event()
        self._live = -1
        self._delivered = False
        self._failures = self._singles = 0
        self._batch = BATCH_REPORTS
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is a new report."""
        self._wake.set()

    def stop(self, within_s: float) -> None:
        """Has it end after the request that is under way, for which it waits so long at most."""
        self._stop.set()
        self._wake.set()
        self._thread.join(within_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._turn()

    def _turn(self) -> None:
        try:
            more = self.step()
        except Later as later:
            self._notices.tell("server", f"{later}; reports are kept and sent later", about=str(later))
            self._stop.wait(pause_s(self._failures, later.asked_s))
            self._failures += 1
        except Exception:  # the thread's top: without it nothing would ever be sent again
            logger.exception("sending failed")
            self._stop.wait(LONGEST_PAUSE_S)
        else:
            self._failures = 0
            self._notices.over("server", f"{self._server.url}: takes reports again, {len(self._spool)} wait")
            if not more:
                self._wake.wait()
                self._wake.clear()

    def step(self) -> bool:
        """Sends the newest report if it is new, else a batch; False if there is nothing to send. Raises Later."""
        newest = self._spool.newest()
        if newest is None:
            return False
        if newest.number > self._live:
            self._one(newest)
            self._live = newest.number
            return True
        return self._backlog(self._spool.oldest(self._batch, BATCH_BYTES))

    def _backlog(self, records: Sequence[Record]) -> bool:
        """A batch of one is a report like any other: so a server without batches is not asked for one each time."""
        if len(records) > 1:
            self._many(records)
        elif records:
            self._one(records[0])
            self._singles += 1
            if self._singles % SINGLES == 0:
                self._batch = max(self._batch, 2)
        return bool(records)

    def _one(self, record: Record) -> None:
        answer = self._post("/api/resources", self._body(record, ""), record.key)
        if answer.status == 200 and answer.envelope:  # noqa: PLR2004 - committed
            self._stored([record.number])
        elif answer.status in FINAL and answer.envelope:
            self._reject(record, answer.said)
        else:
            raise Later(f"{self._server.url}: {answer.said}", answer.retry_after_s)

    def _many(self, records: Sequence[Record]) -> None:
        reports = ",".join(self._body(record, f',"idempotency_key":"{record.key}"') for record in records)
        answer = self._post("/api/resources/batch", f'{{"reports":[{reports}]}}')
        results = (answer.envelope.get("data") or {}).get("results") if answer.status in (200, 207) else None
        if isinstance(results, list) and len(results) == len(records):
            self._batch = min(self._batch * 2, BATCH_REPORTS)
            self._settle(records, results, answer)
        elif answer.status == 413:  # noqa: PLR2004 - too large for a proxy, perhaps
            self._batch = len(records) // 2
        elif answer.status in _NO_BATCH:
            self._batch = 1
        else:
            raise Later(f"{self._server.url}: {answer.said}", answer.retry_after_s)

    def _settle(self, records: Sequence[Record], results: Sequence[dict[str, Any]], answer: Answer) -> None:
        stored = [record.number for record, result in zip(records, results) if result.get("resultCode") == "0"]
        self._stored(stored)
        refused = [pair for pair in zip(records, results) if pair[1].get("resultCode") in FINAL_CODES]
        for record, result in refused:
            self._reject(record, f"{result.get('resultCode')}: {result.get('message')}")
        left = [result for result in results if result.get("resultCode") not in FINAL_CODES | {"0"}]
        if left:  # else they would be sent again at once
            reason = f"{left[0].get('resultCode')}: {left[0].get('message')}"
            raise Later(f"{self._server.url}: {reason}", answer.retry_after_s)

    def _stored(self, numbers: Sequence[int]) -> None:
        """The first time it is told: who has just set up an agent wants to know."""
        self._spool.settle(numbers)
        if numbers and not self._delivered:
            self._delivered = True
            logger.info("delivered to %s", self._server.url)

    def _reject(self, record: Record, reason: str) -> None:
        self._spool.reject(record, reason)
        self._notices.tell("rejected", f"the server refused a report for good, it is in rejected/: {reason}")

    def _post(self, path: str, text: str, key: str = "") -> Answer:
        try:
            return self._server.post(path, text, key)
        except ServerError as error:
            raise Later(str(error)) from error

    def _body(self, record: Record, more: str) -> str:
        """The report with its age as it is now: whoever sends it later says how much later."""
        return f'{record.report[:-1]},"age_s":{self._clock.age_s(record.stamp):.3f}{more}}}'


def pause_s(failures: int, asked_s: float) -> float:
    """What the server asked for, and on top up to twice as long after each failure: so the tries of a fleet spread."""
    limit = min(FIRST_PAUSE_S * 2 ** min(failures, 10), LONGEST_PAUSE_S)
    return min(asked_s, LONGEST_ASKED_S) + random.uniform(0, limit)  # noqa: S311 - not a secret
