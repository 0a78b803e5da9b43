"""What the database holds, how fast it grows, and how long until it is as large as it may be."""

import asyncio
import time
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from config.settings import Settings
from database import storage
from database.database import Database
from database.dialect import Used
from database.storage import Counted, Edges
from model.widths import width
from services.guard import FLOORS, GIB, next_step
from services.retention import kept_days
from utils.utils import moment

# A survey takes about a second of one connection, however large the database is.
SURVEY_S = 300.0
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
# With fewer rows a table's pages are mostly empty: what a row takes is taken from the measured ones.
MANY = 1_000


class Table(NamedTuple):
    """One table: `samples` are what its rows stand for, None where that is nothing; `bytes_day` is its growth."""

    name: str
    rows: int
    estimated: bool
    samples: int | None
    bytes: int
    bytes_day: float
    edges: Edges


class Survey(NamedTuple):
    """The database at a moment."""

    at: datetime
    used: int
    tables: list[Table]

    @property
    def bytes_day(self) -> float:
        """By how much it grows a day: what the last day brought without what the next one removes."""
        return sum(table.bytes_day for table in self.tables)


class Found(NamedTuple):
    """What was counted of a table that time fills: all of it, what the last day brought, what the next one removes."""

    all: Counted
    day: Counted
    leaving: Counted
    edges: Edges


class Storage:
    """Surveys of a process, each kept for a while."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._lock = asyncio.Lock()
        self._survey: tuple[Survey, float] | None = None

    async def survey(self) -> Survey:
        """At most SURVEY_S old; raises a Failure while the database is away."""
        async with self._lock:
            if self._survey is None or time.monotonic() - self._survey[1] > SURVEY_S:
                self._survey = await self._look(), time.monotonic()
            return self._survey[0]

    async def _look(self) -> Survey:
        """Table by table, so that each has the whole time of a read."""
        now, read = moment(self._database.clock.now()), self._database.read
        used = await read(partial(self._database.dialect.used, fresh=self._database.is_up))
        counts = await read(storage.counts)
        found = {}
        for name in storage.TIMED:
            edges = await read(storage.edges, name)
            spans = spans_of(now, kept_days(self._settings.monitoring).get(name, 0))
            everything, day, leaving = [await read(storage.estimate, name, *span) for span in spans]
            found[name] = Found(everything, day, leaving, edges)
        return survey_of(now, used, counts, found, self._settings.engine_kind)


def spans_of(now: datetime, days: int) -> list[tuple[datetime, datetime]]:
    """All of the past, the last day, and what the next day's retention removes."""
    gone = now - (days - 1) * DAY if days else storage.BEGIN
    return [(storage.BEGIN, storage.END), (now - DAY, storage.END), (storage.BEGIN, gone)]


def survey_of(now: datetime, used: Used, counts: dict[str, int], found: dict[str, Found], engine: str) -> Survey:
    """Puts it together: bytes are the engine's, or it tells them only in all: shares by what rows take as a rule."""
    held = {name: Counted(rows) for name, rows in counts.items()} | {name: one.all for name, one in found.items()}
    held["containers"] = Counted(held["reports"].amount, held["reports"].amount)
    held["reports"] = Counted(held["reports"].rows, held["reports"].rows)
    usual = {name: one.rows * width(engine, name) for name, one in held.items()}
    share = used.bytes / (sum(usual.values()) or 1)
    sizes = {name: used.tables.get(name, size * share) for name, size in usual.items()}
    growth = _growth(now, found)
    tables = []
    for name, one in sorted(held.items()):
        each = sizes[name] / one.rows if one.rows >= MANY else width(engine, name)
        edges = found["reports" if name == "containers" else name].edges if name in growth else Edges(None, None)
        samples = round(one.amount) if one.amount else None
        estimated = name in growth
        tables.append(
            Table(name, round(one.rows), estimated, samples, round(sizes[name]), growth.get(name, 0) * each, edges)
        )
    return Survey(now, used.bytes, tables)


def _growth(now: datetime, found: dict[str, Found]) -> dict[str, float]:
    """Rows a day of the tables that time fills; of a database of some hours, of a day like these."""
    first = found["reports"].edges.oldest
    times = DAY / min(max(now - first, HOUR), DAY) if first else 1.0
    rows = {name: one.day.rows * times - one.leaving.rows for name, one in found.items()}
    reports = found["reports"]
    return rows | {"containers": reports.day.amount * times - reports.leaving.amount}


def guard_of(survey: Survey, limit_gib: float) -> str:
    """Whether there is a limit, it is kept, the guard shortens what is kept, or nothing more may go."""
    if not limit_gib:
        return "off"
    if survey.used <= limit_gib * GIB:
        return "below"
    oldest = {table.name: table.edges.oldest for table in survey.tables if table.name in FLOORS}
    # What has come of age since the guard was last here is no room that it could make.
    return "over" if next_step(oldest, {}, survey.at - HOUR) else "exhausted"


def days_left(survey: Survey, limit_gib: float) -> float | None:
    """Until the database is as large as it may be; None: never, as it seems now, or there is no limit."""
    if not limit_gib or survey.bytes_day <= 0:
        return None
    return max(0.0, (limit_gib * GIB - survey.used) / survey.bytes_day)
