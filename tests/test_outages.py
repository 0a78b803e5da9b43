import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymysql
import pytest

from database import database, writer
from database.dialect import Role
from tests.conftest import ENGINES
from tests.elapsed import within
from tests.faultkit import Proxy, failing, listening, on_writer, post_all, until, writer_of
from tests.ledger import Ledger
from tests.processes import free_port
from tests.servers import Server
from tests.service import Service, report, running, settings_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[engine for engine in ENGINES if engine != "sqlite"])
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    return servers(request.param)


@pytest.fixture
def url(server: Server) -> str:
    return server.url(server.create_database())


@pytest.fixture
def service(url: str, tmp_path: Path) -> Iterator[Service]:
    with running(settings_for(url, tmp_path)) as one:
        yield one


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services answer within three seconds, and wait one second for the database's answers."""
    monkeypatch.setattr(writer, "ACK_TIMEOUT_S", 3.0)
    monkeypatch.setattr(database, "WRITER_TIMEOUT_S", 1)


def acknowledges(ledger: Ledger, reports: int) -> float:
    """Waits until so many more reports are acknowledged; gives how long it took."""
    began = time.monotonic()
    until(lambda: len(ledger.since(began)) >= reports)
    return time.monotonic() - began


def health(service: Service) -> int:
    return service.client.get("/health").status_code


def stored(service: Service) -> list[tuple[str, int]]:
    """Every container name and how often it is there."""
    rows = service.sql("SELECT container_name, COUNT(*) FROM containers GROUP BY container_name ORDER BY 1")
    return [(name, count) for name, count in rows]


def connections(server: Server, url: str) -> set[object]:
    statement = "SELECT id FROM information_schema.processlist WHERE db = %s"
    return {row[0] for row in server.execute(statement, url.rpartition("/")[2])}


def test_a_database_that_hangs_is_503_in_time_and_nothing_is_stored_twice(
    server: Server, service: Service, url: str
) -> None:
    hosts = [f"host{n}" for n in range(6)]
    post_all(service, [report(host) for host in hosts])
    keys = [f"k{n}" for n in range(6)]
    bodies = [report(host, host) for host in hosts]
    server.pause()
    try:
        began = time.monotonic()
        answers = post_all(service, bodies, keys)
        refused_s = time.monotonic() - began
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.json()["resultCode"] for answer in answers} <= {"DB_UNAVAILABLE", "COMMIT_UNKNOWN"}
        assert health(service) == 503
    finally:
        server.resume()
    resumed = time.monotonic()
    until(lambda: {answer.status_code for answer in post_all(service, bodies, keys)} == {200})
    stored_s = time.monotonic() - resumed
    assert stored(service) == [(host, 1) for host in hosts]
    assert len(connections(server, url)) <= 12
    within(refused_s, 16, "s to a refusal")
    within(stored_s, 6, "s to be back")


@pytest.mark.usefixtures("hasty")
def test_a_commit_that_executes_late_counts_once(server: Server, service: Service) -> None:
    service.post(report("host"))
    pauses = [server.pause]

    def pause(_: object) -> None:
        if pauses:
            pauses.pop()()

    with ThreadPoolExecutor(1) as thread, listening(service, "commit", pause):
        answer = thread.submit(service.post, report("host", "web"))
        until(lambda: not pauses)
        time.sleep(1.5)
        server.resume()
        assert answer.result(10).status_code == 200
    assert stored(service) == [("web", 1)]


@pytest.mark.usefixtures("hasty")
def test_an_outage_beyond_the_deadline_leaves_nothing_to_be_written_later(service: Service) -> None:
    service.post(report("host"))
    with failing(service, "INTO reports (", lambda: pymysql.err.OperationalError(2013, "lost"), times=1000):
        assert service.post(report("host", "late")).status_code == 503
    assert service.post(report("host", "web")).status_code == 200
    assert stored(service) == [("web", 1)]


@pytest.mark.usefixtures("hasty")
def test_a_deadline_that_passes_during_a_commit_is_told_as_unknown(
    server: Server, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.post(report("host"))
    monkeypatch.setattr(writer_of(service)._waiting, "_timeout_s", 0.5)  # less than an answer may take
    with listening(service, "commit", lambda _: server.pause()):
        answer = service.post(report("host", "web"), Idempotency_Key="k")
    server.resume()
    assert (answer.status_code, answer.json()["resultCode"]) == (503, "COMMIT_UNKNOWN")
    monkeypatch.undo()
    until(lambda: service.post(report("host", "web"), Idempotency_Key="k").status_code == 200)
    assert stored(service) == [("web", 1)]


def test_a_killed_database_comes_back_without_a_restart(server: Server, service: Service) -> None:
    ledger, recoveries = Ledger(service.url, agents=4), list[float]()
    with ledger.running():
        for _ in range(2):
            acknowledges(ledger, 20)
            server.kill()
            until(lambda: health(service) == 503)
            server.start()
            recoveries.append(acknowledges(ledger, 1))
    ledger.check(service.settings)
    assert ledger.statuses <= {200, 503}
    within(ledger.slowest, 16, "s for an answer")
    within(max(recoveries), 5, "s to be back")


def test_a_long_outage_keeps_one_report_waiting_and_no_other(
    server: Server, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "AWAY_S", 1)
    service.post(report("host"))
    server.kill()
    until(lambda: health(service) == 503)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(service.post, report("first"))
        time.sleep(2)
        began = time.monotonic()
        answer = service.post(report("second"))
        took_s = time.monotonic() - began
        server.start()
        assert first.result(20).status_code == 200
    assert (answer.status_code, answer.json()["resultCode"], answer.headers["Retry-After"]) == (
        503,
        "DB_UNAVAILABLE",
        "2",
    )
    until(lambda: health(service) == 200)
    assert {answer.status_code for answer in post_all(service, [report(f"host{n}") for n in range(4)])} == {200}
    within(took_s, 2)


@pytest.mark.usefixtures("hasty")
def test_a_database_that_turned_read_only_is_left(server: Server, service: Service, url: str) -> None:
    variable = {"mariadb": "read_only", "mysql": "super_read_only"}[server.name]
    service.post(report("host"))
    post_all(service, [report(f"host{n}") for n in range(4)])
    service.data("/api/hosts")
    before = connections(server, url)
    server.execute(f"SET GLOBAL {variable} = 1")
    try:
        until(lambda: health(service) == 503)
        assert service.client.get("/health").json()["data"]["database"]["status"] == "read_only"
        answer = service.post(report("host", "web"))
        assert (answer.status_code, answer.json()["resultCode"]) == (503, "DB_UNAVAILABLE")
        assert service.data("/api/hosts")
    finally:
        server.execute(f"SET GLOBAL {variable} = 0")
        server.execute("SET GLOBAL read_only = 0")
    until(lambda: health(service) == 200)
    assert service.post(report("host", "web")).status_code == 200
    assert not connections(server, url) & before
    assert service.log.count("database_down state=read_only") == 1


def test_a_database_that_comes_late_is_found(server: Server, url: str, tmp_path: Path) -> None:
    port = free_port()
    late = url.replace(f":{server.port}/", f":{port}/")
    with running(settings_for(late, tmp_path, MYSQL_SSL_MODE="disabled")) as service:
        assert service.client.get("/health/live").status_code == 200
        answer = service.post(report("host"))
        assert (health(service), answer.status_code, answer.json()["resultCode"]) == (503, 503, "DB_UNAVAILABLE")
        proxy = Proxy(server.port, port)
        began = time.monotonic()
        until(lambda: health(service) == 200)
        took_s = time.monotonic() - began
        assert service.post(report("host")).status_code == 200
    proxy.close()
    within(took_s, 8)


def test_relaxed_durability_is_told(server: Server, service: Service) -> None:
    def durability() -> object:
        return service.data("/health")["database"]["durability"]

    assert durability() == "full"
    server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        until(lambda: durability() == "relaxed")
        until(lambda: "durability_relaxed" in service.log)
    finally:
        server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    until(lambda: durability() == "full")


@pytest.fixture
def file(new_url: Callable[[str], str], tmp_path: Path) -> Iterator[Service]:
    """A service on a SQLite file of its own."""
    with running(settings_for(new_url("sqlite"), tmp_path)) as one:
        yield one


def limit(service: Service, pages: int) -> None:
    """Sets how many pages the file may grow to, which is to SQLite as a full disk."""
    on_writer(service, lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").scalar())


def test_a_full_disk_is_503_and_passes(file: Service) -> None:
    limit(file, 1)  # SQLite takes the present size
    names = [f"{n}" + "x" * 200 for n in range(500)]
    answer = file.post(report("host", *names))
    assert (answer.status_code, answer.json()["resultCode"]) == (503, "STORAGE_FULL")
    assert answer.headers["Retry-After"]
    assert health(file) == 503
    assert file.client.get("/api/hosts").status_code == 200
    limit(file, 1_000_000)
    assert file.post(report("host", *names)).status_code == 200
    assert health(file) == 200
    assert file.sql("SELECT COUNT(*) FROM containers") == [(500,)]
    assert file.sql("PRAGMA integrity_check") == [("ok",)]


def test_a_full_disk_is_not_believed_for_ever(file: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(file, 1)
    file.post(report("host", *(f"{n}" + "x" * 200 for n in range(500))))
    assert health(file) == 503
    monkeypatch.setattr(writer, "BLOCKED_S", 0.0)
    assert health(file) == 200


def test_another_process_may_write_to_the_file_meanwhile(file: Service) -> None:
    engine = writer_of(file)._database.dialect.engine(Role("other"))
    file.post(report("host"))
    with engine.connect() as other, ThreadPoolExecutor(1) as thread:
        other.exec_driver_sql("SELECT 1")  # begins, and so holds the file
        answer = thread.submit(file.post, report("host", "web"))
        time.sleep(0.5)
        assert not answer.done()
        other.rollback()
        assert answer.result(10).status_code == 200
    engine.dispose()


def test_a_file_that_cannot_be_written_is_503_at_once(file: Service) -> None:
    readonly = file.state["database"].dialect._module.OperationalError
    began = time.monotonic()
    with failing(file, "INTO reports (", lambda: readonly("attempt to write a readonly database")):
        answer = file.post(report("host", "web"))
        took_s = time.monotonic() - began
    assert (answer.status_code, answer.json()["resultCode"]) == (503, "DB_UNAVAILABLE")
    assert health(file) == 503
    assert file.post(report("host", "web")).status_code == 200
    assert health(file) == 200
    within(took_s, 10)  # not only at the deadline of 15 s


def test_a_damaged_file_is_written_to_no_more(file: Service) -> None:
    damaged = file.state["database"].dialect._module.DatabaseError
    with failing(file, "INTO reports (", lambda: damaged("database disk image is malformed")):
        answer = file.post(report("host", "web"))
    assert (answer.status_code, answer.json()["resultCode"]) == (503, "DB_UNAVAILABLE")
    assert file.post(report("host", "web")).status_code == 503
    assert health(file) == 503
    assert file.client.delete("/api/hosts/1").status_code == 503
    until(lambda: "fault=CORRUPT" in file.log)
    assert file.sql("SELECT COUNT(*) FROM containers") == [(0,)]
