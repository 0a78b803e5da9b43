"""Reports of a made-up past, and the job that aggregates them: what the tests of history share."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from database import rollups
from database.batch import write
from database.host_ids import HostIds
from database.rows import Prepared, prepare
from model.history import METRICS
from model.schemas import Report
from tests.schema_engine import Crash, Saboteur, Target
from tests.service import report
from utils.utils import SECOND, moment

T0 = 1_750_000_200 * SECOND  # a whole hour would hide what a bucket's edge does
LATER = moment(T0) + timedelta(days=2)
CHANGES = 30
NAMES = [("docker", "web"), ("docker", "db"), ("podman", "web")]


class Writer:
    """Writes reports as the service does."""

    def __init__(self, store: Target) -> None:
        self._store = store
        self._ids = HostIds()

    def put(self, *made: Prepared) -> None:
        with self._store.engine.connect() as connection:
            self.write(connection, *made)
            connection.commit()

    def write(self, connection: Connection, *made: Prepared) -> None:
        now = max(one.received_at for one in made)
        self._ids.give(connection, made, now)
        write(connection, self._store.dialect, made, packet=1 << 20, now=now, skip_locked=False)

    def report(self, host: str, at_s: float, *shown: dict[str, Any], **fields: Any) -> Prepared:  # noqa: ANN401 - JSON
        body = Report.model_validate(report(host, *shown, **fields))
        at = T0 + int(at_s * SECOND)
        return prepare(body, key=None, received_at=at, now_local="2025-06-15 15:06:40", dialect=self._store.dialect)


def container(engine: str, name: str, dice: random.Random) -> dict[str, Any]:
    """Metrics are eighths: their sums are exact in whatever order they are added."""
    metrics = {metric: dice.choice([None, dice.randrange(800) / 8]) for metric in METRICS}
    return {"engine_type": engine, "container_name": name, "status": dice.choice(["running", "exited"]), **metrics}


def roll(store: Target, now: datetime = LATER) -> None:
    """Runs the job until nothing is due."""
    while True:
        with store.engine.begin() as connection:
            if not step(connection, now):
                return


def step(connection: Connection, now: datetime) -> int:
    """One transaction of the job: the first buckets that are due."""
    return sum(rollups.make(connection, portion) for portion in rollups.due(connection, now).portions[:1])


def roll_killed(store: Target, put: Callable[[int], None], most: int = 300) -> None:
    """Lets reports come every seven seconds while the job is killed before each of thirty changes, then runs it."""
    for passes in range(most):
        put(passes * 7)
        try:
            with Saboteur(store.engine, passes % CHANGES):
                roll(store)
        except Crash:
            continue
        if passes >= CHANGES:
            break
    roll(store)
    assert passes >= CHANGES


def fleet(store: Target, dice: random.Random, count: int = 120) -> list[Prepared]:
    """Reports of two hosts over an hour and a half, every 10 s to 30 s, some with a name twice."""
    writer, made, at_s = Writer(store), [], 0.0
    for _ in range(count):
        at_s += dice.uniform(10, 30)
        shown = [container(*name, dice) for name in NAMES if dice.random() < 0.9]
        shown += [container(*NAMES[0], dice)] if dice.random() < 0.1 else []
        metrics = {metric: dice.choice([None, dice.randrange(800) / 8]) for metric in METRICS}
        made.append(writer.report(f"h{dice.randrange(2)}", at_s, *shown, **metrics))
    return made
