"""Where the state of hosts at a moment is found: in a host's newest report then, or in the buckets that hold it.

A row is still there if it is younger than any that may have been removed, or if its host points to it. Of the others
the finest tier answers that is not older than a coarser one: that one would know of later reports.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Subquery,
    and_,
    case,
    func,
    null,
    or_,
    select,
)

from database.dialect import skips_groups
from database.retention import needed_from
from database.rollups import begin
from database.series import OWN
from model.history import TIERS, rollups, series
from model.models import hosts, reports

# Seconds of a bucket by the name that answers give it; a report is none.
RESOLUTIONS = {0: "raw", 60: "1m", 600: "10m", 3_600: "1h"}
ALL = 10**9
_OF_HOST = and_(series.c.host_id == hosts.c.id, OWN)


@dataclass(frozen=True, slots=True)
class Then:
    """A moment, what silence is measured until, since when rows are kept, and how much silence makes a host offline.

    UTC, naive. A moment that is still to come shows the present: `until` is then now.
    """

    at: datetime
    until: datetime
    kept_from: datetime
    offline_after: timedelta


@dataclass(frozen=True, slots=True)
class First:
    """Only so many hosts, in the order of a column."""

    hosts: int = ALL
    order: Sequence[ColumnElement[Any]] = ()


def states(
    connection: Connection, then: Then, of_hosts: Sequence[ColumnElement[bool]], first: First | None = None
) -> Subquery:
    """Of each host that was there then: id, name, and where its state is.

    `seconds` is 0 for a report, at `raw_at`, or those of the tier. Of `at_60`, `at_600` and `at_3600` at most one is
    known: of the host's newest bucket then, which also knows its cadence where the state is a report's.
    """
    whole_from = needed_from(connection, then.kept_from)
    newest = _newest(connection, then.at, of_hosts, first or First(), whole=then.at >= whole_from)
    n = newest.c
    later = (func.coalesce(n[f"bucket_{seconds}"], n.reported_at) <= n.reported_at for seconds in TIERS)
    raw = and_(or_(n.reported_at >= whole_from, n.reported_at == n.current), *later)
    tier = _tier(newest)
    seconds = case((or_(raw, tier.is_(None)), 0), else_=tier)
    buckets = [case((tier == each, n[f"bucket_{each}"])).label(f"at_{each}") for each in TIERS]
    raw_at = case((or_(raw, tier.is_(None)), n.reported_at), else_=null()).label("raw_at")
    there = or_(n.reported_at.is_not(None), tier.is_not(None))
    columns = (n.id, n.host_name, n.series_id, n.interval_s, seconds.label("seconds"), raw_at, *buckets)
    return select(*columns).where(there).subquery("state")


def _newest(
    connection: Connection, at: datetime, of_hosts: Sequence[ColumnElement[bool]], first: First, *, whole: bool
) -> Subquery:
    """The newest report and the newest bucket of each tier, by a few looks into an index each.

    Of a moment of which the rows are there (`whole`) a bucket has to have ended: the one that holds the moment may be
    of samples that came later.

    The limit also keeps engines from looking once for every place where such a moment is named.
    """
    beside, reported_at = _reported(connection, at, hosts.outerjoin(series, _OF_HOST))
    columns: list[ColumnElement[Any]] = [
        hosts.c.id,
        hosts.c.host_name,
        hosts.c.interval_s,
        hosts.c.sampled_at.label("current"),
        series.c.id.label("series_id"),
        reported_at.label("reported_at"),
        *(
            _begun(seconds, at - timedelta(seconds=seconds) if whole else at).label(f"bucket_{seconds}")
            for seconds in TIERS
        ),
    ]
    alive = (hosts.c.deleted_at.is_(None), hosts.c.sampled_at.is_not(None))
    statement = select(*columns).select_from(beside).where(*alive, *of_hosts)
    return statement.order_by(*first.order).limit(first.hosts).subquery("newest")


def _reported(
    connection: Connection, at: datetime, beside: FromClause
) -> tuple[FromClause, ColumnElement[datetime | None]]:
    """When each host reported last by then, and where that is told."""
    r = reports.c
    last = select(func.max(r.sampled_at).label("at")).where(r.sampled_at <= at)
    if not skips_groups(connection):
        return beside, last.where(r.host_id == hosts.c.id).scalar_subquery()
    of_all = last.add_columns(r.host_id).group_by(r.host_id).subquery("reported")
    return beside.outerjoin(of_all, of_all.c.host_id == hosts.c.id), of_all.c.at


def _begun(seconds: int, at: datetime) -> ColumnElement[datetime | None]:
    """The last bucket by then of a host's own series: the one that holds the moment, or an earlier one if there is any.

    Only then are the later ones gone through: for MAX, and in any order but the key's, MySQL reads the whole series.
    """
    c = rollups[seconds].c
    own = select(c.begins_at).where(c.series_id == series.c.id)
    holds = own.where(c.begins_at == begin(at, seconds)).scalar_subquery()
    oldest = own.order_by(c.series_id, c.begins_at).limit(1).scalar_subquery()
    earlier = own.where(c.begins_at <= at).order_by(c.series_id.desc(), c.begins_at.desc()).limit(1)
    return func.coalesce(holds, case((oldest <= at, earlier.scalar_subquery())))


def _tier(newest: FromClause) -> ColumnElement[int | None]:
    """Seconds of the finest tier that is not older than a coarser one; NULL if there is no bucket."""
    whens: list[Any] = []
    for place, seconds in enumerate(TIERS):
        own = newest.c[f"bucket_{seconds}"]
        coarser = (newest.c[f"bucket_{each}"] for each in TIERS[place + 1 :])
        whens.append((and_(own.is_not(None), *(own >= func.coalesce(other, own) for other in coarser)), seconds))
    return case(*whens, else_=null())


def joined(state: Subquery, other: FromClause, series_id: ColumnElement[Any]) -> FromClause:
    """The bucket that holds the moment, of a series, beside what is there already."""
    for seconds, table in rollups.items():
        bucket = and_(table.c.series_id == series_id, table.c.begins_at == state.c[f"at_{seconds}"])
        other = other.outerjoin(table, bucket)
    return other


def of_bucket(name: str) -> ColumnElement[Any]:
    """A column of the tier that answers."""
    return func.coalesce(*(table.c[name] for table in rollups.values()))


def average(metric: str) -> ColumnElement[Any]:
    """What a bucket's samples that had one come to."""
    known = of_bucket("samples") - func.coalesce(of_bucket(f"{metric}_nulls"), 0)
    return of_bucket(f"{metric}_sum") / func.nullif(known, 0)


def moment_of(state: Subquery) -> ColumnElement[datetime]:
    """When the report was sampled, or when the bucket begins."""
    in_bucket = (state.c[f"at_{seconds}"] for seconds in TIERS)
    return func.coalesce(state.c.raw_at, *in_bucket)
