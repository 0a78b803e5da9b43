"""One batch of reports in one transaction: at most five statements, and one more per further packet."""

from collections.abc import Sequence

from sqlalchemy import Connection

from database import hosts
from database.dialect import STATE, Dialect, Held
from database.rows import Prepared, Record, Row
from utils.utils import SECOND, micros, time_text

# A host whose newest report lies further ahead than this belonged to a clock that has since been set back.
FUTURE = 60 * SECOND
MINUTE = 60 * SECOND
# A host is expected again within so many of its own intervals.
MISSED_INTERVALS = 3
_UNMOVED = (None,) * len(STATE)


class HostGone(Exception):
    """A cached id is not the host's any more: it was deleted or renamed, and its name is looked up again."""


def learned_interval(known: float | None, gap_s: float) -> float | None:
    """A host's own interval in seconds, from one more gap between its reports.

    It follows a gap by at most a factor of two: one outage or one repeated report does not make a host look slow or
    fast, and a new cadence is learnt within a few reports.
    """
    if gap_s <= 0:
        return known
    return gap_s if known is None else min(max(gap_s, known / 2), known * 2)


class Move:
    """What a batch does to one host: decided from the row locked in this transaction."""

    def __init__(self, host_id: int, held: Held) -> None:
        self.id = host_id
        self.sampled_at, last_seen, self.interval_s, _ = held
        self.last_seen = last_seen or 0
        self.newest: Prepared | None = None

    def take(self, report: Prepared, now: int) -> None:
        """Moves the host if the report is not older than what it has; presence moves with every report."""
        known = self.last_seen if self.last_seen <= now + FUTURE else 0
        self.last_seen = max(known, report.received_at)
        if self.sampled_at is not None and report.sampled_at < self.sampled_at <= now + FUTURE:
            return
        if self.sampled_at is not None:
            self.interval_s = learned_interval(self.interval_s, (report.sampled_at - self.sampled_at) / SECOND)
        self.sampled_at, self.newest = report.sampled_at, report

    def values(self) -> Row:
        """The row as `Dialect.update_hosts` takes it."""
        expected_by = self.last_seen + int(MISSED_INTERVALS * (self.interval_s or 0) * SECOND)
        presence = (time_text(self.last_seen), time_text(expected_by))
        if self.newest is None:
            return (self.id, 0, *_UNMOVED, *presence)
        new = self.newest
        state = (*new.host, time_text(new.sampled_at), new.containers_count, new.running, self.interval_s)
        return (self.id, 1, *state, *presence)


def part(batch: Sequence[Prepared]) -> None:
    """Moves reports of one host and one microsecond apart: the moment is half of a report's identity.

    The one received first keeps its moment: a lost COMMIT of it may have been executed under that one.
    """
    taken: set[tuple[int, int]] = set()
    for report in sorted(batch, key=lambda report: report.received_at):
        while (report.host_id, report.sampled_at) in taken:
            report.sampled_at += 1
        taken.add((report.host_id, report.sampled_at))


def write(
    connection: Connection, dialect: Dialect, batch: Sequence[Prepared], *, packet: int, now: int, skip_locked: bool
) -> list[Prepared]:
    """Writes the batch and gives what it wrote; the caller commits.

    With `skip_locked` the reports of hosts that another transaction holds are left out. Raises HostGone if a host's id
    has no row any more, or one of another name.
    """
    ids = {report.host_id for report in batch}
    locked = dialect.lock_hosts(connection, sorted(ids), skip_locked=skip_locked)
    missing = ids - locked.keys()
    gone = missing - hosts.alive(connection, missing) if missing and skip_locked else missing
    if gone := gone | _renamed(batch, locked):
        raise HostGone(gone)
    written = [report for report in batch if report.host_id in locked]
    if written:
        dialect.insert_reports(connection, written)
        dialect.insert_containers(connection, written, packet)
        dialect.insert_pending(connection, _minutes(written))
        dialect.update_hosts(connection, _moves(written, locked, now))
    return written


def _renamed(batch: Sequence[Prepared], locked: dict[int, Held]) -> set[int]:
    """The hosts that are not called any more what their reports call them."""
    return {
        report.host_id
        for report in batch
        if report.host_id in locked and locked[report.host_id].host_name != report.host_name
    }


def _minutes(batch: Sequence[Prepared]) -> list[tuple[int, str]]:
    """The minutes of hosts that the batch touches, each once and in the order of the primary key."""
    pairs = {(report.host_id, report.sampled_at - report.sampled_at % MINUTE) for report in batch}
    return [(host_id, time_text(minute)) for host_id, minute in sorted(pairs)]


def _moves(batch: Sequence[Prepared], locked: dict[int, Held], now: int) -> list[Row]:
    moves = {host_id: Move(host_id, held) for host_id, held in locked.items()}
    for report in batch:
        moves[report.host_id].take(report, now)
    return [moves[host_id].values() for host_id in sorted(moves)]


def is_ours(row: Record, report: Prepared) -> bool:
    """Tells whether a stored report is this very one, written by a COMMIT whose answer was lost."""
    found = (row.report_key, row.content_hash, micros(row.received_at))
    return bool(found == (report.report_key, report.content_hash, report.received_at))
