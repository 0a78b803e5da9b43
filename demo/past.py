"""Fills an empty database with a made-up fleet's past, as if its agents had reported all the time."""

from collections.abc import Callable, Iterator
from datetime import tzinfo
from itertools import islice
from typing import NamedTuple

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


class Plan(NamedTuple):
    """So many hosts with so many containers each, from a while ago on, and how often each of them reports."""

    hosts: int
    containers: int
    span_s: int
    every_s: int

    @property
    def turns(self) -> int:
        """How often a host reports in all."""
        return self.span_s // self.every_s

    @property
    def total(self) -> int:
        """How many reports there are."""
        return sum(len(self.reporting(turn)) for turn in range(self.turns))

    def reporting(self, turn: int) -> range:
        """The hosts that report then: of several the last one goes dark."""
        dark = self.hosts > 1 and turn >= self.turns * DARK
        return range(self.hosts - dark)


def refuse_filled(engine: Engine) -> None:
    """Raises NotEmpty."""
    with engine.begin() as connection:
        if hosts.are_there(connection):
            raise NotEmpty


def fill(engine: Engine, dialect: Dialect, zone: tzinfo | None, plan: Plan, progress: Callable[[int], None]) -> None:
    """Writes the reports, the oldest first, into a database without hosts; tells how many at a time."""
    with engine.connect() as connection:
        packet, now = dialect.facts(connection).max_packet // 2, dialect.now(connection)
        connection.rollback()
        ids, reports = HostIds(), _reports(dialect, zone, now, plan)
        while batch := list(islice(reports, BATCH)):
            _write(connection, dialect, ids, batch, packet)
            progress(len(batch))


def _write(connection: Connection, dialect: Dialect, ids: HostIds, batch: list[Prepared], packet: int) -> None:
    now = batch[-1].received_at
    ids.give(connection, batch, now)
    batches.write(connection, dialect, batch, packet=packet, now=now, skip_locked=False)
    connection.commit()


def _reports(dialect: Dialect, zone: tzinfo | None, now: int, plan: Plan) -> Iterator[Prepared]:
    """Each host a little after the one before it, as agents are started."""
    fleet = [shapes.host(number, plan.containers) for number in range(plan.hosts)]
    for turn in range(plan.turns):
        for number in plan.reporting(turn):
            before_s = (plan.turns - turn - number / plan.hosts) * plan.every_s
            at = now - int(before_s * SECOND)
            report = Report.model_validate(
                shapes.report(fleet[number], to_zone(moment(at), zone)), context={"zone": zone}
            )
            yield prepare(report, key=None, received_at=at, now_local="", dialect=dialect)
