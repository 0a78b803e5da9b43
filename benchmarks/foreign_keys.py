"""What checking foreign keys costs a batch: `python -m benchmarks.foreign_keys` inserts with and without it in turn.

The best of many rounds of each, for what else runs only adds.
"""

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from unittest.mock import patch

from sqlalchemy import Connection

from benchmarks import engines, journey
from database import dialect_mysql_text, hosts, schema
from database.dialect import Dialect, Role, dialect_for
from database.rows import Prepared
from tests.service import settings_for

ROUNDS, PACKET = 50, 8 << 20
CHECKED = dialect_mysql_text.CONTAINERS.replace(dialect_mysql_text.UNCHECKED, "INSERT INTO ")
WAYS = {"unchecked": dialect_mysql_text.CONTAINERS, "checked": CHECKED}


def measure(url: str) -> dict[str, float]:
    """Microseconds that the insert of a report's containers takes, each way."""
    dialect = dialect_for(settings_for(url, Path()))
    engine = dialect.engine(Role("foreign_keys", read_timeout_s=60))
    schema.prepare(engine, dialect, migrate=True, zone=None)
    times: dict[str, list[float]] = defaultdict(list)
    with engine.connect() as connection:
        hosts.create(connection, [f"host-{n}" for n in range(journey.BATCH)], 0)
        ids = sorted(hosts.find(connection, [f"host-{n}" for n in range(journey.BATCH)]).values())
        connection.commit()
        for number in range(2 * ROUNDS):
            way = list(WAYS)[number % 2]
            times[way].append(_insert(connection, dialect, WAYS[way], _batch(dialect, ids, number)))
    engine.dispose()
    return {way: min(taken) for way, taken in times.items()}


def _batch(dialect: Dialect, ids: list[int], number: int) -> list[Prepared]:
    at = (1_700_000_000 + number) * 1_000_000
    batch = [journey.finished(journey.parse(raw), dialect, at) for raw in journey.bodies()]
    for report, host_id in zip(batch, ids, strict=True):
        report.host_id = host_id
    return batch


def _insert(connection: Connection, dialect: Dialect, begin: str, batch: list[Prepared]) -> float:
    dialect.lock_hosts(connection, [report.host_id for report in batch], skip_locked=False)
    with patch.object(dialect_mysql_text, "CONTAINERS", begin):
        began = time.perf_counter()
        dialect.insert_containers(connection, batch, PACKET)
        taken = (time.perf_counter() - began) / len(batch) * 1e6
    connection.commit()
    return taken


def main() -> None:
    """Prints both ways of each server."""
    with tempfile.TemporaryDirectory() as folder:
        for name in engines.chosen():
            if name == "sqlite":
                continue
            with engines.started(name, Path(folder)) as store, store.database() as url:
                shown = ", ".join(f"{way} {us:.0f} us" for way, us in measure(url).items())
                sys.stdout.write(f"{store.title}, containers of a report of 20: {shown}\n")


if __name__ == "__main__":
    main()
