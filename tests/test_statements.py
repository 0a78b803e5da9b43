import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection

from database.dialect import MOVE, PRESENCE, REPORT, STATE, TARGET, Held
from database.rows import HOST_DETAILS, Prepared, Row, prepare
from model.schemas import Report
from tests.schema_engine import Target
from tests.service import report
from utils.utils import SECOND, micros, time_text

T0 = 1_750_000_000 * SECOND
AT = "2025-06-15 15:06:40"
DETAILS: Row = ('Debian "12"', "it's 6.1", 2**53 - 1, 0.25, 1e-7, 98.5, 2**53 - 1, 0)
FULL = {"cpu_percentage": 1.5, "memory_usage": 1e-7, "memory_percentage": 57.9, "get_datetime": AT}
STATE_ROW: Row = (1.5, 2, None, 18.1, 57.9, AT, *DETAILS, time_text(T0 + 1), 3, 2, 30.5)
ROOMY = 1 << 20


@pytest.fixture(scope="module")
def target(engine: str, new_url: Callable[[str], str]) -> Iterator[Target]:
    """A database with the tables and six hosts, on each engine; the sixth is deleted."""
    one = Target(new_url(engine))
    one.prepare()
    with one.engine.begin() as connection:
        for number in range(1, 7):
            deleted = "NULL" if number < 6 else f"'{AT}'"
            values = f"({number}, 'h{number}', '{AT}', {deleted})"
            connection.exec_driver_sql(f"INSERT INTO hosts (id, host_name, created_at, deleted_at) VALUES {values}")
    yield one
    one.engine.dispose()


def plain(value: object) -> object:
    """A value as every engine gives it: moments as text to the microsecond."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) and value[:2] == "20" else value
    except ValueError:
        return value
    return time_text(micros(at)) if isinstance(at, datetime) else value


def read(target: Target, table: str, columns: tuple[str, ...], host: int) -> list[tuple[Any, ...]]:
    """A host's rows in the order they were made."""
    key = "id" if table == "hosts" else "host_id"
    order = "1" if table in ("hosts", "rollup_pending") else "id" if table == "containers" else "sampled_at"
    statement = f"SELECT {', '.join(columns)} FROM {table} WHERE {key} = {host} ORDER BY {order}"
    return [tuple(map(plain, row)) for row in target.sql(statement)]


def prepared(target: Target, host: int, *containers: dict[str, Any] | str, key: str | None = None) -> Prepared:
    body = Report.model_validate(report(f"h{host}", *containers, cpu_cores=2, **FULL))
    made = prepare(body, key=key, received_at=T0 + host, now_local=AT, dialect=target.dialect)
    made.host_id = host
    return made


def written(target: Target, write: Callable[[Connection], None]) -> None:
    with target.engine.begin() as connection:
        write(connection)


def test_reports_read_back(target: Target) -> None:
    batch = [prepared(target, 1, "a", "b", key="k"), prepared(target, 2)]
    written(target, lambda connection: target.dialect.insert_reports(connection, batch))
    for one in batch:
        at = time_text(one.received_at)
        host = (1.5, 2, None, 1e-7, 57.9, f"{AT}.000000", *[None] * len(HOST_DETAILS))
        row = (one.host_id, at, one.report_key, one.content_hash, at, *host, one.containers_count)
        assert read(target, "reports", REPORT, one.host_id) == [row]


@pytest.mark.parametrize("count", [1, 250, 251, 500, 600])
def test_every_container_reads_back_in_its_order(target: Target, count: int) -> None:
    containers = [{"container_name": f"c{number}'", "status": "up", **FULL} for number in range(count)]
    one, other = prepared(target, 3, *containers), prepared(target, 4, "x")
    written(target, lambda connection: target.dialect.insert_reports(connection, [one, other]))
    written(target, lambda connection: target.dialect.insert_containers(connection, [one, other], ROOMY))
    tail = (1.5, 1e-7, 57.9, f"{AT}.000000", 3, time_text(one.sampled_at))
    rows = [("docker", "h3", "h3", f"c{number}'", "up", *tail) for number in range(count)]
    assert read(target, "containers", TARGET, 3) == rows
    assert [row[3:5] for row in read(target, "containers", TARGET, 4)] == [("x", "running")]
    for table in ("containers", "reports"):
        target.sql(f"DELETE FROM {table} WHERE host_id IN (3, 4)")


def test_minutes_are_marked_once(target: Target) -> None:
    first, second = (time_text(T0 + number * 60 * SECOND) for number in (0, 1))
    for minutes in ([(1, first), (2, first)], [(1, first), (1, second)]):
        written(target, lambda connection, minutes=minutes: target.dialect.insert_pending(connection, minutes))  # type: ignore[misc]
    assert read(target, "rollup_pending", ("host_id", "minute"), 1) == [(1, first), (1, second)]
    assert read(target, "rollup_pending", ("host_id", "minute"), 2) == [(2, first)]


def test_hosts_are_moved_or_only_seen(target: Target) -> None:
    seen, expected = time_text(T0 + 2), time_text(T0 + 3)
    later = (time_text(T0 + 4), time_text(T0 + 5))
    moved, unmoved = (1, 1, *STATE_ROW, seen, expected), (1, 0, *[None] * len(STATE), *later)
    columns = (*STATE, *PRESENCE)
    state = tuple(map(plain, STATE_ROW))
    for move, presence in ((moved, (seen, expected)), (unmoved, later)):
        assert len(move) == len(MOVE)
        others = (2, *move[1:])
        written(target, lambda connection, rows=[move, others]: target.dialect.update_hosts(connection, rows))  # type: ignore[misc]
        assert read(target, "hosts", columns, 1) == [(*state, *presence)]
        assert read(target, "hosts", columns, 2) == [(*state, *presence)]
    assert read(target, "hosts", columns, 5) == [(None,) * len(columns)]


@pytest.mark.parametrize("skip_locked", [True, False])
def test_locked_hosts_come_with_what_decides_their_move(target: Target, skip_locked: bool) -> None:  # noqa: FBT001 - a case
    move = (4, 1, *STATE_ROW, time_text(T0 + 2), time_text(T0 + 3))
    written(target, lambda connection: target.dialect.update_hosts(connection, [move]))
    with target.engine.begin() as connection:
        held = target.dialect.lock_hosts(connection, [4, 5, 6, 99], skip_locked=skip_locked)
    assert held == {4: Held(T0 + 1, T0 + 2, 30.5, "h4"), 5: Held(None, None, None, "h5")}


def test_the_databases_clock_is_utc(target: Target) -> None:
    with target.engine.begin() as connection:
        now = target.dialect.now(connection)
    assert isinstance(now, int)
    assert abs(now - time.time_ns() // 1_000) < 60 * SECOND


def test_a_server_says_what_it_is(target: Target, engine: str) -> None:
    with target.engine.begin() as connection:
        facts = target.dialect.facts(connection)
    assert (facts.engine.lower(), facts.writable, facts.durable) == (engine, True, True)
    assert facts.version[0].isdigit()
    assert facts.max_packet >= ROOMY
