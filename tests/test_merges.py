"""Two hosts made one: nothing is lost and nothing counted twice, wherever a merge is killed and whatever comes in."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from config.settings import Monitoring
from database import hosts as names
from database import merge_moments, merge_series, merges, purge, retention, tags
from model.history import METRICS, TIERS, events, webhook_calls
from model.history import rollups as tiers
from model.history import series as all_series
from model.models import containers, reports
from services.retention import expiries
from tests.console import manage
from tests.past import LATER, NAMES, T0, Writer, container, fleet, roll, step
from tests.schema_engine import Target
from tests.service import Service, report
from tests.test_manage import url_of
from utils.utils import SECOND, micros, moment

pytestmark = pytest.mark.history
NOW = T0 + 200_000 * SECOND


class Killed(Exception):
    """Ends a merge where a test wants it to end."""


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many transactions of few rows, one after the other."""
    monkeypatch.setattr(merges, "PAUSE_S", 0)
    monkeypatch.setattr(merge_moments, "ROWS", 25)
    monkeypatch.setattr(merge_series, "SPAN", timedelta(hours=1))


def rows(store: Target, table: Any, *skip: str) -> Counter[tuple[Any, ...]]:  # noqa: ANN401 - a table
    """What there is, but for the columns that a merge may change."""
    columns = [column for column in table.c if column.name not in skip]
    with store.engine.begin() as connection:
        return Counter(tuple(row) for row in connection.execute(select(*columns)))


def past(store: Target, host_id: int | None = None) -> dict[tuple[Any, ...], list[Any]]:
    """Each bucket by tier, series' name and time: of one host, or of all together as if they were one."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    with store.engine.begin() as connection:
        for seconds, table in tiers.items():
            joined = select(all_series.c.host_id, all_series.c.engine_type, all_series.c.container_name, table)
            joined = joined.join(all_series, all_series.c.id == table.c.series_id)
            for row in connection.execute(joined):
                if host_id in (None, row.host_id):
                    key = (seconds, row.engine_type, row.container_name, row.begins_at)
                    found[key] = _added(found.get(key), row)
    return found


def _added(known: list[Any] | None, row: Any) -> list[Any]:  # noqa: ANN401 - a row
    new = [row.samples]
    for metric in METRICS:
        low, high = getattr(row, f"{metric}_min"), getattr(row, f"{metric}_max")
        new += [getattr(row, f"{metric}_sum"), low, high, getattr(row, f"{metric}_nulls") or 0]
    if known is None:
        return new
    folds = [_plus, *(_plus, _of(min), _of(max), _plus) * len(METRICS)]
    return [fold(one, other) for fold, one, other in zip(folds, known, new, strict=True)]


def _of(choose: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda one, other: choose((v for v in (one, other) if v is not None), default=None)


_plus = _of(lambda values, default: sum(found) if (found := list(values)) else default)


def two_hosts(store: Target, dice: random.Random) -> Writer:
    """Two hosts with a past in common: some of it aggregated, some of it only as aggregates, some not yet."""
    writer, made = Writer(store), fleet(store, dice, 160)
    writer.put(*made)
    store.sql("UPDATE hosts SET interval_s = 15")
    roll(store, moment(T0) + timedelta(minutes=dice.choice([20, 45, 200])))
    if dice.random() < 0.6:
        cut = str(moment(T0) + timedelta(minutes=dice.choice([5, 15])))
        for table in ("containers", "reports"):
            store.sql(f"DELETE FROM {table} WHERE sampled_at < :cut", cut=cut)
    return writer


def merge(store: Target) -> int:
    return merges.merge(store.engine, NOW, "h0", "h1")


def id_of(store: Target, name: str) -> int:
    with store.engine.begin() as connection:
        return names.find(connection, [name])[name]


def begun(store: Target) -> int:
    """A merge that was killed before it moved a row."""
    source, into = id_of(store, "h0"), id_of(store, "h1")
    with store.engine.begin() as connection:
        merges.begin(connection, source, into, NOW)
    return into


MOVED = ("id", "host_id", "sampled_at")


@pytest.mark.parametrize("seed", range(4))
def test_the_past_of_the_merged_host_is_the_sum_of_both(store: Target, seed: int) -> None:
    two_hosts(store, random.Random(f"merge {seed}"))
    kept = [rows(store, table, *MOVED) for table in (reports, containers)]
    roll_first = past(store)
    into = merge(store)
    assert [rows(store, table, *MOVED) for table in (reports, containers)] == kept
    assert store.sql("SELECT DISTINCT host_id FROM reports") == [(into,)]
    assert store.sql("SELECT DISTINCT host_id FROM containers") == [(into,)]
    assert past(store, into) == roll_first
    roll(store)
    assert {key: value for key, value in past(store, into).items() if key in roll_first} == roll_first


def test_what_was_not_aggregated_yet_is_aggregated_of_both(store: Target) -> None:
    """As if all of it had been one host's from the first."""
    dice = random.Random("not yet")
    Writer(store).put(*fleet(store, dice, 160))
    store.sql("UPDATE hosts SET interval_s = 15")
    into = merge(store)
    roll(store)
    merged = past(store, into)
    total = sum(value[0] for key, value in merged.items() if key[:3] == (3_600, "", ""))
    assert total == 160
    for seconds in TIERS[:2]:
        finer = sum(value[0] for key, value in merged.items() if key[0] == seconds)
        assert finer == sum(value[0] for key, value in merged.items() if key[0] == 3_600)


@pytest.mark.parametrize("seed", range(3))
def test_a_merge_killed_at_any_point_is_finished_by_the_next(store: Target, seed: int) -> None:
    """Between two statements, before a commit, again and again; with the job and late reports in between."""
    dice = random.Random(f"killed {seed}")
    writer = two_hosts(store, dice)
    whole, kept = past(store), rows(store, reports, *MOVED)
    late = 0
    for _ in range(400):
        try:
            with killed_after(store, dice.randrange(1, 60)):
                into = merge(store)
            break
        except merges.MergeRefused:  # killed when all was done
            into = id_of(store, "h1")
            break
        except Killed:
            if dice.random() < 0.3:
                writer.put(writer.report("h1", 90_000 + late * 60, container(*NAMES[0], dice)))
                late += 1
            if dice.random() < 0.3:
                with store.engine.begin() as connection:
                    step(connection, LATER)
    else:
        into = merge(store)
    assert sum(rows(store, reports, *MOVED).values()) == sum(kept.values()) + late
    assert rows(store, reports, *MOVED) >= kept
    roll(store)
    after = past(store, into)
    assert {key: after.get(key) for key in whole} == whole
    assert sum(value[0] for key, value in after.items() if key[:3] == (3_600, "", "")) >= late


class killed_after:  # noqa: N801 - reads as what it does
    """Ends whatever writes after so many statements, as a kill does: what was not committed is gone."""

    def __init__(self, store: Target, statements: int) -> None:
        self._engine, self._left = store.engine, statements

    def __enter__(self) -> None:
        event.listen(self._engine, "before_cursor_execute", self._strike)
        event.listen(self._engine, "commit", self._strike)

    def _strike(self, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            raise Killed

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._strike)
        event.remove(self._engine, "commit", self._strike)


def test_moments_that_both_have_move_on_with_their_containers(store: Target) -> None:
    writer, dice = Writer(store), random.Random("same moment")
    for host in ("h0", "h1"):
        writer.put(
            *(writer.report(host, at, *(container(*name, dice) for name in NAMES)) for at in (0, 1e-6, 2e-6, 10))
        )
    before = rows(store, containers, *MOVED)
    merge(store)
    found = store.sql("SELECT sampled_at, COUNT(*) FROM containers GROUP BY sampled_at ORDER BY sampled_at")
    assert [count for _, count in found] == [len(NAMES)] * 8
    moments = [moment_of(at) - T0 for at, _ in found]
    assert moments == [0, 1, 2, 3, 4, 5, 10 * SECOND, 10 * SECOND + 1]
    assert rows(store, containers, *MOVED) == before
    assert {moment_of(at) - T0 for (at,) in store.sql("SELECT sampled_at FROM reports")} == set(moments)


def moment_of(at: Any) -> int:  # noqa: ANN401 - a moment, or SQLite's text
    return micros(datetime.fromisoformat(at) if isinstance(at, str) else at)


@pytest.mark.parametrize(("newer", "cpu"), [("h0", 10.0), ("h1", 20.0)])
def test_the_newer_of_both_newest_reports_is_the_state(store: Target, newer: str, cpu: float) -> None:
    writer = Writer(store)
    for host, value in (("h0", 10.0), ("h1", 20.0)):
        made = [writer.report(host, at, {"container_name": host}, cpu_percentage=value) for at in (0, 60)]
        writer.put(
            *made, writer.report(host, 600 if host == newer else 300, {"container_name": host}, cpu_percentage=value)
        )
    into = merge(store)
    assert store.sql("SELECT id, cpu_percentage FROM hosts WHERE deleted_at IS NULL") == [(into, cpu)]
    current = store.sql(
        "SELECT c.container_name FROM containers c JOIN hosts h ON h.id = c.host_id AND h.sampled_at = c.sampled_at"
    )
    assert current == [(newer,)]


def test_events_calls_and_tags_move_too(store: Target) -> None:
    writer, dice = Writer(store), random.Random("events")
    writer.put(*(writer.report(host, 0, container(*NAMES[0], dice)) for host in ("h0", "h1")))
    roll(store)
    store.sql("DELETE FROM events")
    at, ids = moment(T0 + 5 * SECOND), (id_of(store, "h0"), id_of(store, "h1"))
    found = dict(store.sql("SELECT host_id, id FROM series WHERE container_name = 'web'"))
    with store.engine.begin() as connection:
        for one in ids:
            row = {"host_id": one, "at": at, "kind": "status"}
            connection.execute(events.insert(), {**row, "series_id": found[one]})
            connection.execute(webhook_calls.insert(), row)
        tags.put(connection, ids[0], ["a", "b"])
        tags.put(connection, ids[1], ["b", "c"])
    into = merge(store)
    for table in ("events", "webhook_calls"):
        [first, second] = store.sql(f"SELECT host_id, at FROM {table} ORDER BY at")
        assert (first[0], second[0]) == (into, into)
        assert moment_of(second[1]) - moment_of(first[1]) == 1
    assert store.sql("SELECT DISTINCT series_id FROM events") == [(found[into],)]
    assert store.sql(f"SELECT tag FROM host_tags WHERE host_id = {into} ORDER BY tag") == [("a",), ("b",), ("c",)]


def test_more_tags_than_a_host_may_have_refuse_the_merge(store: Target) -> None:
    two_hosts(store, random.Random("tags"))
    ids = [id_of(store, name) for name in ("h0", "h1")]
    with store.engine.begin() as connection:
        for host_id in ids:
            tags.put(connection, host_id, [f"{host_id}-{tag}" for tag in range(26)])
    with pytest.raises(merges.MergeRefused, match="more than 50 tags"):
        merge(store)
    assert id_of(store, "h0") == ids[0]


def test_a_host_of_one_report_takes_the_cadence_of_the_other(store: Target) -> None:
    writer = Writer(store)
    writer.put(*(writer.report("h0", at_s) for at_s in (0, 10, 20)), writer.report("h1", 30))
    store.sql("UPDATE hosts SET interval_s = 10 WHERE host_name = 'h0'")
    assert store.sql("SELECT interval_s FROM hosts WHERE host_name = 'h1'") == [(None,)]
    into = merge(store)
    assert store.sql(f"SELECT interval_s FROM hosts WHERE id = {into}") == [(10.0,)]


def test_no_transaction_moves_many_rows(store: Target) -> None:
    """The four tables of moments have a quarter of 5,000 each, a series' hours less than that."""
    two_hosts(store, random.Random("steps"))
    into, steps = begun(store), 0
    while True:
        before = rows(store, containers)
        with store.engine.begin() as connection:
            moved = merges.step(connection, into)
        if not moved:
            break
        changed = before - rows(store, containers)
        assert sum(changed.values()) <= 30
        steps += 1
    assert steps > 10


def test_retention_leaves_a_half_merged_host_alone(store: Target) -> None:
    writer = Writer(store)
    writer.put(*(writer.report(host, at, {"container_name": "c"}) for host in ("h0", "h1") for at in (0, 60)))
    roll(store)
    begun(store)
    now = moment(T0) + timedelta(days=9)
    for _, expire in expiries(Monitoring(), now):
        after: int | None = 0
        while after is not None:
            with store.engine.begin() as connection:
                after = retention.sweep(connection, expire, after).after
    with store.engine.begin() as connection:
        assert purge.purge(connection, 100) == 0
    assert store.sql("SELECT host_id, COUNT(*) FROM reports GROUP BY host_id ORDER BY 2 DESC")[0] == (1, 2)


def test_what_is_left_of_a_merge_goes_with_the_host_that_it_was_for(store: Target) -> None:
    writer = Writer(store)
    writer.put(*(writer.report(host, 0, {"container_name": "c"}) for host in ("h0", "h1")))
    into = begun(store)
    with store.engine.begin() as connection:
        assert names.hide(connection, into, NOW)
    for _ in range(30):
        with store.engine.begin() as connection:
            purge.purge(connection, 100)
    assert store.sql("SELECT COUNT(*) FROM reports") == [(0,)]


# Beside a running server


def test_reports_are_kept_while_hosts_are_merged(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    old = stored(service, "web-1", "a")
    new = stored(service, "web-01", "a")
    seen: list[int] = []
    transaction = merges._transaction

    def between(*args: Any) -> Any:  # noqa: ANN401 - as it is
        seen.append(stored(service, "web-01", "a"))
        return transaction(*args)

    monkeypatch.setattr(merges, "_transaction", between)
    done = manage(url_of(service), "host", "merge", "web-1", "web-01")
    assert (done.status, done.words) == (0, f"host {new} has the past of both")
    assert set(seen) == {new}
    assert service.sql("SELECT COUNT(*) FROM reports WHERE host_id = :id", id=new) == [(2 + len(seen),)]
    assert [host["id"] for host in service.data("/api/hosts", q="web-")] == [new]
    assert stored(service, "web-1") not in (old, new)


def stored(service: Service, name: str, *shown: str) -> int:
    host_id: int = service.post(report(name, *shown)).json()["data"]["host_id"]
    return host_id
