"""The life ledger: what follows from a host's reports in their order, whatever came when, and whatever broke."""

import random
import threading
import time
from collections import defaultdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from database import retention
from database.changes import Life, State, changes
from model.history import OF_CONTAINERS, events, series
from model.models import containers, reports
from tests.past import NAMES, T0, Writer, roll, roll_killed, step
from tests.schema_engine import Target
from utils.utils import moment

pytestmark = pytest.mark.history

T = moment(T0)


def shown(name: tuple[str, str], dice: random.Random) -> dict[str, Any]:
    """A container that seldom changes, and of which the agent tells more or less."""
    told: dict[str, Any] = {"status": dice.choice(["running"] * 6 + ["exited", "restarting"])}
    if name[0] == "podman":
        told |= {"image": dice.choice(["a:1"] * 6 + ["a:2"]), "restart_count": dice.choice([0] * 6 + [1])}
        told |= {"started_at": dice.choice(["2026-01-01T00:00:00Z"] * 6 + ["2026-01-01T00:00:01Z", None])}
    return {"engine_type": name[0], "container_name": name[1], **told}


def fleet(store: Target, dice: random.Random, count: int = 150) -> list[Any]:
    """Reports of two hosts over half an hour; one container in ten is missing, or there twice."""
    writer, made = Writer(store), []
    for number in range(count):
        names = [name for name in NAMES if dice.random() < 0.9] + [NAMES[0]] * (dice.random() < 0.1)
        made.append(writer.report(f"h{dice.randrange(2)}", number * 12.5, *(shown(name, dice) for name in names)))
    return made


def expected(store: Target) -> set[tuple[Any, ...]]:
    """Host, moment, kind, series and values: by the rows of each host from the first report to the last."""
    states: dict[int, dict[datetime, State]] = defaultdict(dict)
    with store.engine.begin() as connection:
        for row in connection.execute(select(reports).order_by(reports.c.sampled_at)):
            states[row.host_id][row.sampled_at] = {}
        for row in connection.execute(select(containers).order_by(containers.c.id)):
            life = Life(*(getattr(row, name) for name in Life._fields))
            states[row.host_id][row.sampled_at].setdefault((row.engine_type, row.container_name), life)
    made = set()
    for host_id, of in states.items():
        before: State = {}
        for at, state in sorted(of.items()):
            made |= {(host_id, at, *change[:4]) for change in changes(before, state)}
            before = state
    return made


def stored(store: Target) -> set[tuple[Any, ...]]:
    e, named = events.c, (series.c.engine_type, series.c.container_name)
    statement = select(e.host_id, e.at, e.kind, *named, e.from_value, e.to_value).where(series.c.id == e.series_id)
    with store.engine.begin() as connection:
        rows = connection.execute(statement).all()
    return {(host_id, at, kind, (engine, name), *values) for host_id, at, kind, engine, name, *values in rows}


def firsts(store: Target) -> dict[tuple[Any, ...], datetime]:
    statement = select(series.c.host_id, series.c.engine_type, series.c.container_name, series.c.first_at)
    with store.engine.begin() as connection:
        return {(row[0], (row[1], row[2])): row[3] for row in connection.execute(statement) if row[3]}


@pytest.mark.parametrize("seed", range(4))
def test_the_ledger_is_what_the_reports_in_their_order_say(store: Target, seed: int) -> None:
    """They come in any order, with passes of the job in between."""
    dice = random.Random(f"ledger {seed}")
    writer, made = Writer(store), fleet(store, dice)
    if seed:  # else in their order
        dice.shuffle(made)
    while made:
        writer.put(*(made.pop(0) for _ in range(min(len(made), dice.randrange(1, 15)))))
        if dice.random() < 0.5:
            with store.engine.begin() as connection:
                step(connection, moment(T0) + timedelta(seconds=dice.uniform(0, 2_500)))
    roll(store)
    events_of = expected(store)
    assert stored(store) == events_of
    assert {event[2] for event in events_of} == set(OF_CONTAINERS)
    appeared: dict[tuple[Any, ...], datetime] = {}
    for host_id, at, kind, name, *_ in sorted(events_of, key=lambda event: event[1]):
        if kind == "appeared":
            appeared.setdefault((host_id, name), at)
    assert firsts(store) == appeared


def test_a_crash_between_any_two_changes_alters_nothing(store: Target) -> None:
    writer, dice = Writer(store), random.Random("crash")

    def put(since_s: int) -> None:
        for at_s in (0, 3, 61):
            each = [shown(name, dice) for name in NAMES if dice.random() < 0.8]
            writer.put(writer.report("h", since_s + at_s, *each))

    roll_killed(store, put)
    assert stored(store) == expected(store)


def test_a_report_whose_transaction_is_open_meanwhile_is_in_the_ledger(store: Target) -> None:
    writer = Writer(store)
    writer.put(writer.report("h", 1, {"container_name": "a", "status": "running"}))
    with store.engine.connect() as connection:
        writer.write(connection, writer.report("h", 2, {"container_name": "b", "status": "running"}))
        job = threading.Thread(target=roll, args=(store,))
        job.start()
        time.sleep(0.3)
        connection.commit()
    job.join(30)
    roll(store)
    assert stored(store) == expected(store)
    assert [event[2] for event in sorted(stored(store))] == ["appeared", "appeared", "vanished"]


def of(status: str = "running", **told: Any) -> Life:  # noqa: ANN401 - any of its fields
    return Life(status, told.get("image"), told.get("started_at"), told.get("restart_count"))


@pytest.mark.parametrize(
    ("before", "after", "seen"),
    [
        (None, of(), [("appeared", None, "running")]),
        (of("exited"), None, [("vanished", "exited", None)]),
        (of(), of(), []),
        (of(), of("exited"), [("status", "running", "exited")]),
        (of("exited"), of(), [("status", "exited", "running"), ("restarted", "exited", "running")]),
        (of("created"), of(), [("status", "created", "running")]),
        (of("paused"), of(), [("status", "paused", "running")]),
        (of(image="a"), of(image="b"), [("image", "a", "b")]),
        (of(image="a"), of(), []),
        (of(restart_count=1), of(restart_count=3), [("restarted", "1", "3")]),
        (of(restart_count=1), of(restart_count=0), []),
        (of(started_at=T), of(started_at=T, restart_count=1), []),
        (of("exited", started_at=T), of("exited", started_at=T + timedelta(1)), [("restarted", *map(str, (T, T)))]),
        (of("exited", restart_count=1), of(restart_count=1), [("status", "exited", "running")]),
    ],
)
def test_what_happened_to_a_container(before: Life | None, after: Life | None, seen: list[Any]) -> None:
    states = [{("docker", "web"): life} if life else {} for life in (before, after)]
    made = [(kind, from_value, to_value) for kind, _, from_value, to_value, _ in changes(*states)]
    if before and before.started_at and seen:
        assert made == [("restarted", "2025-06-15T15:10:00Z", "2025-06-16T15:10:00Z")]
    else:
        assert made == seen


def test_nothing_is_told_where_the_report_before_is_gone(store: Target) -> None:
    """A report that comes even later than rows are kept is not the first of its containers."""
    writer = Writer(store)
    web = {"container_name": "web", "status": "running"}
    writer.put(*(writer.report("h", at_s, web) for at_s in (0, 600, 1_200)))
    roll(store)
    told = stored(store)
    store.sql("DELETE FROM containers WHERE sampled_at < :t", t=str(T + timedelta(seconds=1_000)))
    store.sql("DELETE FROM reports WHERE sampled_at < :t", t=str(T + timedelta(seconds=1_000)))
    writer.put(writer.report("h", 500, web, {"container_name": "db", "status": "running"}))
    roll(store)
    assert {event[2] for event in told} == {"appeared"}
    assert stored(store) - told == {(1, T + timedelta(seconds=1_200), "vanished", ("docker", "db"), "running", None)}


def test_a_silent_host_tells_no_end_of_its_containers_and_later_what_changed_meanwhile(store: Target) -> None:
    """Its last report before is kept for that, however old it is."""
    writer = Writer(store)
    writer.put(writer.report("h", 0, {"container_name": "web", "status": "running"}))
    roll(store)
    month = 30 * 86_400
    writer.put(writer.report("h", month, {"container_name": "web", "status": "exited"}))
    removed(store, T + timedelta(seconds=month - 60))
    roll(store, T + timedelta(seconds=month + 600))
    assert [event[2:] for event in sorted(stored(store))] == [
        ("appeared", ("docker", "web"), None, "running"),
        ("status", ("docker", "web"), "running", "exited"),
    ]
    removed(store, T + timedelta(seconds=month - 60))
    assert store.sql("SELECT COUNT(*) FROM containers") == [(1,)]


def test_rows_between_the_reports_of_a_database_that_was_taken_over_are_passed_by(store: Target) -> None:
    writer = Writer(store)
    writer.put(writer.report("h", 0, {"container_name": "web", "status": "running"}))
    roll(store)
    columns = "engine_type, cluster_name, node_name, container_name, status, host_id"
    store.sql(
        f"INSERT INTO containers ({columns}, sampled_at) SELECT {columns}, :at FROM containers", at=str(moment(T0 + 7))
    )
    writer.put(writer.report("h", 90, {"container_name": "web", "status": "exited"}))
    roll(store)
    assert [event[2] for event in sorted(stored(store))] == ["appeared", "status"]


def removed(store: Target, cutoff: datetime) -> None:
    """Removes rows as the job does."""
    now = T + timedelta(days=60)
    for expire in (
        partial(retention.expire_containers, cutoff=cutoff),
        partial(retention.expire_reports, cutoff=cutoff, now=now),
    ):
        with store.engine.begin() as connection:
            retention.sweep(connection, expire, 0)
