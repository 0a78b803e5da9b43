"""Aggregates: every bucket is what the raw rows say, whatever came when, and whatever broke."""

import random
import threading
import time
from collections import defaultdict
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from database import rollups
from model.history import METRICS, TIERS, rollup_due, series
from model.history import rollups as tables
from model.models import containers, reports, rollup_pending
from tests.elapsed import within
from tests.past import LATER, NAMES, T0, Writer, container, fleet, roll, roll_killed, step
from tests.schema_engine import Target
from utils.utils import SECOND, moment

pytestmark = pytest.mark.history


def expected(store: Target, seconds: int) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The buckets of a tier, made of the raw rows in plain Python."""
    samples: dict[tuple[Any, ...], list[Any]] = defaultdict(list)
    with store.engine.begin() as connection:
        for row in connection.execute(select(reports).order_by(reports.c.sampled_at)):
            samples[(row.host_id, "", "", rollups.begin(row.sampled_at, seconds))].append(row)
        seen = set()
        statement = select(containers).order_by(containers.c.sampled_at, containers.c.id)
        for row in connection.execute(statement):
            one = (row.host_id, row.sampled_at, row.engine_type, row.container_name)
            if one not in seen:
                key = (row.host_id, row.engine_type, row.container_name, rollups.begin(row.sampled_at, seconds))
                samples[key].append(row)
            seen.add(one)
    return {key: aggregate(rows) for key, rows in samples.items()}


def aggregate(rows: list[Any]) -> tuple[Any, ...]:
    values: list[Any] = [len(rows), getattr(rows[-1], "status", None)]
    for metric in METRICS:
        known = [value for row in rows if (value := getattr(row, metric)) is not None]
        values += [sum(known), min(known), max(known)] if known else [None] * 3
        values.append(len(rows) - len(known) or None)
    return tuple(values)


def stored(store: Target, seconds: int) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    table, named = tables[seconds], series
    parts = [table.c[f"{metric}_{part}"] for metric in METRICS for part in ("sum", "min", "max", "nulls")]
    names = (named.c.host_id, named.c.engine_type, named.c.container_name)
    statement = select(*names, table.c.begins_at, table.c.samples, table.c.status, *parts)
    with store.engine.begin() as connection:
        rows = connection.execute(statement.join_from(table, named, named.c.id == table.c.series_id)).all()
    return {tuple(row)[:4]: tuple(row)[4:] for row in rows}


def due(store: Target) -> int:
    with store.engine.begin() as connection:
        return sum(len(connection.execute(select(table)).all()) for table in (rollup_pending, rollup_due))


@pytest.mark.parametrize("seed", range(3))
def test_every_bucket_is_what_the_rows_say(store: Target, seed: int) -> None:
    """In random order, with passes of the job in between, and late reports of buckets that were made already."""
    dice = random.Random(f"rollups {seed}")
    writer, made = Writer(store), fleet(store, dice)
    dice.shuffle(made)
    while made:
        batch = [made.pop() for _ in range(min(len(made), dice.randrange(1, 15)))]
        writer.put(*batch)
        store.sql("UPDATE hosts SET interval_s = 15")  # what it learns of reports in such an order is nothing
        if dice.random() < 0.3:
            with store.engine.begin() as connection:
                step(connection, moment(T0) + timedelta(seconds=dice.uniform(0, 6_000)))
    roll(store)
    assert due(store) == 0
    for seconds in TIERS:
        assert stored(store, seconds) == expected(store, seconds)


def test_ten_minutes_are_whole_though_only_some_minutes_were_made(store: Target) -> None:
    """A host that begins to report more seldom in the middle of them."""
    writer, dice = Writer(store), random.Random("middle")
    for first, last, every in ((0, 300, 10), (300, 1_200, 90)):
        for at_s in range(first, last, every):
            writer.put(writer.report("h", at_s, container(*NAMES[0], dice)))
        roll(store, moment(T0 + (last + 60) * SECOND))
    roll(store)
    assert 0 < len(stored(store, 60)) < len(expected(store, 60))
    assert stored(store, 600) == expected(store, 600)


def test_a_crash_between_any_two_statements_changes_nothing(store: Target) -> None:
    writer, dice = Writer(store), random.Random("crash")

    def put(since_s: int) -> None:
        writer.put(*(writer.report("h", since_s + at_s, container(*NAMES[0], dice)) for at_s in (0, 3, 61)))

    roll_killed(store, put)
    assert due(store) == 0
    for seconds in TIERS:
        assert stored(store, seconds) == expected(store, seconds)


def test_a_report_whose_transaction_is_open_meanwhile_is_counted(store: Target) -> None:
    """Its minute is due already for another report's sake: the job waits for it at the host's row."""
    writer, dice = Writer(store), random.Random("open")
    writer.put(writer.report("h", 1, container(*NAMES[0], dice)))
    with store.engine.connect() as connection:
        writer.write(connection, writer.report("h", 2, container(*NAMES[0], dice)))
        job = threading.Thread(target=roll, args=(store,))
        job.start()
        time.sleep(0.3)
        assert job.is_alive()
        connection.commit()
    job.join(30)
    roll(store)
    assert due(store) == 0
    for seconds in TIERS:
        assert stored(store, seconds) == expected(store, seconds)


def test_a_bucket_never_loses_what_it_was_made_of(store: Target) -> None:
    """A report that comes later than rows are kept does not replace the aggregate of those that are gone."""
    writer, dice = Writer(store), random.Random("late")
    writer.put(*(writer.report("h", at_s, container(*NAMES[0], dice)) for at_s in range(0, 60, 10)))
    roll(store)
    before = [stored(store, seconds) for seconds in TIERS]
    for table in ("containers", "reports"):
        store.sql(f"DELETE FROM {table}")
    writer.put(writer.report("h", 5, container(*NAMES[0], dice)))
    roll(store)
    assert due(store) == 0
    assert [stored(store, seconds) for seconds in TIERS] == before


def test_the_finest_tier_is_of_hosts_that_report_more_often(store: Target) -> None:
    """Also of what such a host told late, after it had begun to report more seldom."""
    writer, dice = Writer(store), random.Random("cadence")
    for number in range(60):
        writer.put(writer.report("often", number * 10, container(*NAMES[0], dice)))
        writer.put(writer.report("seldom", number * 60, container(*NAMES[0], dice)))
    roll(store)
    often, seldom = 1, 2
    assert {key[0] for key in stored(store, 60)} == {often}
    writer.put(*(writer.report("often", at_s, container(*NAMES[1], dice)) for at_s in (600, 720, 840, 1_000)))
    writer.put(writer.report("often", 35, container(*NAMES[1], dice)))
    roll(store)
    whole = expected(store, 60)
    assert stored(store, 60) == {key: value for key, value in whole.items() if key in stored(store, 60)}
    assert {key for key in stored(store, 60) if key[3] < moment(T0 + 590 * SECOND)} == {
        key for key in whole if key[0] == often and key[3] < moment(T0 + 590 * SECOND)
    }
    for seconds in (600, 3_600):
        assert stored(store, seconds) == expected(store, seconds)
    assert seldom in {key[0] for key in stored(store, 600)}


def test_what_is_made_again_keeps_the_cadence_of_its_time(store: Target) -> None:
    writer, dice = Writer(store), random.Random("then")
    writer.put(*(writer.report("h", at_s, container(*NAMES[0], dice)) for at_s in range(0, 1_200, 10)))
    store.sql("UPDATE hosts SET interval_s = 10")
    roll(store)
    store.sql("UPDATE hosts SET interval_s = 50")
    writer.put(*(writer.report("h", at_s, container(*NAMES[0], dice)) for at_s in (5, 615, 2_000)))
    store.sql("UPDATE hosts SET interval_s = 50")
    roll(store)
    for seconds in TIERS:
        [*cadences] = store.sql(
            f"SELECT interval_s FROM rollup_{seconds} WHERE interval_s IS NOT NULL ORDER BY begins_at"
        )
        assert cadences[0] == (10,)
        assert set(cadences) <= {(10,), (50,)}


def test_a_host_of_two_days_without_containers_has_its_tiers(store: Target) -> None:
    writer = Writer(store)
    for day in range(2):
        writer.put(*(writer.report("h", day * 86_400 + at_s) for at_s in range(0, 1_200, 10)))
        roll(store, LATER + timedelta(days=day))
    for seconds in TIERS:
        assert stored(store, seconds) == expected(store, seconds)


def test_a_transaction_aggregates_some_hosts_of_one_minute(store: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve rows are expected of a host's minute here: six reports of one container and of the host."""
    monkeypatch.setattr(rollups, "ROWS", 40)
    writer, dice = Writer(store), random.Random("portions")
    writer.put(*(writer.report(f"h{n}", at_s, container(*NAMES[0], dice)) for n in range(7) for at_s in (1, 61)))
    store.sql("UPDATE hosts SET interval_s = 10")
    with store.engine.begin() as connection:
        portions = rollups.due(connection, LATER).portions
        assert [len(one.host_ids) for one in portions] == [3, 3, 1, 3, 3, 1]
        assert [one.at for one in portions] == sorted(one.at for one in portions)
        assert [rollups.make(connection, one) for one in (*portions, portions[0])] == [3, 3, 1, 3, 3, 1, 3]
    roll(store)
    for seconds in TIERS:
        assert stored(store, seconds) == expected(store, seconds)


def test_no_host_waits_until_the_others_have_nothing_left(store: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """More is due than one plan holds: the next one goes on with the next hosts, and then begins anew."""
    monkeypatch.setattr(rollups, "LOOK_AHEAD", 4)
    writer, dice = Writer(store), random.Random("turns")
    writer.put(*(writer.report(f"h{n}", 61 * turn, container(*NAMES[0], dice)) for n in range(4) for turn in range(3)))
    ids = [row[0] for row in store.sql("SELECT id FROM hosts ORDER BY id")]
    seen, after = list[set[int]](), 0
    with store.engine.begin() as connection:
        for _ in range(4):
            portions, after = rollups.due(connection, LATER, after)
            seen.append({host_id for one in portions for host_id in one.host_ids})
    assert seen == [set(ids[:2]), set(ids[2:]), set(ids[:2]), set(ids[2:])]
    roll(store)
    assert due(store) == 0


def test_names_of_long_ago_cost_nothing(store: Target) -> None:
    """A host that runs each build in a container of its own has had tens of thousands."""

    def rolled(turn: int) -> float:
        shown = container("docker", f"new-{turn}", random.Random(turn))  # one appears, and that of before vanishes
        writer.put(*(writer.report("h", 600 * turn + at_s, shown) for at_s in range(0, 600, 10)))
        began = time.monotonic()
        roll(store, moment(T0) + timedelta(seconds=600 * turn + 700))
        return time.monotonic() - began

    writer = Writer(store)
    few = min(rolled(turn) for turn in range(5))
    dead = ({"n": f"build-{number}", "d": "2024-01-01"} for number in range(20_000))
    with store.engine.begin() as connection:
        statement = "INSERT INTO series (host_id, engine_type, container_name, last_on) VALUES (1, 'docker', :n, :d)"
        connection.execute(text(statement), list(dead))
    within(min(rolled(turn) for turn in range(5, 10)), 2 * few)
