import random
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from database import dialect_mysql, writer
from tests.conftest import ENGINES
from tests.elapsed import within
from tests.faultkit import faults, foreign, held, in_one_batch, lock_host, post_all, until, writer_of
from tests.servers import Server
from tests.service import Service, report, running, settings_for

DEADLOCK = 1213
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[engine for engine in ENGINES if engine != "sqlite"])
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    return servers(request.param)


@pytest.fixture(scope="module")
def pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    """Two instances over one database."""
    url = server.url(server.create_database())
    folders = [tmp_path_factory.mktemp("pair") for _ in range(2)]
    with running(settings_for(url, folders[0])) as one, running(settings_for(url, folders[1])) as other:
        yield one, other


def statuses(answers: list[httpx.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


def test_writers_on_the_same_hosts_all_get_through(pair: tuple[Service, Service]) -> None:
    hosts = [f"shared{n}" for n in range(5)]
    post_all(pair[0], [report(host) for host in hosts])

    def write(writer_: int) -> list[int]:
        rolls = random.Random(writer_)
        posts = [report(rolls.choice(hosts), *("web",) * (n % 4), cpu_percentage=writer_ * 100 + n) for n in range(12)]
        return [pair[writer_ % 2].post(post).status_code for post in posts]

    with faults(pair[0]) as seen, faults(pair[1]) as others, ThreadPoolExecutor(32) as threads:
        answers = [status for found in threads.map(write, range(32)) for status in found]
    assert answers == [200] * 32 * 12
    assert DEADLOCK not in seen + others
    assert_consistent(pair[0], "shared%", reports=32 * 12 + 5, containers=32 * 18)


def assert_consistent(service: Service, names: str, *, reports: int, containers: int) -> None:
    """Every row is there once, and each host shows its newest report."""
    of = "FROM {0} t JOIN hosts h ON h.id = t.host_id WHERE host_name LIKE :names"
    assert service.sql(f"SELECT COUNT(*) {of.format('reports')}", names=names) == [(reports,)]
    assert service.sql(f"SELECT COUNT(*) {of.format('containers')}", names=names) == [(containers,)]
    newest = service.sql(
        "SELECT h.cpu_percentage, r.cpu_percentage, h.containers_count, r.containers_count, (SELECT COUNT(*) "
        "FROM containers c WHERE c.host_id = h.id AND c.sampled_at = h.sampled_at) FROM hosts h JOIN reports r "
        "ON r.host_id = h.id WHERE host_name LIKE :names "
        "AND r.sampled_at = (SELECT MAX(m.sampled_at) FROM reports m WHERE m.host_id = h.id)",
        names=names,
    )
    assert all(cpu == host_cpu and count == shown == rows for host_cpu, cpu, shown, count, rows in newest)
    assert newest


def test_two_instances_make_each_new_host_once(pair: tuple[Service, Service]) -> None:
    bodies = [report(f"both{n}", "web") for n in range(20)]
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda service: in_one_batch(service, bodies), pair))
    ids = [[answer.json()["data"]["host_id"] for answer in found] for found in answers]
    assert ids[0] == ids[1]
    assert pair[0].sql("SELECT COUNT(*) FROM hosts WHERE host_name LIKE 'both%'") == [(20,)]


def test_a_key_sent_to_two_instances_at_once_is_stored_once(pair: tuple[Service, Service]) -> None:
    bodies = [report(f"keyed{n}", "web") for n in range(10)]
    post_all(pair[0], [report(f"keyed{n}") for n in range(10)])
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda service: in_one_batch(service, bodies, ["k"] * 10), pair))
    assert statuses(found[0] + found[1]) == [200] * 20
    replayed = [answer.headers.get("Idempotent-Replayed") for answer in found[0] + found[1]]
    assert replayed.count("true") == 10
    assert_consistent(pair[0], "keyed%", reports=20, containers=10)


def waiting(server: Server) -> bool:
    """Whether a transaction waits for a lock; InnoDB renews its answer only if it was not asked for 0.1 s."""
    time.sleep(0.15)
    return bool(server.execute("SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"))


def test_a_deadlock_with_a_stranger_never_surfaces(pair: tuple[Service, Service], server: Server) -> None:
    service = pair[0]
    for name in ("deadlock-a", "deadlock-b"):  # one after the other: rows are locked in the order of their ids
        service.post(report(name))
    writer_of(service)._committer._pass_over_until = 0  # another test may have met a lock
    until(lambda: not waiting(server))
    with foreign(service) as other, faults(service) as seen, ThreadPoolExecutor(1) as thread:
        # It has changed much, so that the server ends the writer's transaction and not this one.
        rows = [{"id": 900_000 + n} for n in range(500)]
        other.execute(text("INSERT INTO rollup_pending VALUES (:id, '2020-01-01')"), rows)
        lock_host(other, "deadlock-b")
        batch = thread.submit(in_one_batch, service, [report("deadlock-a", "web"), report("deadlock-b", "web")])
        until(lambda: waiting(server))
        lock_host(other, "deadlock-a")
        other.rollback()
        assert statuses(batch.result(20)) == [200, 200]
    assert DEADLOCK in seen


def test_a_locked_host_holds_nobody_else_up(pair: tuple[Service, Service]) -> None:
    service, turn = pair[0], secrets.token_hex(4)  # a second try has hosts of its own
    host, free = f"locked-{turn}", [f"free-{turn}-{n}" for n in range(5)]
    post_all(service, [report(host), *map(report, free)])
    with foreign(service) as other, ThreadPoolExecutor(8) as threads:
        lock_host(other, host)
        began, waits = time.monotonic(), list[float]()
        locked = [threads.submit(service.post, report(host, "web")) for _ in range(2)]
        for name in free:
            at = time.monotonic()
            assert service.post(report(name, "web")).status_code == 200
            waits.append(time.monotonic() - at)
        until(lambda: time.monotonic() - began > 4)
        assert not any(post.done() for post in locked)
        other.rollback()
        assert statuses([post.result(20) for post in locked]) == [200, 200]
    assert_consistent(service, host, reports=3, containers=2)
    assert_consistent(service, f"free-{turn}-%", reports=10, containers=5)
    within(max(waits), 5, "s for another host")


def test_a_lock_on_a_host_that_did_not_report_is_not_waited_for(pair: tuple[Service, Service]) -> None:
    service = pair[0]
    names = [f"bystander{n}" for n in range(60)]
    post_all(service, [report(name) for name in names])
    writer_of(service)._committer._pass_over_until = 0  # another test may have met a lock
    with foreign(service) as other, faults(service) as seen:
        lock_host(other, names[-1])
        assert statuses(in_one_batch(service, [report(name, "web") for name in names[:30]])) == [200] * 30
    assert seen == []


@pytest.fixture
def hasty(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """An instance that waits for locks one second and answers within three."""
    monkeypatch.setattr(dialect_mysql, "LOCK_WAIT_S", 1)
    monkeypatch.setattr(writer, "ACK_TIMEOUT_S", 3.0)
    with running(settings_for(server.url(server.create_database()), tmp_path)) as one:
        yield one


def test_a_host_locked_beyond_the_deadline_is_503_and_not_written_later(hasty: Service) -> None:
    hasty.post(report("locked"))
    with foreign(hasty) as other:
        lock_host(other, "locked")
        answer = hasty.post(report("locked", "late"))
        assert (answer.status_code, answer.json()["resultCode"]) == (503, "DB_UNAVAILABLE")
        assert answer.headers["Retry-After"]
    assert hasty.post(report("locked", "web")).status_code == 200
    assert hasty.sql("SELECT container_name FROM containers") == [("web",)]


def test_many_reports_of_a_locked_host_leave_room_for_others(hasty: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_BATCH_REPORTS", 4)
    writer_of(hasty)._waiting._timeout_s = 10.0
    post_all(hasty, [report("locked"), report("free")])
    with foreign(hasty) as other, ThreadPoolExecutor(13) as threads:
        lock_host(other, "locked")
        with held(hasty):
            locked = [threads.submit(hasty.post, report("locked", "web")) for _ in range(12)]
            until(lambda: writer_of(hasty).depth == 12)
        began = time.monotonic()
        assert hasty.post(report("free", "web")).status_code == 200
        free_s = time.monotonic() - began
        other.rollback()
        assert statuses([post.result(20) for post in locked]) == [200] * 12
    assert_consistent(hasty, "locked", reports=13, containers=12)
    assert (writer_of(hasty).depth, writer_of(hasty)._bytes) == (0, 0)
    within(free_s, 3, "s for another host")


def test_another_lock_than_a_hosts_fails_one_report_alone(hasty: Service) -> None:
    writer_of(hasty)._waiting._timeout_s = 8.0
    hosts = [f"host{n}" for n in range(4)]
    post_all(hasty, [report(host) for host in hosts])
    hasty.sql("DELETE FROM rollup_pending")
    with foreign(hasty) as other:
        # A stranger's unfinished rows for one host's minutes: nothing that passing over locked hosts would avoid.
        other.execute(
            text(
                "INSERT INTO rollup_pending SELECT id, DATE_FORMAT(UTC_TIMESTAMP() + INTERVAL n MINUTE, "
                "'%Y-%m-%d %H:%i:00') FROM hosts, (SELECT -1 AS n UNION SELECT 0 UNION SELECT 1) minutes "
                "WHERE host_name = 'host2'"
            )
        )
        answers = in_one_batch(hasty, [report(host, "web") for host in hosts])
    assert statuses(answers) == [200, 200, 503, 200]
    assert hasty.sql("SELECT COUNT(*) FROM containers") == [(3,)]
