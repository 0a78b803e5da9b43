"""A walk through the tiers of a host: from the coarsest that divides a step, as far as it is made, then finer ones.

Where even the finest tier is not made yet, and of hosts that report too seldom for it, the rows themselves are read.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from sqlalchemy import Connection, func, select

from database.buckets import Span
from database.rollups import SETTLE, begin
from database.series import own_id
from model.history import TIERS, rollup_due, rollups
from model.models import rollup_pending

T = TypeVar("T")


class Cadence:
    """How often a host reported in each step: by what its buckets were made under, else as it does now."""

    def __init__(self, step_s: int, interval_s: float | None) -> None:
        self._step_s, self._interval_s = step_s, interval_s
        self._known: dict[datetime, list[tuple[int, float]]] = defaultdict(list)

    def learn(self, at: datetime, seconds: int, interval_s: float | None) -> None:
        """Takes the interval of a bucket of so many seconds."""
        if interval_s:
            self._known[begin(at, self._step_s)].append((seconds, interval_s))

    def expected(self, at: datetime, now: datetime) -> float | None:
        """How many reports a step should hold; of one that has not ended, what has passed of it."""
        passed_s = (min(at + timedelta(seconds=self._step_s), now) - at).total_seconds()
        if known := self._known.get(at):
            rate = sum(seconds / interval_s for seconds, interval_s in known) / sum(seconds for seconds, _ in known)
            return max(passed_s * rate, 1.0)
        return max(passed_s / self._interval_s, 1.0) if self._interval_s else None


@dataclass(frozen=True, slots=True)
class Walk(Generic[T]):
    """Whose past is walked through, and how a part of it is read: from a tier by its seconds, or from the rows."""

    connection: Connection
    host_id: int
    now: datetime
    tier: Callable[[int, Span], Iterator[tuple[datetime, T]]]
    rows: Callable[[Span], Iterator[tuple[datetime, T]]]
    cadence: Cadence

    def steps(self, span: Span, step_s: int) -> Iterator[tuple[datetime, T]]:
        """What steps are made of, and when each began; the first step is a whole one. 0 s: every sample."""
        own = own_id(self.connection, self.host_id)
        tiers = [seconds for seconds in reversed(TIERS) if step_s and own and not step_s % seconds]
        first = begin(span[0], step_s) if step_s else span[0]
        yield from self._pieces(own or 0, tiers, (first, span[1]))

    def _pieces(self, own: int, tiers: Sequence[int], span: Span) -> Iterator[tuple[datetime, T]]:
        """The coarsest of the tiers as far as it is made; what it lacks, and what is later, of finer ones and rows."""
        if not tiers:
            yield from self.rows(span)
            return
        seconds, *finer = tiers
        end = max(span[0], min(begin(self._made_until(seconds), seconds), span[1]))
        made = (span[0], end)
        yield from self.tier(seconds, made)
        for gap in _gaps(self._begins(own, seconds, made), seconds, made):
            yield from self._pieces(own, finer, gap)
        if end < span[1]:
            yield from self._pieces(own, finer, (end, span[1]))

    def _begins(self, own: int, seconds: int, span: Span) -> list[datetime]:
        """The buckets that a tier has of a host: all of its series are made at once."""
        t = rollups[seconds].c
        inside = (t.series_id == own, t.begins_at >= span[0], t.begins_at < span[1])
        rows = self.connection.execute(select(t.begins_at, t.interval_s).where(*inside).order_by(t.begins_at)).all()
        for row in rows:
            self.cadence.learn(row.begins_at, seconds, row.interval_s)
        return [row.begins_at for row in rows]

    def _made_until(self, seconds: int) -> datetime:
        """Up to when a tier says what the rows say: before the first bucket due, and no later than any is made."""
        pending, due = rollup_pending.c, rollup_due.c
        first = select(func.min(pending.minute)).where(pending.host_id == self.host_id)
        later = select(func.min(due.begins_at)).where(due.host_id == self.host_id, due.seconds <= seconds)
        known: list[datetime | None] = [self.connection.scalar(first), self.connection.scalar(later)]
        return min([self.now - SETTLE, *(moment for moment in known if moment is not None)])


def _gaps(begins: Sequence[datetime], seconds: int, span: Span) -> list[Span]:
    """The spans between buckets: the host was silent, or it reported too seldom then for such a tier."""
    length = timedelta(seconds=seconds)
    edges = [span[0], *(edge for at in begins for edge in (at, at + length)), span[1]]
    return [(first, last) for first, last in zip(edges[::2], edges[1::2], strict=True) if first < last]
