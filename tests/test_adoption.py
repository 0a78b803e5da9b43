import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select

from database.adoption_state import NotReady
from model.models import containers, hosts, metadata, reports, rollup_pending
from tests.earlier import HOST, NOON, Earlier
from tests.schema_engine import Crash, Saboteur, Target, target

NewUrl = Callable[[str], str]

HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)
NOON_UTC = NOON - 9 * HOUR  # Seoul
LONG = "long" * 100
MINUTE = timedelta(minutes=1)


def rows(one: Target, table: object = containers) -> list[dict[str, object]]:
    with one.engine.begin() as connection:
        return [dict(row._mapping) for row in connection.execute(select(table))]  # type: ignore[call-overload]  # any table


def of(one: Target, table: object, id_: int) -> dict[str, object]:
    return next(row for row in rows(one, table) if row["id"] == id_)


@pytest.fixture
def empty(engine: str, new_url: NewUrl) -> Iterator[Target]:
    with target(new_url(engine)) as one:
        yield one


def small(one: Target) -> None:
    """Two hosts with a present and a past."""
    earlier = Earlier(one)
    earlier.add_host(1, "web-1")
    earlier.add_host(2, "web-2", NOON + HOUR)
    earlier.add_container(1, 1, "web", get_datetime=NOON - HOUR)
    earlier.add_container(2, 1, "db", status="exited")
    earlier.add_container(3, 1, "web")
    earlier.add_container(4, 2, "web", get_datetime=NOON + HOUR)


@pytest.fixture(scope="module")
def adopted(engine: str, new_url: NewUrl) -> Iterator[Target]:
    """Every oddity at once; each test looks at one."""
    with target(new_url(engine)) as one:
        earlier = Earlier(one, text=400, checked=False)
        for id_, name in ((1, "host"), (2, "twin"), (5, "twin"), (6, "twin"), (7, None), (8, f"{LONG}1"), (9, f"{LONG}2")):
            earlier.add_host(id_, name)
        earlier.add_host(10, "clockless", None, cpu_percentage=None, cpu_cores=None)
        earlier.add_host(11, " padded ")
        earlier.add_host(12, "future", datetime(2099, 1, 1))  # noqa: DTZ001 - local
        earlier.add_host(13, "Host")
        earlier.add_host(14, "host-30")
        earlier.add_container(1, 1, "web", get_datetime=NOON - HOUR)
        earlier.add_container(2, 1, "web")
        earlier.add_container(3, 1, "Web", status="exited")
        earlier.add_container(4, 1, "web", get_datetime=NOON - MINUTE)
        earlier.add_container(10, 2, "twins")
        earlier.add_container(11, 6, "twins")
        earlier.add_container(20, 30, "orphan", get_datetime=NOON - HOUR)
        earlier.add_container(21, None, "orphan")
        nothing = dict.fromkeys(("engine_type", "cluster_name", "node_name", "status", "cpu_percentage"))
        earlier.add_container(30, 1, None, **nothing, get_datetime=None)
        earlier.add_container(31, 1, f"{LONG}1")
        earlier.add_container(32, 1, f"{LONG}2")
        earlier.add_container(40, 11, "web ")
        earlier.add_container(41, 11, "web")
        one.prepare()
        yield one


def test_every_row_is_there_with_its_id(adopted: Target) -> None:
    assert sorted(str(row["id"]) for row in rows(adopted)) == sorted(
        map(str, (1, 2, 3, 4, 10, 11, 20, 21, 30, 31, 32, 40, 41))
    )
    assert {row["id"] for row in rows(adopted, hosts)} >= {1, 6, 7, 8, 9, 10, 11, 12, 13, 14, 30}


def test_the_earlier_tables_are_gone_and_the_schema_is_ours(adopted: Target) -> None:
    ours = {*metadata.tables, "alembic_version"}
    assert set(inspect(adopted.engine).get_table_names()) == ours
    with adopted.engine.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_numbers_are_what_the_earlier_server_showed(adopted: Target) -> None:
    host = of(adopted, hosts, 1)
    assert {name: host[name] for name in HOST} == HOST
    container = of(adopted, containers, 1)
    assert [container[name] for name in ("cpu_percentage", "memory_usage", "memory_percentage")] == [0.1, 1.7, 5.3]


def test_a_host_was_seen_when_its_row_says_in_the_zone(adopted: Target) -> None:
    host = of(adopted, hosts, 1)
    times = [host[name] for name in ("sampled_at", "last_seen", "created_at", "expected_by")]
    assert times == [NOON_UTC] * 4
    assert (host["get_datetime"], host["interval_s"], host["deleted_at"]) == (NOON, None, None)


def test_a_host_has_one_report_of_its_row(adopted: Target) -> None:
    report = next(row for row in rows(adopted, reports) if row["host_id"] == 1)
    assert (report["sampled_at"], report["received_at"], report["get_datetime"]) == (NOON_UTC, NOON_UTC, NOON)
    assert (report["cpu_percentage"], report["containers_count"]) == (3.9, 5)


def test_the_newest_row_of_each_name_is_the_present(adopted: Target) -> None:
    present = [row["id"] for row in rows(adopted) if row["host_id"] == 1 and row["sampled_at"] == NOON_UTC]
    assert sorted(map(str, present)) == ["3", "30", "31", "32", "4"]
    host = of(adopted, hosts, 1)
    assert (host["containers_count"], host["containers_running"]) == (5, 3)


def test_older_rows_are_the_past(adopted: Target) -> None:
    assert of(adopted, containers, 1)["sampled_at"] == NOON_UTC - HOUR
    assert of(adopted, containers, 2)["sampled_at"] == NOON_UTC - MICROSECOND


def test_hosts_of_one_name_become_the_newest_with_the_reports_of_all(adopted: Target) -> None:
    assert [row["id"] for row in rows(adopted, hosts) if row["host_name"] == "twin"] == [6]
    assert {of(adopted, containers, id_)["host_id"] for id_ in (10, 11)} == {6}
    twins = sorted(str(row["sampled_at"]) for row in rows(adopted, reports) if row["host_id"] == 6)
    assert twins == [str(NOON_UTC - 2 * MICROSECOND), str(NOON_UTC - MICROSECOND), str(NOON_UTC)]


def test_hosts_whose_names_differ_in_case_stay_apart(adopted: Target) -> None:
    assert {row["id"]: row["host_name"] for row in rows(adopted, hosts) if row["id"] in (1, 13)} == {1: "host", 13: "Host"}


def test_containers_without_their_host_get_one(adopted: Target) -> None:
    orphan = of(adopted, containers, 20)
    host = of(adopted, hosts, 30)
    assert orphan["host_id"] == 30
    assert (host["host_name"], host["sampled_at"]) == ("host-30-2", NOON_UTC - HOUR)  # host-30 is another's name
    assert [row["containers_count"] for row in rows(adopted, reports) if row["host_id"] == 30] == [1]


def test_containers_of_no_host_get_one(adopted: Target) -> None:
    home = of(adopted, containers, 21)["host_id"]
    assert [row["host_name"] for row in rows(adopted, hosts) if row["id"] == home] == ["host-0"]


def test_a_host_without_a_name_gets_one(adopted: Target) -> None:
    assert of(adopted, hosts, 7)["host_name"] == "host-7"


def test_missing_words_get_the_intakes_defaults(adopted: Target) -> None:
    row = of(adopted, containers, 30)
    words = [row[name] for name in ("engine_type", "cluster_name", "node_name", "container_name", "status")]
    assert words == ["docker", "host", "host", "unknown", "unknown"]
    assert (row["cpu_percentage"], row["get_datetime"], row["sampled_at"]) == (None, None, NOON_UTC)


@pytest.mark.parametrize(("table", "column", "first"), [(hosts, "host_name", 8), (containers, "container_name", 31)])
def test_long_names_are_cut_and_stay_apart(adopted: Target, table: object, column: str, first: int) -> None:
    one, other = (str(of(adopted, table, id_)[column]) for id_ in (first, first + 1))
    assert (len(one), len(other), one[:200]) == (255, 255, LONG[:200])
    assert one != other


def test_a_host_without_a_time_was_seen_now(adopted: Target) -> None:
    host = of(adopted, hosts, 10)
    age = datetime.fromtimestamp(time.time()) - datetime.fromisoformat(str(host["sampled_at"]))  # noqa: DTZ006
    assert abs(age.total_seconds() - datetime.now().astimezone().utcoffset().total_seconds()) < 300  # type: ignore[union-attr]  # it is aware
    assert (host["cpu_percentage"], host["cpu_cores"], host["get_datetime"]) == (None, None, None)


def test_nothing_was_measured_in_the_future(adopted: Target) -> None:
    host = of(adopted, hosts, 12)
    assert str(host["get_datetime"]).startswith("2099")
    assert str(host["sampled_at"]) < "2099"


def test_names_are_trimmed_as_the_next_reports_will_be(adopted: Target) -> None:
    assert of(adopted, hosts, 11)["host_name"] == "padded"
    present = [row["id"] for row in rows(adopted) if row["host_id"] == 11 and row["sampled_at"] == NOON_UTC]
    assert present == [41]


def test_the_minutes_of_all_rows_are_due_for_their_aggregates(adopted: Target) -> None:
    due = {(row["host_id"], row["minute"]) for row in rows(adopted, rollup_pending)}
    assert {(1, NOON_UTC), (1, NOON_UTC - HOUR), (1, NOON_UTC - MINUTE), (30, NOON_UTC - HOUR)} <= due


def test_the_next_ids_are_above_the_adopted(adopted: Target) -> None:
    with adopted.engine.begin() as connection:
        values = {"host_name": "next", "created_at": NOON}
        assert connection.execute(hosts.insert().values(values)).inserted_primary_key[0] > 30
        adopted_row = {key: value for key, value in of_first(connection).items() if key != "id"}
        assert connection.execute(containers.insert().values(adopted_row)).inserted_primary_key[0] > 41
        connection.rollback()


def of_first(connection: object) -> dict[str, object]:
    return dict(connection.execute(select(containers).limit(1)).one()._mapping)  # type: ignore[attr-defined]  # a connection


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
def test_200_000_rows_are_adopted_within_a_minute(empty: Target, record_property: Callable[[str, object], None]) -> None:
    earlier = Earlier(empty)
    for id_ in range(1, 101):
        earlier.add_host(id_, f"host-{id_}", NOON)
    names = [(host, f"container-{number}") for host in range(1, 101) for number in range(20)]
    for turn in range(100):
        at = NOON - (99 - turn) * MINUTE
        earlier.add_containers([{"host_id": host, "container_name": name, "get_datetime": at} for host, name in names])
    started = time.monotonic()
    empty.prepare()
    record_property("seconds", round(time.monotonic() - started, 1))
    assert time.monotonic() - started < 60
    assert empty.sql("SELECT COUNT(*), COUNT(DISTINCT sampled_at) FROM containers") == [(200_000, 101)]
    current = "SELECT COUNT(*) FROM containers c JOIN hosts h ON c.host_id = h.id AND c.sampled_at = h.sampled_at"
    assert empty.sql(current) == [(2_000,)]
