"""The SQL views: what they promise to those who read the database by themselves."""

import random
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from config.config import ROOT
from tests.console import manage
from tests.past import T0, Writer, container, fleet, roll
from tests.schema_engine import Target, target
from utils.utils import moment

pytestmark = pytest.mark.history
PAGE = (ROOT / "docs/views.md").read_text(encoding="utf-8")
SECTIONS: dict[str, str] = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
views = pytest.mark.parametrize("view", SECTIONS)
START = moment(T0)
METRICS = ("cpu_percentage", "memory_usage", "memory_percentage")
TURNS, HOSTS, EACH = 200, 3, 10


def fill(store: Target) -> None:
    """Two hosts' past, aggregated, and events of every kind: `web` appeared again, `db` for the first time."""
    Writer(store).put(*fleet(store, random.Random("views"), 240))
    roll(store)
    names = {
        (engine, name): id_
        for engine, name, id_ in store.sql("SELECT engine_type, container_name, id FROM series WHERE host_id = 1")
    }
    own, web, db = names["", ""], names["docker", "web"], names["docker", "db"]
    store.sql("UPDATE series SET first_at = :at WHERE id IN (:web, :db)", at=at(60), web=web, db=db)
    store.sql("DELETE FROM events")
    made = [(60, "appeared", db), (90, "appeared", web), (90, "status", web), (120, "dark", own), (150, "back", own)]
    for seconds, kind, series in made:
        store.sql(
            "INSERT INTO events (host_id, at, kind, series_id, from_value, to_value) "
            "VALUES (1, :at, :kind, :series, 'a', 'b')",
            at=at(seconds),
            kind=kind,
            series=series,
        )


def at(seconds: int) -> str:
    return (START + timedelta(seconds=seconds)).isoformat(" ", "microseconds")


@pytest.fixture(scope="module")
def store(engine: str, new_url: Callable[[str], str]) -> Iterator[Target]:
    with target(new_url(engine)) as one:
        one.prepare()
        fill(one)
        yield one


def rows(store: Target, query: str) -> list[dict[str, Any]]:
    with store.engine.begin() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


def test_every_view_is_documented(store: Target) -> None:
    assert sorted(inspect(store.engine).get_view_names()) == sorted(SECTIONS)


@views
def test_the_page_names_exactly_the_columns(store: Target, view: str) -> None:
    cells = re.findall(r"^\| (`.*?) \|", SECTIONS[view], re.MULTILINE)
    named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert list(rows(store, f"SELECT * FROM {view}")[0]) == named


@views
def test_the_pages_query_answers_with_rows(store: Target, view: str) -> None:
    [query] = re.findall(r"```sql\n(SELECT.*?)```", SECTIONS[view], re.DOTALL)
    query = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 BETWEEN '{at(-3600)}' AND '{at(7200)}'", query)
    assert rows(store, query)


def test_the_version_is_one(store: Target) -> None:
    assert rows(store, "SELECT * FROM v_version") == [{"version": 1}]


def test_current_rows_are_those_of_the_newest_reports(store: Target) -> None:
    hosts = rows(store, "SELECT * FROM v_current_hosts ORDER BY host_name")
    assert [row["host_name"] for row in hosts] == ["h0", "h1"]
    shown = rows(store, "SELECT * FROM v_current_containers")
    assert len(shown) == sum(row["containers_count"] for row in hosts)
    assert {(row["host_name"], row["sampled_at"]) for row in shown} <= {
        (row["host_name"], row["sampled_at"]) for row in hosts
    }


def test_hours_have_the_average_of_the_known_values(store: Target) -> None:
    averages = ", ".join(f"AVG({metric}), MIN({metric}), MAX({metric})" for metric in METRICS)
    [expected] = store.sql(
        f"SELECT COUNT(*), {averages} FROM reports WHERE host_id = 1 AND sampled_at >= :first AND sampled_at < :last",
        first=at(3000),
        last=at(6600),
    )
    spreads = ", ".join(f"{metric}_{part}" for metric in METRICS for part in ("avg", "min", "max"))
    [found] = store.sql(
        f"SELECT samples, {spreads} FROM v_history_hourly JOIN hosts ON hosts.host_name = v_history_hourly.host_name "
        "WHERE hosts.id = 1 AND engine_type IS NULL AND container_name IS NULL AND begins_at = :at",
        at=at(3000),
    )
    assert [*found] == pytest.approx([*expected])


def test_kinds_tell_the_first_time_from_a_return_and_hosts_have_no_container(store: Target) -> None:
    found = store.sql("SELECT kind, engine_type, container_name, from_value, to_value FROM v_events ORDER BY at, kind")
    web = ("docker", "web", "a", "b")
    host = (None, None, "a", "b")
    assert found == [
        ("first_seen", "docker", "db", "a", "b"),
        ("returned", *web),
        ("status", *web),
        ("dark", *host),
        ("back", *host),
    ]


def test_a_deleted_host_is_in_no_view(engine: str, new_url: Callable[[str], str]) -> None:
    with target(new_url(engine)) as one:
        one.prepare()
        fill(one)
        one.sql("UPDATE hosts SET deleted_at = created_at, host_name = NULL")
        assert [view for view in SECTIONS if rows(one, f"SELECT * FROM {view}")] == ["v_version"]


def test_current_containers_cost_what_there_is_now(engine: str, new_url: Callable[[str], str]) -> None:
    """Rows read by the server's own count; of SQLite the plan, which names the index."""
    with target(new_url(engine)) as one:
        one.prepare()
        writer, dice = Writer(one), random.Random("cost")
        shown = [container("docker", f"c{number}", dice) for number in range(EACH)]
        for turn in range(TURNS):
            writer.put(*(writer.report(f"h{host}", turn * 10, *shown) for host in range(HOSTS)))
        query = "SELECT * FROM v_current_containers WHERE status <> 'x' ORDER BY cpu_percentage"
        if engine == "sqlite":
            plan = " ".join(str(row[3]) for row in one.sql(f"EXPLAIN QUERY PLAN {query}"))
            assert "SEARCH c USING INDEX ix_containers_host_sampled (host_id=? AND sampled_at=?)" in plan
        else:
            assert read_by(one, query) < 10 * HOSTS * EACH < TURNS * HOSTS * EACH / 10


def read_by(store: Target, query: str) -> int:
    """How many rows the server's storage gave for a query."""
    store.sql("ANALYZE TABLE hosts, containers")
    count = "SHOW SESSION STATUS LIKE 'Handler_read%'"
    with store.engine.begin() as connection:
        before, found, after = (connection.execute(text(one)).all() for one in (count, query, count))
    assert len(found) == HOSTS * EACH
    return sum(int(row[1]) for row in after) - sum(int(row[1]) for row in before)


def test_a_restored_database_has_the_views(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> None:
    first, second = new_url(engine), new_url(engine)
    with target(first) as one:
        one.prepare()
        fill(one)
        file = str(tmp_path / ("backup.db" if engine == "sqlite" else "backup.sql"))
        assert manage(first, "backup", file).status == 0
        assert manage(second, "restore", file).status == 0
        with target(second) as other:
            for view in SECTIONS:
                assert rows(other, f"SELECT * FROM {view}") == rows(one, f"SELECT * FROM {view}")
