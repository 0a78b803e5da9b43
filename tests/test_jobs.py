"""The background jobs: what they do once, in one process, whatever dies."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from database import leases, rollups
from services import jobs
from tests.conftest import ENGINES
from tests.intake import until
from tests.schema_engine import Target
from tests.service import report, running, settings_for

pytestmark = pytest.mark.history


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs come every tenth of a second, and a bucket is made at once."""
    monkeypatch.setattr(jobs, "ROLL_EVERY_S", 0.1)
    monkeypatch.setattr(rollups, "SETTLE", timedelta(seconds=-3_600))


@pytest.mark.usefixtures("quick")
def test_reports_become_buckets(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> None:
    buckets = (
        "SELECT container_name, samples, cpu_percentage_sum, cpu_percentage_max FROM rollup_3600 "
        "JOIN series ON series.id = series_id ORDER BY container_name"
    )
    due = "SELECT (SELECT COUNT(*) FROM rollup_pending) + (SELECT COUNT(*) FROM rollup_due)"
    with running(settings_for(new_url(engine), tmp_path)) as service:
        for cpu in (1.0, 2.0, 6.0):
            assert service.post(report("rolled", "web", cpu_percentage=cpu)).status_code == 200
        until(lambda: service.sql(buckets) == [("", 3, 9.0, 6.0), ("web", 3, None, None)])
        until(lambda: service.sql(due) == [(0,)])


@pytest.mark.usefixtures("quick")
def test_a_pass_ends_where_another_process_holds_the_lease(
    engine: str, new_url: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then nothing is made: the rest of what was planned is not tried."""
    tried = list[datetime]()

    def nothing(_connection: object, portion: rollups.Portion) -> int:
        tried.append(portion.at)
        return 0

    monkeypatch.setattr(rollups, "make", nothing)
    with running(settings_for(new_url(engine), tmp_path)) as service:
        for minute in (3, 2, 1):
            assert service.post({**report("planned"), "age_s": minute * 60}).status_code == 200
        until(lambda: len(tried) > 5)
        assert len(set(tried)) == 1


@pytest.mark.usefixtures("quick")
def test_a_deleted_host_leaves_no_aggregates(
    engine: str, new_url: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PURGE_EVERY_S", 0.1)
    monkeypatch.setattr(jobs, "PURGE_ROWS", 2)
    with running(settings_for(new_url(engine), tmp_path)) as service:
        for minute in range(5):
            late = {**report("gone", "web", "db"), "age_s": minute * 60}
            assert service.post(late).status_code == 200
        assert service.post(report("stays", "web")).status_code == 200
        until(lambda: service.sql("SELECT SUM(samples) FROM rollup_3600") == [(17,)])
        assert service.client.delete("/api/hosts/1").status_code == 204
        until(lambda: service.sql("SELECT id FROM hosts") == [(2,)])
        assert service.sql("SELECT DISTINCT host_id FROM series") == [(2,)]
        for seconds in (60, 600, 3_600):
            assert service.sql(f"SELECT SUM(samples) FROM rollup_{seconds}") == [(2,)]
        assert "job_failed" not in service.log


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "sqlite"], indirect=True)
def test_of_two_instances_one_holds_the_lease(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> None:
    url = new_url(engine)
    with running(settings_for(url, tmp_path)) as one, running(settings_for(url, tmp_path)) as other:
        until(lambda: bool(one.sql("SELECT owner FROM leases WHERE name = 'history'")))
        [(first,)] = one.sql("SELECT owner FROM leases WHERE name = 'history'")
        for service in (one, other):
            assert service.post(report("shared", "web")).status_code == 200
        until(lambda: one.sql("SELECT SUM(samples) FROM rollup_3600") == [(4,)])
        time.sleep(0.5)
        assert one.sql("SELECT SUM(samples) FROM rollup_3600") == [(4,)]
        assert one.sql("SELECT owner, fence FROM leases WHERE name = 'history'") == [(first, 1)]


def holds(store: Target, owner: str, ttl_s: float = 20) -> bool:
    with store.engine.begin() as connection:
        return leases.hold(connection, store.dialect, "job", owner, ttl_s)


def test_a_job_is_of_one_owner_until_its_lease_runs_out(store: Target) -> None:
    assert holds(store, "one")
    assert not holds(store, "two")
    assert holds(store, "one", 0.3)
    assert store.sql("SELECT fence FROM leases WHERE name = 'job'") == [(1,)]
    time.sleep(0.4)
    assert holds(store, "two")
    assert not holds(store, "one")
    assert store.sql("SELECT owner, fence FROM leases WHERE name = 'job'") == [("two", 2)]
