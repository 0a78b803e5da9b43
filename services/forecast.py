"""How large a database becomes, before there is one."""

from typing import NamedTuple

from config.settings import Monitoring
from database.making import is_made
from model.history import TIERS
from model.widths import width
from services.retention import kept_days

DAY_S, STEP = 86_400, 1_024


class Fleet(NamedTuple):
    """So many hosts with so many containers each, and how often each of them reports."""

    hosts: int
    containers: int
    interval_s: float


class Line(NamedTuple):
    """Of one table: rows that a day brings, days for which they are kept (0: for ever), rows and bytes in the end.

    Of what is kept for ever rows and bytes are those of a year.
    """

    table: str
    rows_day: float
    days: int
    bytes_day: float

    @property
    def rows(self) -> float:
        """At the end, or after a year."""
        return self.rows_day * (self.days or 365)

    @property
    def bytes(self) -> float:
        """At the end, or after a year."""
        return self.bytes_day * (self.days or 365)


def forecast(fleet: Fleet, monitoring: Monitoring, engine: str) -> list[Line]:
    """The tables that time fills; what they refer to does not grow. How many events there will be nobody knows.

    A tier no coarser than the reports is not made, unless it is the coarsest.
    """
    days = kept_days(monitoring)
    reports_day = fleet.hosts * DAY_S / fleet.interval_s
    rows_day = {"reports": reports_day, "containers": reports_day * fleet.containers}
    for seconds in TIERS:
        if is_made(seconds, fleet.interval_s):
            rows_day[f"rollup_{seconds}"] = fleet.hosts * (fleet.containers + 1) * DAY_S / seconds
    days["containers"] = days["reports"]
    return [Line(name, rows, days[name], rows * width(engine, name)) for name, rows in rows_day.items()]


def told(lines: list[Line]) -> list[str]:
    """The forecast as a table for a terminal, with its sum and its end."""
    shown = [("table", "days", "rows", "a day", "in the end"), *(_cells(line) for line in lines)]
    rows, day, end = (
        sum(column) for column in zip(*((one.rows, one.bytes_day, one.bytes) for one in lines), strict=True)
    )
    shown.append(("in all", "", f"{rows:,.0f}", size(day), size(end)))
    wide = [max(map(len, column)) for column in zip(*shown, strict=True)]
    texts = [
        f"{name:{wide[0]}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, wide[1:], strict=True))
        for name, *cells in shown
    ]
    return [*texts, "", _end(lines)]


def _cells(line: Line) -> tuple[str, ...]:
    return line.table, str(line.days or "ever"), f"{line.rows:,.0f}", size(line.bytes_day), size(line.bytes)


def _end(lines: list[Line]) -> str:
    endless = [line.bytes_day for line in lines if not line.days]
    if endless:
        return f"This is after a year: it grows for ever, by {size(sum(endless))} a day in the end."
    return f"It no longer grows after {max(line.days for line in lines)} days."


def size(count: float) -> str:
    """Bytes in a unit that fits."""
    for unit in ("B", "KiB", "MiB"):
        if count < STEP:
            return f"{count:,.1f} {unit}"
        count /= STEP
    return f"{count:,.1f} GiB"
