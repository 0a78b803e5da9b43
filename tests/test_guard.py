"""The limit of the database's size: what is shortened, in which order, how far, and what is said of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from services import guard, jobs
from services.guard import FLOORS, GIB, Step, next_step
from services.retention import removals
from tests import stored
from tests.intake import until
from tests.schema_engine import Target
from tests.service import Service, running, settings_for

pytestmark = pytest.mark.history
NOW = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
DAY = timedelta(days=1)
COUNTS = "SELECT (SELECT COUNT(*) FROM containers), (SELECT COUNT(*) FROM reports)"


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Target, float], "Serving"]:
    """Gives a service on a database that may take so many bytes; its retention comes again every moment."""
    monkeypatch.setattr(jobs, "RETAIN_EVERY_S", 0.2)
    monkeypatch.setattr(guard, "SETTLE_S", 1.0)
    return lambda one, limit: Serving(one, limit, tmp_path)


class Serving:
    """A service while a block runs."""

    def __init__(self, store: Target, limit: float, folder: Path) -> None:
        settings = settings_for(store.url, folder, MONITORING_MAX_DATABASE_GIB=str(limit / GIB))
        self._running = running(settings)

    def __enter__(self) -> Service:
        return self._running.__enter__()

    def __exit__(self, *error: object) -> None:
        self._running.__exit__(None, None, None)


def first(store: Target, table: str = "containers", at: str = "sampled_at") -> datetime:
    [(found,)] = store.sql(f"SELECT MIN({at}) FROM {table}")
    return datetime.fromisoformat(str(found))


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def test_deleting_lowers_the_size_that_is_seen(store: Target) -> None:
    began = stored.fill(store, days=2.9)
    before = stored.used(store).bytes
    for expire in removals("reports", began + 2 * DAY, now()).values():
        after: int | None = 0
        while after is not None:
            with store.engine.begin() as connection:
                after = expire(connection, after).after
    assert stored.settled(store, int(before * 0.6)) < before * 0.6


def test_samples_are_shortened_until_there_is_room(store: Target, serve: Callable[[Target, float], Serving]) -> None:
    began = stored.fill(store, days=2.9)
    before = stored.used(store).bytes
    with serve(store, before * 0.75) as service:
        until(lambda: stored.used(store).bytes <= before * 0.75, 60)
        time.sleep(2.5)
        assert stored.used(store).bytes > before * 0.5
        assert began + DAY / 8 < first(store) < now() - DAY
        assert "services.guard - WARNING - database_shortened table=reports" in service.log
        assert "database_too_large" not in service.log


def test_a_day_of_samples_stays_however_large_it_is(store: Target, serve: Callable[[Target, float], Serving]) -> None:
    stored.silent(store, days=1.7)
    stored.fill(store, days=1.6, hosts=3)
    with serve(store, 100_000) as service:
        until(lambda: "database_too_large" in service.log, 60)
        assert service.data("/api/storage")["guard"] == "exhausted"
        time.sleep(1)
        assert service.log.count("database_too_large") == 1
        kept = "WHERE host_id IN (SELECT id FROM hosts WHERE host_name = 'silent')"
        assert store.sql(f"SELECT COUNT(*) FROM containers {kept}") == [(3,)]
        assert store.sql(f"SELECT COUNT(*) FROM reports {kept}") == [(1,)]
        day = store.sql("SELECT COUNT(*) FROM containers WHERE sampled_at >= :at", at=str(now() - DAY))
        assert day[0][0] >= 3 * 47 * stored.CONTAINERS
        assert store.sql("SELECT COUNT(*) FROM containers")[0][0] - day[0][0] <= 3 * stored.CONTAINERS + 3


def test_without_a_limit_nothing_is_shortened(store: Target, serve: Callable[[Target, float], Serving]) -> None:
    stored.silent(store, days=5)
    stored.fill(store, days=2, hosts=1)
    [(containers, reports)] = store.sql(COUNTS)
    with serve(store, 0) as service:
        until(lambda: "expired containers=3" in service.log)
        time.sleep(0.5)
        assert service.data("/api/storage")["guard"] == "off"
        assert "database_shortened" not in service.log
    assert store.sql(COUNTS) == [(containers - 3, reports - 1)]


def test_aggregates_follow_once_a_day_of_samples_is_left(
    store: Target, serve: Callable[[Target, float], Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "SETTLE_S", 0.0)
    stored.fill(store, days=0.1, hosts=1)
    store.sql(
        "INSERT INTO series (id, host_id, engine_type, container_name, last_on) VALUES (1, 1, '', '', '2025-06-15')"
    )
    for name, days in (("rollup_60", 5), ("rollup_600", 20), ("rollup_3600", 100)):
        for ago in range(days):
            at = (now() - ago * DAY).strftime("%Y-%m-%d %H:%M:%S.000000")
            store.sql(f"INSERT INTO {name} (series_id, begins_at, samples) VALUES (1, :at, 1)", at=at)
    with serve(store, 100_000) as service:
        until(lambda: "database_too_large" in service.log, 60)
    for name in ("rollup_60", "rollup_600", "rollup_3600"):
        assert store.sql(f"SELECT COUNT(*) FROM {name}")[0][0] in (FLOORS[name].days, FLOORS[name].days + 1)


@contextmanager
def snapshot(store: Target) -> Iterator[None]:
    """Somebody who reads the state of now, as a backup does."""
    with store.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(text("SELECT COUNT(*) FROM containers"))
        yield


@pytest.mark.parametrize("engine", ["mariadb", "mysql"])
def test_no_more_goes_while_a_backup_keeps_what_went(
    store: Target, serve: Callable[[Target, float], Serving], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "ENOUGH", 200_000)
    stored.fill(store, days=2.9)
    size = stored.used(store).bytes
    with ExitStack() as backup:
        backup.enter_context(snapshot(store))
        with serve(store, size * 0.5) as service:
            until(lambda: "database_shortened" in service.log, 60)
            time.sleep(3)
            assert service.log.count("database_shortened") == 1
            backup.close()
            until(lambda: service.log.count("database_shortened") > 1, 60)


def test_the_finest_goes_first_and_each_has_its_floor() -> None:
    oldest: dict[str, datetime | None] = {name: NOW - 3 * floor for name, floor in FLOORS.items()}
    reached: dict[str, datetime] = {}
    steps = []
    while step := next_step(oldest, reached, NOW):
        reached[step.name] = step.cutoff
        steps.append(step)
    assert [step.name for step in steps] == [name for name in FLOORS for _ in range(8)]
    assert steps[0] == Step("reports", NOW - 3 * DAY + DAY / 4)
    assert reached == {name: NOW - floor for name, floor in FLOORS.items()}
