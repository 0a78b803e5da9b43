"""The intake's figures as a Markdown table, the targets beside them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from benchmarks.fleet import CONTAINERS
from benchmarks.load import CONNECTIONS

HEADS = (
    "engine",
    "server",
    "reports/s",
    "rows/s",
    "p50 ms",
    "p99 ms",
    "CPU s per 1,000 reports: server + database + wrk",
    "peak MB a process",
    "not 2xx",
    "x straightforward",
)
# By the engine's first word: what ours shall reach there.
TARGETS = {
    "SQLite": ("≥ 4,000", "≥ 80,000", "", "< 250", "", "≤ 120", "0", ""),
    "MariaDB": ("", "", "", "< 250", "", "≤ 120", "0", "≥ 12"),
    "MySQL": ("≥ 2,800", "≥ 56,000", "", "< 250", "", "≤ 120", "0", "≥ 20"),
}


class Line(NamedTuple):
    """One row: a server on an engine, or a limit; what was not measured is None.

    `cpu_s` are the CPU seconds of server, database and wrk; `stored` the reports and containers that its measured run
    added to the tables.
    """

    engine: str
    server: str
    rate: float
    reports: int
    cpu_s: tuple[float | None, ...]
    p50_ms: float | None = None
    p99_ms: float | None = None
    peak_bytes: int | None = None
    failed: int | None = None
    stored: tuple[int, int] | None = None

    @property
    def done(self) -> int:
        """The reports that the CPU time went to: those without an acknowledgement cost as much."""
        return self.stored[0] if self.stored else self.reports

    @property
    def wrong(self) -> str:
        """What the tables say against the acknowledgements; nothing if they agree.

        Requests that wrk cut off at the end may be stored without an acknowledgement, one a connection.
        """
        if not self.stored:
            return ""
        reports, containers = self.stored
        if containers == CONTAINERS * reports and self.reports <= reports <= self.reports + CONNECTIONS:
            return ""
        rows = f"{reports} reports and {containers} containers stored"
        return f"{self.engine}, {self.server}: {self.reports} reports acknowledged, {rows}"


def markdown(lines: Iterable[Line], base: str) -> str:
    """The table; ratios are to the line of the same engine whose server is `base`."""
    rows = [HEADS, ("---",) * len(HEADS), *_rows(list(lines), base)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _rows(lines: list[Line], base: str) -> Iterator[tuple[str, ...]]:
    bases = {line.engine: line.rate for line in lines if line.server == base}
    for engine in dict.fromkeys(line.engine for line in lines):
        yield from (_row(line, bases.get(engine)) for line in lines if line.engine == engine)
        if targets := TARGETS.get(engine.split()[0]):
            yield (engine, "*target for ours*", *targets)


def _row(line: Line, base: float | None) -> tuple[str, ...]:
    return (
        line.engine,
        line.server,
        _number(line.rate),
        _number(line.rate * CONTAINERS),
        _number(line.p50_ms),
        _number(line.p99_ms),
        " + ".join(_number(used and 1e3 * used / max(line.done, 1), 2) for used in line.cpu_s),
        _number(line.peak_bytes and line.peak_bytes / 1e6),
        _number(line.failed),
        _number(base and line.rate / base, 1),
    )


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
