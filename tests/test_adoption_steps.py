import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import inspect

from database.adoption_state import NotReady
from model.models import containers, hosts, reports, rollup_pending
from tests.earlier import NOON, Earlier, rows, small
from tests.elapsed import within
from tests.schema_engine import Crash, Saboteur, Target, prepare_in_processes, target

pytestmark = pytest.mark.slow

NewUrl = Callable[[str], str]

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NOON_UTC = NOON - 9 * HOUR  # Seoul


@pytest.fixture
def empty(engine: str, new_url: NewUrl) -> Iterator[Target]:
    with target(new_url(engine)) as one:
        yield one


def test_an_adoption_killed_at_any_point_goes_on(engine: str, new_url: NewUrl) -> None:
    """The work moves on with each attempt: no step is lost and none is done twice."""
    with target(new_url(engine)) as whole, target(new_url(engine)) as killed:
        for one in (whole, killed):
            small(one)
        whole.prepare()
        kills = 0
        for passes in range(200):
            try:
                with Saboteur(killed.engine, passes):
                    killed.prepare()
                break
            except Crash:
                kills += 1
        assert kills > 20
        for table in (hosts, reports, containers, rollup_pending):
            assert rows(killed, table) == rows(whole, table)
        assert inspect(killed.engine).get_table_names() == inspect(whole.engine).get_table_names()


def test_an_adoption_killed_between_two_chunks_goes_on_there(empty: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("database.adoption.CHUNK", 2)
    small(empty)
    seen: list[tuple[int, int]] = []

    def progress(done: int, of_all: int) -> None:
        seen.append((done, of_all))
        if len(seen) == 1:
            raise Crash

    with pytest.raises(Crash):
        empty.prepare(progress=progress)
    empty.prepare(progress=progress)
    assert seen == [(4, 6), (6, 6)]
    assert [row["sampled_at"] for row in rows(empty)] == [NOON_UTC - HOUR, NOON_UTC, NOON_UTC, NOON_UTC + HOUR]


def test_processes_that_start_at_once_adopt_once(empty: Target) -> None:
    small(empty)
    assert prepare_in_processes(empty.url, 4) == [(0, "")] * 4
    assert (len(rows(empty)), len(rows(empty, hosts)), len(rows(empty, reports))) == (4, 2, 2)


def test_counts_that_differ_keep_the_earlier_tables(empty: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    small(empty)
    monkeypatch.setattr("database.adoption._copy_chunk", lambda *_: 0)
    with pytest.raises(NotReady, match="earlier_hosts and earlier_containers"):
        empty.prepare()
    assert {"earlier_hosts", "earlier_containers"} <= set(inspect(empty.engine).get_table_names())
    monkeypatch.undo()
    empty.prepare()
    assert len(rows(empty)) == 4


def test_more_rows_than_allowed_are_left_alone(empty: Target) -> None:
    small(empty)
    with pytest.raises(NotReady, match=r"more than 5 rows.*python manage\.py db upgrade"):
        empty.prepare(max_rows=5)
    assert set(inspect(empty.engine).get_table_names()) == {"hosts", "containers"}
    empty.prepare(max_rows=None)
    assert len(rows(empty)) == 4


def test_without_migration_nothing_is_adopted(empty: Target) -> None:
    small(empty)
    with pytest.raises(NotReady, match=r"python manage\.py db upgrade"):
        empty.prepare(migrate=False)
    assert set(inspect(empty.engine).get_table_names()) == {"hosts", "containers"}


def test_empty_tables_are_adopted(empty: Target) -> None:
    Earlier(empty)
    empty.prepare()
    assert rows(empty, hosts) == rows(empty) == []


def test_a_foreign_key_of_our_name_is_no_obstacle(empty: Target) -> None:
    earlier = Earlier(empty, key="fk_containers_host")
    earlier.add_host(1, "web")
    earlier.add_container(1, 1, "web")
    empty.prepare()
    assert len(rows(empty)) == 1


def test_a_table_in_the_way_is_named(empty: Target) -> None:
    small(empty)
    empty.sql("CREATE TABLE earlier_hosts (id INT)")
    with pytest.raises(NotReady, match="a table earlier_hosts already"):
        empty.prepare()
    assert set(inspect(empty.engine).get_table_names()) == {"hosts", "containers", "earlier_hosts"}


def test_tables_with_one_more_column_are_not_the_earlier_servers(empty: Target) -> None:
    small(empty)
    empty.sql("ALTER TABLE hosts ADD COLUMN mine INT")
    with pytest.raises(NotReady, match="containers, hosts"):
        empty.prepare()
    assert len(empty.sql("SELECT * FROM containers")) == 4


@pytest.mark.parametrize("bad", ["0000-00-00 00:00:00", "0001-01-01 00:00:00"])
def test_times_that_are_none_are_no_obstacle(empty: Target, bad: str) -> None:
    small(empty)
    if empty.engine.dialect.name == "sqlite":
        empty.sql("UPDATE containers SET get_datetime = :bad WHERE id = 1", bad=bad)
    else:
        with empty.engine.begin() as connection:
            connection.exec_driver_sql("SET SESSION sql_mode = ''")
            connection.exec_driver_sql(f"UPDATE containers SET get_datetime = '{bad}' WHERE id = 1")
            connection.exec_driver_sql("SET SESSION sql_mode = 'STRICT_ALL_TABLES'")
    empty.prepare()
    assert len(rows(empty)) == 4


@pytest.mark.slow
def test_200_000_rows_are_adopted_within_a_minute(
    empty: Target, record_property: Callable[[str, object], None]
) -> None:
    earlier = Earlier(empty)
    for id_ in range(1, 101):
        earlier.add_host(id_, f"host-{id_}", NOON)
    names = [(host, f"container-{number}") for host in range(1, 101) for number in range(20)]
    for turn in range(100):
        at = NOON - (99 - turn) * MINUTE
        earlier.add_containers([{"host_id": host, "container_name": name, "get_datetime": at} for host, name in names])
    started = time.monotonic()
    empty.prepare()
    took_s = time.monotonic() - started
    record_property("seconds", round(took_s, 1))
    assert empty.sql("SELECT COUNT(*), COUNT(DISTINCT sampled_at) FROM containers") == [(200_000, 100)]
    current = "SELECT COUNT(*) FROM containers c JOIN hosts h ON c.host_id = h.id AND c.sampled_at = h.sampled_at"
    assert empty.sql(current) == [(2_000,)]
    within(took_s, 60)
