"""Databases with a past of some megabytes, and how large they are: what the tests of size share."""

import time
from datetime import datetime, timedelta

from database.dialect import Used
from tests.past import T0, Writer
from tests.schema_engine import Target
from utils.utils import SECOND, moment

CONTAINERS = 100
HALF_HOUR_S, DAY_S = 1_800, 86_400
# Names of a usual length.
SHOWN = [
    {"container_name": f"service-{number:02}", "status": "running", "cpu_percentage": 1.5} for number in range(100)
]


def fill(
    store: Target, days: float, hosts: int = 4, every_s: int = HALF_HOUR_S, containers: int = CONTAINERS
) -> datetime:
    """Hosts that reported until now, whose reports no aggregate waits for; gives the first one's moment."""
    writer, now_s = Writer(store), (time.time_ns() // 1_000 - T0) // SECOND
    turns = int(days * DAY_S / every_s)
    for turn in range(turns):
        at_s = now_s - (turns - turn) * every_s
        writer.put(*(writer.report(f"host-{one:03}", at_s + one, *SHOWN[:containers]) for one in range(hosts)))
    store.sql("DELETE FROM rollup_pending")
    return moment(T0) + timedelta(seconds=now_s - turns * every_s)


def silent(store: Target, days: float) -> None:
    """A host whose second and last report came so long ago."""
    writer, now_s = Writer(store), (time.time_ns() // 1_000 - T0) // SECOND
    for before_s in (60, 0):
        writer.put(writer.report("silent", now_s - days * DAY_S - before_s, *SHOWN[:3]))
    store.sql("DELETE FROM rollup_pending")


def used(store: Target) -> Used:
    with store.engine.connect() as connection:
        return store.dialect.used(connection, fresh=True)


def settled(store: Target, below: int) -> int:
    """The size as soon as it is below another, or after some seconds: InnoDB clears away what was deleted by and by."""
    deadline = time.monotonic() + 10
    while (size := used(store).bytes) >= below and time.monotonic() < deadline:
        time.sleep(0.1)
    return size
