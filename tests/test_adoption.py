from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Table, insert, inspect

from model.models import containers, hosts, metadata, reports, rollup_pending
from tests.earlier import HOST, NOON, Earlier, of, rows
from tests.schema_engine import Target, target

pytestmark = pytest.mark.slow

NewUrl = Callable[[str], str]

HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)
NOON_UTC = NOON - 9 * HOUR  # Seoul
LONG = "long" * 100
MINUTE = timedelta(minutes=1)


def present(one: Target, host_id: int) -> set[int]:
    at = of(one, hosts, host_id)["sampled_at"]
    return {row["id"] for row in rows(one) if row["host_id"] == host_id and row["sampled_at"] == at}


@pytest.fixture(scope="module")
def adopted(engine: str, new_url: NewUrl) -> Iterator[Target]:
    """Every oddity at once; each test looks at one."""
    with target(new_url(engine)) as one:
        earlier = Earlier(one, text=500, checked=False)
        for id_, name in (
            (1, "host"),
            (2, "twin"),
            (5, "twin"),
            (6, "twin"),
            (7, None),
            (8, f"{LONG}1"),
            (9, f"{LONG}2"),
        ):
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
    assert {row["id"] for row in rows(adopted)} == {1, 2, 3, 4, 10, 11, 20, 21, 30, 31, 32, 40, 41}
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
    assert present(adopted, 1) == {3, 4, 30, 31, 32}
    host = of(adopted, hosts, 1)
    assert (host["containers_count"], host["containers_running"]) == (5, 3)


def test_older_rows_are_the_past(adopted: Target) -> None:
    assert of(adopted, containers, 1)["sampled_at"] == NOON_UTC - HOUR
    assert of(adopted, containers, 2)["sampled_at"] == NOON_UTC - MICROSECOND


def test_hosts_of_one_name_become_the_newest_with_the_reports_of_all(adopted: Target) -> None:
    assert [row["id"] for row in rows(adopted, hosts) if row["host_name"] == "twin"] == [6]
    assert {of(adopted, containers, id_)["host_id"] for id_ in (10, 11)} == {6}
    twins = sorted(row["sampled_at"] for row in rows(adopted, reports) if row["host_id"] == 6)
    assert twins == [NOON_UTC - 2 * MICROSECOND, NOON_UTC - MICROSECOND, NOON_UTC]


def test_hosts_whose_names_differ_in_case_stay_apart(adopted: Target) -> None:
    assert {row["id"]: row["host_name"] for row in rows(adopted, hosts) if row["id"] in (1, 13)} == {
        1: "host",
        13: "Host",
    }


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
def test_long_names_are_cut_and_stay_apart(adopted: Target, table: Table, column: str, first: int) -> None:
    one, other = (of(adopted, table, id_)[column] for id_ in (first, first + 1))
    assert (len(one), len(other), one[:200]) == (255, 255, LONG[:200])
    assert one != other


def test_a_host_without_a_time_was_seen_now(adopted: Target) -> None:
    host = of(adopted, hosts, 10)
    assert abs(datetime.now(UTC).replace(tzinfo=None) - host["sampled_at"]) < HOUR
    assert (host["cpu_percentage"], host["cpu_cores"], host["get_datetime"]) == (None, None, None)


def test_nothing_was_measured_in_the_future(adopted: Target) -> None:
    host = of(adopted, hosts, 12)
    assert host["get_datetime"].year == 2099
    assert host["sampled_at"].year < 2099


def test_names_are_trimmed_as_the_next_reports_will_be(adopted: Target) -> None:
    assert of(adopted, hosts, 11)["host_name"] == "padded"
    assert present(adopted, 11) == {41}


def test_the_minutes_of_all_rows_are_due_for_their_aggregates(adopted: Target) -> None:
    due = {(row["host_id"], row["minute"]) for row in rows(adopted, rollup_pending)}
    assert {(1, NOON_UTC), (1, NOON_UTC - HOUR), (1, NOON_UTC - MINUTE), (30, NOON_UTC - HOUR)} <= due


def test_the_next_ids_are_above_the_adopted(adopted: Target) -> None:
    host = {"host_name": "next", "created_at": NOON}
    container = {name: value for name, value in of(adopted, containers, 1).items() if name != "id"}
    with adopted.engine.connect() as connection:
        ids = [connection.execute(insert(hosts), host), connection.execute(insert(containers), container)]
        connection.rollback()
    assert all(id_.lastrowid > highest for id_, highest in zip(ids, (31, 41), strict=True))
