"""What the containers of a host or of a cluster come to in steps: the sum over them, averaged over the reports.

A report says of every container at once, so a step's sum is that of all their samples, divided by the number of the
host's reports: what was there in half of them counts half. Sums of several hosts are added.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter

from sqlalchemy import Connection, and_, func, select

from database import history
from database.buckets import Bucket, Metric, Span, within
from database.containers import HOST_ID, along_index
from database.history import Asked, Point
from database.hosts import alive
from database.rollups import begin
from database.rows import Record
from database.series import HOST, Name, active
from database.tiers import Cadence, Walk
from model.history import METRICS, rollups
from model.models import containers, hosts, reports
from model.queries import MAX_POINTS

# So many hosts of a cluster are added up at most: each costs a dozen small statements.
MOST_HOSTS = 500
# So many steps of hosts are held while they are added up: about 600 bytes each.
MOST_PARTS = 200_000
# So many rows of containers are held at a time, or those of one report.
MOST_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Summed:
    """The containers of a host, of a cluster, or of a cluster's on one host; the rest as `Asked` has it."""

    host_id: int | None
    cluster_name: str | None
    span: Span
    step_s: int
    now: datetime


class TooMany(Exception):
    """More hosts than are added up at once."""


@dataclass(slots=True)
class Sum:
    """How many container samples there were, and of each metric their sum; None without any value.

    `gone` are reports whose rows of containers were removed: nobody knows what they would come to.
    """

    samples: int
    values: Sequence[float | None]
    gone: int = 0


def points(connection: Connection, asked: Summed) -> list[Point] | None:
    """The steps in which some host reported; None if there is no such host. Raises TooMany."""
    if asked.host_id is not None and asked.host_id not in alive(connection, [asked.host_id]):
        return None
    of_hosts = _members(connection, asked)
    if len(of_hosts) > MOST_HOSTS or _steps(asked) * len(of_hosts) > MOST_PARTS:
        raise TooMany
    steps: dict[datetime, dict[int, Point]] = defaultdict(dict)
    for host_id, names in of_hosts.items():
        for point in _of_host(connection, asked, host_id, names):
            steps[point.begins_at][host_id] = point
    cadences = _cadences(connection, list(of_hosts))
    return [_added(at, found, cadences, asked) for at, found in sorted(steps.items())]


def _steps(asked: Summed) -> float:
    """How many there are; of every sample of one host there is a limit anyhow."""
    return (asked.span[1] - asked.span[0]).total_seconds() / asked.step_s if asked.step_s else 0


def _members(connection: Connection, asked: Summed) -> Mapping[int, set[Name] | None]:
    """Whose containers, by host; None: all of them. A cluster's are those that are in it by their host's last word."""
    if asked.cluster_name is None:
        return {asked.host_id: None} if asked.host_id is not None else {}
    c, current = containers.c, and_(containers.c.host_id == HOST_ID, containers.c.sampled_at == hosts.c.sampled_at)
    statement = select(hosts.c.id, c.engine_type, c.container_name).join_from(hosts, containers, current)
    statement = statement.where(hosts.c.deleted_at.is_(None), c.cluster_name == asked.cluster_name)
    if asked.host_id is not None:
        statement = statement.where(hosts.c.id == asked.host_id)
    found: dict[int, set[Name]] = defaultdict(set)
    for host_id, engine, name in connection.execute(along_index(statement)):
        found[host_id].add((engine, name))
    return dict(found)


def _of_host(connection: Connection, asked: Summed, host_id: int, names: set[Name] | None) -> Iterator[Point]:
    """The host's own steps, with the sum over its containers in place of its own values."""
    own = history.points(connection, Asked(host_id, HOST, asked.span, asked.step_s, asked.now)) or []
    if len(own) > MAX_POINTS:  # they are refused anyhow
        yield from own
        return
    since = asked.span[0] - timedelta(seconds=asked.step_s)  # the first step may begin before the span
    every = active(connection, host_id, since.date())
    ids = [id_ for name, id_ in every.items() if name != HOST and (names is None or name in names)]
    walk = Walk(
        connection=connection,
        host_id=host_id,
        now=asked.now,
        tier=partial(_tier, connection, ids),
        rows=partial(_rows, connection, host_id, names),
        cadence=Cadence(asked.step_s, None),
    )
    steps: dict[datetime, Sum] = {}
    for at, part in walk.steps(asked.span, asked.step_s):
        first = begin(at, asked.step_s) if asked.step_s else at
        steps[first] = _joined(steps.get(first), part)
    for point in own:
        total = steps.get(point.begins_at)
        if reports_ := point.bucket.samples - (total.gone if total else 0):
            yield Point(point.begins_at, _averaged(reports_, total), point.expected)


def _averaged(reports_: int, total: Sum | None) -> Bucket:
    """A host without any container has a sum of 0; values that nobody told have none."""
    values = total.values if total and total.samples else [0.0] * len(METRICS)
    return Bucket(reports_, None, [Metric(value, None, None, 0) for value in values])


def _added(
    at: datetime, found: dict[int, Point], cadences: dict[int, tuple[datetime, float | None]], asked: Summed
) -> Point:
    """One step of all hosts; one that was silent in it should have reported all the same."""
    reports = sum(point.bucket.samples for point in found.values())
    metrics = [_over(found.values(), place, reports) for place in range(len(METRICS))]
    expected = sum(point.expected or 0 for point in found.values())
    for host_id, (created_at, interval_s) in cadences.items():
        if host_id not in found and created_at <= at:
            expected += Cadence(asked.step_s, interval_s).expected(at, asked.now) or 0
    return Point(at, Bucket(reports, None, metrics), expected or None)


def _over(found: Iterable[Point], place: int, reports: int) -> Metric:
    """The sum over hosts of their averages, times all reports, by which whoever shows it divides."""
    parts = [(point.bucket.metrics[place].sum, point.bucket.samples) for point in found]
    known = [value / samples for value, samples in parts if value is not None]
    return Metric(sum(known) * reports if known else None, None, None, 0)


def _cadences(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[datetime, float | None]]:
    """Since when each host has been known, and its interval of now."""
    statement = select(hosts.c.id, hosts.c.created_at, hosts.c.interval_s).where(hosts.c.id.in_(ids))
    return {row.id: (row.created_at, row.interval_s) for row in connection.execute(statement)}


def _joined(earlier: Sum | None, later: Sum) -> Sum:
    if earlier is None:
        return later
    pairs = zip(earlier.values, later.values, strict=True)
    values = [_plus(one, other) for one, other in pairs]
    return Sum(earlier.samples + later.samples, values, earlier.gone + later.gone)


def _plus(one: float | None, other: float | None) -> float | None:
    return one + other if one is not None and other is not None else one if other is None else other


def _tier(connection: Connection, ids: Sequence[int], seconds: int, span: Span) -> Iterator[tuple[datetime, Sum]]:
    t = rollups[seconds].c
    inside = (t.series_id.in_(ids), t.begins_at >= span[0], t.begins_at < span[1])
    sums = (func.sum(t[f"{metric}_sum"]) for metric in METRICS)
    statement = select(t.begins_at, func.sum(t.samples), *sums).where(*inside).group_by(t.begins_at)
    for at, samples, *values in connection.execute(statement) if ids else ():
        yield at, Sum(int(samples), values)


def _rows(connection: Connection, host_id: int, names: set[Name] | None, span: Span) -> Iterator[tuple[datetime, Sum]]:
    """The samples themselves, added up for each report."""
    c = containers.c
    columns = (c.sampled_at, c.engine_type, c.container_name, *(c[metric] for metric in METRICS))
    for some in _portions(connection, host_id, span):
        inside = (c.host_id == host_id, c.sampled_at.between(some[0].sampled_at, some[-1].sampled_at))
        statement = along_index(select(*columns).where(*inside).order_by(c.sampled_at, c.id))
        found = groupby(connection.execute(statement), key=attrgetter("sampled_at"))
        told = {at: list(rows) for at, rows in found}
        for report in some:
            rows = told.get(report.sampled_at, [])
            whole = len(rows) == report.containers_count
            yield report.sampled_at, _of_report(rows, names) if whole else Sum(0, [None] * len(METRICS), gone=1)


def _portions(connection: Connection, host_id: int, span: Span) -> Iterator[Sequence[Record]]:
    """The reports one reads at a time; nothing of a silent host, whose containers are not looked for."""
    r = reports.c
    found = connection.execute(
        select(r.sampled_at, r.containers_count).where(*within(reports, host_id, span)).order_by(r.sampled_at)
    ).all()
    first, rows = 0, 0
    for place, report in enumerate(found):
        if rows and rows + report.containers_count > MOST_ROWS:
            yield found[first:place]
            first, rows = place, 0
        rows += report.containers_count
    if found:
        yield found[first:]


def _of_report(rows: Iterable[Record], names: set[Name] | None) -> Sum:
    """Of equal names in one report the first counts."""
    first: dict[Name, Record] = {}
    for row in rows:
        first.setdefault((row.engine_type, row.container_name), row)
    values = [tuple(row)[3:] for name, row in first.items() if names is None or name in names]
    return Sum(len(values), [_total(column) for column in zip(*values, strict=True)] or [None] * len(METRICS))


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
