"""Fills an empty database with a made-up fleet's past, as if its agents had reported all the time."""

from collections.abc import Callable, Iterator
from datetime import tzinfo
from itertools import islice

from sqlalchemy import Connection, Engine

from database import batch as batches
from database import hosts
from database.dialect import Dialect
from database.host_ids import HostIds
from database.rows import Prepared, prepare
from demo import shapes
from model.schemas import Report
from utils.utils import SECOND, moment, to_zone

# Reports a transaction.
BATCH = 500
# The last of the hosts is silent since this share of the time.
DARK = 0.8


class NotEmpty(Exception):
    """The database has hosts already: a made-up fleet must not stand among real ones."""


def fill(
    engine: Engine,
    dialect: Dialect,
    zone: tzinfo | None,
    *,
    size: tuple[int, int],
    period_s: tuple[int, int],
    progress: Callable[[int], None],
) -> int:
    """Writes the reports, the oldest first, and gives how many.

    `size` is hosts and containers of each, `period_s` the time that is filled and the pause between two reports of a
    host. Raises NotEmpty.
    """
    with engine.connect() as connection:
        if hosts.are_there(connection):
            raise NotEmpty
        packet, now = dialect.facts(connection).max_packet // 2, dialect.now(connection)
        connection.rollback()
        ids, written = HostIds(), 0
        reports = _reports(dialect, zone, now, size, period_s)
        while batch := list(islice(reports, BATCH)):
            _write(connection, dialect, ids, batch, packet)
            written += len(batch)
            progress(len(batch))
    return written


def count(size: tuple[int, int], period_s: tuple[int, int]) -> int:
    """How many reports `fill` writes."""
    turns = period_s[0] // period_s[1]
    return size[0] * turns - sum(_is_dark(turn, turns) for turn in range(turns)) * (size[0] > 1)


def _write(connection: Connection, dialect: Dialect, ids: HostIds, batch: list[Prepared], packet: int) -> None:
    now = batch[-1].received_at
    ids.give(connection, batch, now)
    batches.write(connection, dialect, batch, packet=packet, now=now, skip_locked=False)
    connection.commit()


def _reports(
    dialect: Dialect, zone: tzinfo | None, now: int, size: tuple[int, int], period_s: tuple[int, int]
) -> Iterator[Prepared]:
    """Each host a little after the one before it, as agents are started."""
    fleet = [shapes.host(number, size[1]) for number in range(size[0])]
    turns = period_s[0] // period_s[1]
    for turn in range(turns):
        for number, host in enumerate(fleet):
            if number and number == len(fleet) - 1 and _is_dark(turn, turns):
                continue
            before_s = (turns - turn - number / len(fleet)) * period_s[1]
            at = now - int(before_s * SECOND)
            report = Report.model_validate(shapes.report(host, to_zone(moment(at), zone)), context={"zone": zone})
            yield prepare(report, key=None, received_at=at, now_local="", dialect=dialect)


def _is_dark(turn: int, turns: int) -> bool:
    return turn >= turns * DARK
