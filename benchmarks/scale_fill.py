"""A month of two fleets, written inside the database: what default retention would have left of their reports.

A few hosts that report every ten seconds, and many that do every minute and have done so for a day; of these the
aggregates of two hours a week ago are there too, for lists of that moment. Each table is filled in the order of time, a
moment of all series after the other, so that its pages look as a server leaves them.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from benchmarks import scale_rows
from benchmarks.fleet import CONTAINERS, host_name
from benchmarks.scale_rows import HOUR_S, SERIES, TICK_S, TICKS
from database import schema
from database.dialect import Dialect, Role, dialect_for
from model.history import APPEARED, METRICS, events, series
from model.models import hosts
from tests.service import settings_for

MONTH_H, WEEK_H = 720, 168
# About so many rows are written by one statement.
ROWS = 20_000
# So many statements are one transaction: SQLite writes every page that one of them touched.
TOGETHER = 20


class Kept(NamedTuple):
    """Of which tier (0: every sample) which hours of the month are there."""

    seconds: int
    begins_h: int
    ends_h: int = MONTH_H


class Fleet(NamedTuple):
    """The ids of hosts that report alike, and what is kept of them."""

    ids: range
    interval_s: int
    kept: list[Kept]


class Scale(NamedTuple):
    """Hosts of either kind, hours for which their samples and the few's minutes are there, and seconds of each read."""

    few: int
    many: int
    raw_h: int
    minutes_h: int
    many_h: int
    read_s: int = 3

    def fleets(self) -> tuple[Fleet, Fleet]:
        """The few that report often, then the many."""
        often = [Kept(0, MONTH_H - self.raw_h), Kept(60, MONTH_H - self.minutes_h), Kept(600, 0), Kept(3_600, 0)]
        ago = MONTH_H - WEEK_H
        seldom = [Kept(seconds, ago - 1, ago + 1) for seconds in (600, 3_600)]
        seldom += [Kept(seconds, MONTH_H - self.many_h) for seconds in (0, 600, 3_600)]
        last = 1 + self.few
        return Fleet(range(1, last), TICK_S, often), Fleet(range(last, last + self.many), 60, seldom)


SCALES = {
    "small": Scale(few=2, many=10, raw_h=2, minutes_h=24, many_h=2, read_s=1),
    "default": Scale(few=20, many=1_000, raw_h=72, minutes_h=336, many_h=24),
    "full": Scale(few=20, many=1_000, raw_h=72, minutes_h=336, many_h=72),
}


class Filled(NamedTuple):
    """When the month ends, and bytes of a metric of a sample: as a row, and of a month's in all tiers."""

    ends: datetime
    raw: float
    aggregated: float


def filled(url: str, scale: Scale) -> Filled:
    """Fills an empty database."""
    dialect = dialect_for(settings_for(url, Path()))
    engine = dialect.engine(Role("scale", size=2, read_timeout_s=600))
    schema.prepare(engine, dialect, migrate=True, zone=None)
    ends = datetime.now(UTC).replace(tzinfo=None, minute=0, second=0, microsecond=0)
    few, many = scale.fleets()
    with engine.connect() as connection:
        _prepare(connection, ends, [few, many])
        raw, aggregated = _weighed(connection, dialect, few)
        for kept in many.kept:
            _fill(connection, many, kept)
        _happen(connection)
    engine.dispose()
    return Filled(ends, raw, aggregated)


def _weighed(connection: Connection, dialect: Dialect, fleet: Fleet) -> tuple[float, float]:
    """Fills the few hosts' past, and tells by how many bytes the database grew for a metric of a sample."""
    size = dialect.used(connection, fresh=True).bytes
    grown = []
    for kept in fleet.kept:
        _fill(connection, fleet, kept)
        before, size = size, dialect.used(connection, fresh=True).bytes
        connection.commit()
        grown.append(size - before)
    each = HOUR_S // fleet.interval_s * len(fleet.ids) * len(METRICS)
    raw_h = MONTH_H - fleet.kept[0].begins_h
    return grown[0] / (each * CONTAINERS * raw_h), sum(grown[1:]) / (each * SERIES * MONTH_H)


def _prepare(connection: Connection, ends: datetime, fleets: list[Fleet]) -> None:
    """The hosts and their series, and what the rows are made of."""
    begins = ends - timedelta(hours=MONTH_H)
    scale_rows.temporary.create_all(connection, checkfirst=False)
    moments = [{"n": n, "at": begins + timedelta(seconds=n * TICK_S)} for n in range(MONTH_H * TICKS)]
    boxes = [scale_rows.box(id_, place) for one in fleets for id_ in one.ids for place in range(SERIES)]
    connection.execute(insert(scale_rows.ticks), moments)
    connection.execute(insert(scale_rows.boxes), boxes)
    connection.execute(insert(hosts), [_host(id_, one, ends) for one in fleets for id_ in one.ids])
    connection.execute(scale_rows.of_series())
    connection.commit()


def _host(id_: int, fleet: Fleet, ends: datetime) -> dict[str, Any]:
    newest = ends - timedelta(seconds=fleet.interval_s)
    times = {"sampled_at": newest, "last_seen": newest, "created_at": ends, "ledger_at": newest}
    counted = {"containers_count": CONTAINERS, "containers_running": CONTAINERS - 1, "interval_s": fleet.interval_s}
    metrics = dict.fromkeys(METRICS, float(id_ % 100))
    return {"id": id_, "host_name": host_name(id_), "cpu_cores": 16, "cpu_threads": 32, **metrics, **times, **counted}


def _fill(connection: Connection, fleet: Fleet, kept: Kept) -> None:
    """Some hours of the samples, or of one tier."""
    every = (kept.seconds or fleet.interval_s) // TICK_S
    each = every * max(1, ROWS // len(fleet.ids) // SERIES)
    of_tier = [scale_rows.of_tier(fleet.ids, kept.seconds, fleet.interval_s)] if kept.seconds else []
    statements = of_tier or scale_rows.of_samples(fleet.ids, every)
    end = kept.ends_h * TICKS
    for number, begins in enumerate(range(kept.begins_h * TICKS, end, each), 1):
        for statement in statements:
            connection.execute(statement, {"first": begins, "last": min(begins + each, end)})
        if number % TOGETHER == 0:
            connection.commit()
    connection.commit()


def _happen(connection: Connection) -> None:
    """The events of the month, hour by hour; a series was first seen when it first appeared."""
    for number in range(MONTH_H):
        connection.execute(scale_rows.of_events(), {"hour": number})
    appeared = (events.c.series_id == series.c.id, events.c.kind == APPEARED)
    first = select(func.min(events.c.at)).where(*appeared).scalar_subquery()
    connection.execute(update(series).values(first_at=first))
    connection.commit()
