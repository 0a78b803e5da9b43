"""Makes the buckets that are due of one tier at one moment: decides of whom, and of what they are made."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, case, delete, func, select, update

from database import aggregates, ledger, series, told
from database.buckets import Span
from database.rows import Record
from database.series import Names
from database.told import Count, Told
from model.history import TIERS, rollups

# An interval is known only so well: a host that reports every 60 s must not have the finest tier now and then.
JITTER = 1.25


class Making:
    """The buckets of all series of some hosts that are locked.

    Of a host it has to know the cadence, `ledger_at`, the `series_id` of its own and its `last_on`, and of the bucket
    that is there already the `samples` and the cadence it was made under; None for what there is not.
    """

    def __init__(self, connection: Connection, seconds: int, at: datetime, held: Mapping[int, Record]) -> None:
        self._connection, self._seconds, self._at, self._held = connection, seconds, at, held
        self._span = (at, at + timedelta(seconds=seconds))
        self._finer = next((tier for tier in reversed(TIERS) if tier < seconds), None)
        self._owners = {row.series_id: host_id for host_id, row in held.items() if row.series_id}

    def make(self) -> None:
        """From the next finer tier, unless that lacks some reports: it is not built while a host reports seldom."""
        counts = told.counts(self._connection, self._held, self._span)
        made = self._samples(self._finer, self._span) if self._finer else {}
        finer = {host_id: samples for host_id, samples in made.items() if samples >= _reports(counts, host_id)}
        rest = {host_id: count for host_id, count in counts.items() if host_id not in finer}
        said = told.read(self._connection, rest.keys(), self._span)
        names = said.known(self._held)
        self._note_day(counts, said)
        rows = {host_id: count.reports for host_id, count in rest.items() if said.holds(host_id, count)}
        if self._finer is None:
            held = {host_id: self._held[host_id] for host_id in counts}
            ledger.renew(self._connection, held, names, counts, said, self._at)
        samples = {host_id: host.samples for host_id, host in self._held.items() if host.samples}
        from_finer, from_rows = self._whole(finer, samples), self._whole(rows, samples)
        self._remove(samples.keys() & {*from_finer, *from_rows})
        self._fill(from_finer, from_rows, names, said)
        self._keep_cadences()

    def _note_day(self, counts: Iterable[int], said: Told) -> None:
        day = self._at.date()
        own = [self._held[host_id] for host_id in counts if self._held[host_id].series_id]
        late = [host.series_id for host in own if host.last_on < day] + said.known_before(day)
        series.touch(self._connection, late, day)

    def _samples(self, seconds: int, span: Span) -> dict[int, int]:
        """How many reports each host's buckets of a span are made of; without those hosts that have none."""
        c, owners = rollups[seconds].c, self._owners
        inside = (c.series_id.in_(owners), c.begins_at >= span[0], c.begins_at < span[1])
        statement = select(c.series_id, func.sum(c.samples).label("made")).where(*inside).group_by(c.series_id)
        return {owners[row.series_id]: int(row.made) for row in self._connection.execute(statement)}

    def _keep_cadences(self) -> None:
        """A bucket that is made again is of the time of its first making, whatever the host's cadence is now."""
        c, hosts = rollups[self._seconds].c, self._held.values()
        if cadences := {host.series_id: host.made_of_interval_s for host in hosts if host.made_of_interval_s}:
            kept = update(rollups[self._seconds]).where(c.begins_at == self._at, c.series_id.in_(cadences))
            self._connection.execute(kept.values(interval_s=case(cadences, value=c.series_id)))

    def _fill(self, finer: Sequence[int], rows: Sequence[int], names: Names, said: Told) -> None:
        """Makes the buckets of some hosts of finer ones, of others of rows."""
        day = self._at.date()
        if finer and self._finer:
            ids = series.active_ids(self._connection, finer, day)
            aggregates.fill_from(self._connection, self._finer, self._seconds, self._at, ids)
        if rows:
            series.ensure(self._connection, names, said.wanted(rows), day)
            made = {host_id: names[host_id] for host_id in rows}
            aggregates.fill(self._connection, self._seconds, self._at, said, made)

    def _whole(self, made: Mapping[int, int], known: Mapping[int, int]) -> list[int]:
        """The hosts of which a bucket is made.

        A tier that is no coarser than a host's cadence is left out, for it would only repeat the rows; but not the
        coarsest, which outlives the rows, nor a bucket that is there, of a time when the host reported more often. Of
        fewer reports than before it is not made: rows that were in it have been removed, and a report came that is
        older than they were.
        """
        coarse = [id_ for id_ in made if id_ in known or is_made(self._seconds, self._held[id_].interval_s or 0)]
        return [host_id for host_id in coarse if made[host_id] >= known.get(host_id, 1)]

    def _remove(self, host_ids: Collection[int]) -> None:
        table = rollups[self._seconds]
        if old := series.active_ids(self._connection, host_ids, self._at.date()) if host_ids else []:
            self._connection.execute(delete(table).where(table.c.begins_at == self._at, table.c.series_id.in_(old)))


def is_made(seconds: int, interval_s: float) -> bool:
    """Whether a tier is made of hosts that report so often."""
    return seconds == TIERS[-1] or seconds > interval_s * JITTER


def _reports(counts: Mapping[int, Count], host_id: int) -> int:
    return counts[host_id].reports if host_id in counts else 0
