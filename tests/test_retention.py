"""What is removed, what stays, and by which clock."""

import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from config.settings import Monitoring
from database import retention, rollups
from model.history import TIERS
from services import jobs
from services.retention import Trust, expiries
from tests.intake import until
from tests.past import NAMES, T0, Writer, container, roll
from tests.schema_engine import Target
from tests.service import report, running, settings_for
from utils.utils import moment

pytestmark = pytest.mark.history
START = moment(T0)
DAY_S = 86_400


def expire(store: Target, now: datetime, **days: int) -> dict[str, int]:
    """One pass of the job, and how many rows of each table went."""
    removed: dict[str, int] = {}
    for name, step in expiries(Monitoring.model_validate(days), now):
        after: int | None = 0
        while after is not None:
            with store.engine.begin() as connection:
                progress = retention.sweep(connection, step, after)
            removed[name] = removed.get(name, 0) + progress.removed
            after = progress.after
    return removed


def counts(store: Target) -> list[int]:
    tables = ("containers", "reports", *(f"rollup_{seconds}" for seconds in TIERS))
    return [store.sql(f"SELECT COUNT(*) FROM {table}")[0][0] for table in tables]


def filled(store: Target, days: int = 5) -> None:
    """An old host that fell silent on the first day, and one that reports every six hours, with two containers each."""
    writer, dice = Writer(store), random.Random("retention")
    shown = [container(*name, dice) for name in NAMES[:2]]
    writer.put(*(writer.report("silent", at_s, *shown) for at_s in (0, 30)))
    for at_s in range(0, days * DAY_S, DAY_S // 4):
        writer.put(writer.report("busy", at_s, *shown))


def test_raw_rows_go_once_they_are_aggregated_and_old(store: Target) -> None:
    filled(store)
    now = START + timedelta(days=5)
    assert expire(store, now) == {
        "containers": 0,
        "reports": 0,
        "rollup_60": 0,
        "rollup_600": 0,
        "rollup_3600": 0,
        "events": 0,
        "series": 0,
    }
    roll(store, now)
    hourly = counts(store)[4]
    # Of busy 8 reports are older than three days; of silent the older one: its newest is its state.
    assert expire(store, now) | {"rollup_60": 0} == {
        "containers": 18,
        "reports": 9,
        "rollup_60": 0,
        "rollup_600": 0,
        "rollup_3600": 0,
        "events": 0,
        "series": 0,
    }
    assert counts(store)[:2] == [26, 13]
    assert counts(store)[4] == hourly
    assert store.sql("SELECT COUNT(*) FROM containers WHERE host_id = 1") == [(2,)]


def test_what_an_aggregate_waits_for_stays(store: Target) -> None:
    filled(store)
    now = START + timedelta(days=5)
    roll(store, now)
    store.sql("INSERT INTO rollup_pending (host_id, minute) VALUES (2, '2025-06-16 15:10:00.000000')")
    expire(store, now)
    assert store.sql("SELECT COUNT(*) FROM reports WHERE sampled_at < '2025-06-16 15:10:00'") == [(1,)]
    assert store.sql("SELECT COUNT(*) FROM reports WHERE host_id = 2") == [(16,)]


def test_keys_are_remembered_for_a_day_after_they_came(store: Target) -> None:
    """A report of last week that came an hour ago may be sent again."""
    writer = Writer(store)
    old = writer.report("late", 0, {"container_name": "c"})
    old.received_at += 5 * DAY_S * 1_000_000
    writer.put(old, writer.report("late", 5 * DAY_S))
    now = START + timedelta(days=5, hours=1)
    roll(store, now)
    assert expire(store, now)["reports"] == 0
    assert expire(store, now + timedelta(days=1))["reports"] == 1


def test_each_tier_is_kept_as_long_as_it_says(store: Target) -> None:
    filled(store, days=20)
    store.sql("UPDATE hosts SET interval_s = 15")
    now = START + timedelta(days=20)
    roll(store, now)
    before = counts(store)
    of_tiers = {"raw": 0, "1m": 1, "10m": 2, "1h": 0}
    kept = {f"retention_{name}_days": count for name, count in of_tiers.items()}
    removed = expire(store, now, **kept, events_retention_days=0)
    assert removed.keys() == {"rollup_60", "rollup_600"}
    after = counts(store)
    assert after[:2] == before[:2]
    assert after[4] == before[4]
    for seconds, days in ((60, 1), (600, 2)):
        [first] = store.sql(f"SELECT MIN(begins_at) FROM rollup_{seconds}")
        assert str(first[0])[:10] == str(now - timedelta(days=days))[:10]  # whole days


def test_nothing_is_removed_in_one_large_transaction(store: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(store)
    now = START + timedelta(days=5)
    roll(store, now)
    monkeypatch.setattr(retention, "ROWS", 4)
    most = 0
    for name, step in expiries(Monitoring(), now):
        after: int | None = 0
        while after is not None:
            with store.engine.begin() as connection:
                progress = step(connection, after)
            most, after = max(most, progress.removed), progress.after
        assert name
    assert most == 4
    assert counts(store)[:2] == [26, 13]


def test_a_clock_that_jumps_is_not_believed_until_as_much_time_has_passed() -> None:
    trust = Trust()
    assert trust.believes(START, 0)
    assert trust.believes(START + timedelta(minutes=10), 600)
    assert not trust.believes(START + timedelta(days=1, minutes=20), 1_200)
    assert not trust.believes(START + timedelta(days=1, minutes=30), 1_800)
    assert trust.believes(START + timedelta(days=2), DAY_S + 600)
    assert trust.believes(START, DAY_S + 1_200)  # set back: what would be removed now is gone already
    assert not trust.believes(START + timedelta(days=2), DAY_S + 1_800)


def test_the_job_removes_while_the_service_runs(
    engine: str, new_url: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ROLL_EVERY_S", 0.1)
    monkeypatch.setattr(jobs, "RETAIN_EVERY_S", 0.2)
    monkeypatch.setattr(rollups, "SETTLE", timedelta(minutes=-2))  # the ledger knows the newer report at once
    with running(settings_for(new_url(engine), tmp_path)) as service:
        week = {**report("aged", "web"), "age_s": 604_000}
        assert service.post(week).status_code == 200
        assert service.post(report("aged", "web")).status_code == 200
        until(lambda: service.sql("SELECT COUNT(*) FROM containers") == [(1,)])
        assert service.sql("SELECT COUNT(*) FROM reports") == [(2,)]  # its key came a moment ago
        until(lambda: "expired containers=1" in service.log)
        jumped = service.state["database"].clock
        monkeypatch.setattr(jumped, "measured", lambda *_: None)  # the next look at the database would put it right
        monkeypatch.setattr(jumped, "_offset", jumped._offset + DAY_S * 1_000_000 * 5)
        until(lambda: "clock_jumped" in service.log)
        time.sleep(0.5)
        assert service.log.count("clock_jumped") == 1
        assert service.sql("SELECT COUNT(*) FROM containers") == [(1,)]


def test_events_go_when_they_are_a_year_old(store: Target) -> None:
    filled(store)
    roll(store, START + timedelta(days=9))
    known = store.sql("SELECT COUNT(*) FROM events")[0][0]
    assert known > 0
    assert expire(store, START + timedelta(days=365))["events"] == 0
    assert expire(store, START + timedelta(days=366))["events"] == known
    assert store.sql("SELECT COUNT(*) FROM events") == [(0,)]


def test_a_host_that_reports_hourly_keeps_its_past_in_the_hours(store: Target) -> None:
    writer, dice = Writer(store), random.Random("hourly")
    shown = container(*NAMES[0], dice)
    writer.put(*(writer.report("hourly", at_s, shown) for at_s in range(0, 6 * DAY_S, 3_600)))
    roll(store, START + timedelta(days=7))
    assert expire(store, START + timedelta(days=7))["containers"] == 4 * 24
    hours = "SELECT COUNT(*) FROM rollup_3600 JOIN series ON id = series_id WHERE container_name = :name"
    assert [store.sql(hours, name=name) for name in ("", "web")] == [[(6 * 24,)]] * 2


def test_names_go_when_nothing_tells_of_them_any_more(store: Target) -> None:
    filled(store)
    roll(store, START + timedelta(days=9))
    names = store.sql("SELECT COUNT(*) FROM series")[0][0]
    assert names == 2 * 3
    gone = START + timedelta(days=800)
    assert expire(store, gone, events_retention_days=0)["series"] == 2  # the hosts', for events tell of containers
    assert expire(store, gone, retention_1h_days=0).get("series") is None
    assert expire(store, gone)["series"] == names - 2
    assert store.sql("SELECT COUNT(*) FROM series") == [(0,)]
    assert store.sql("SELECT COUNT(*) FROM containers WHERE host_id = 1") == [(2,)]  # the state of who fell silent


def test_a_name_stays_while_it_is_in_use(store: Target) -> None:
    filled(store, days=2)
    roll(store, START + timedelta(days=9))
    assert store.sql("SELECT COUNT(*) FROM series WHERE last_on < '2025-06-17'") == [(3,)]  # of silent
    assert expire(store, START + timedelta(days=731), events_retention_days=1)["series"] == 3
    assert store.sql("SELECT COUNT(*) FROM series") == [(3,)]
