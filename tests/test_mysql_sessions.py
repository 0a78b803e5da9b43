import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from config.config import Settings, load
from database import dialect_mysql
from database.dialect import CONNECT_TIMEOUT_S, Role, dialect_for
from database.faults import Fault, classify
from tests import canary
from tests.servers import MariaDb, MySql, Server, available
from tests.service import NO_FILE, SAMPLE, Service, running, settings_for

pytestmark = pytest.mark.slow
ENGINES = [engine for engine in (MariaDb, MySql) if available()[engine.name] is None]
# A server whose defaults are the opposite of what the service needs.
ODD = (
    "--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
    "--default-time-zone=+09:00",
    "--transaction-isolation=SERIALIZABLE",
    "--character-set-server=latin1",
    "--innodb-lock-wait-timeout=50",
)
PASSWORD = "p@:/%#?&=+ '\"\\ 비밀"


@pytest.fixture(scope="module", params=ENGINES, ids=[engine.name for engine in ENGINES])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    engine: type[Server] = request.param
    with engine(*ODD) as started:
        yield started


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> Settings:
    return settings_for(server.url(server.create_database()), tmp_path)


def ask(settings: Settings, statement: str, *, writes: bool = True) -> tuple[Any, ...]:
    """One row, on a connection as the service makes it."""
    engine = dialect_for(settings).engine(Role("test", writes=writes))
    try:
        with engine.connect() as connection:
            return tuple(connection.execute(text(statement)).one())
    finally:
        engine.dispose()


def user(server: Server, database: str, password: str, rights: str = "ALL PRIVILEGES") -> str:
    """A user of its own, whose password the server has not seen yet."""
    name = f"user{time.monotonic_ns()}"
    server.execute(f"CREATE USER {name}@'%%' {server.identified} %s", password)
    server.execute(f"GRANT {rights} ON {database}.* TO {name}@'%'")
    return name


@pytest.mark.parametrize("writes", [True, False])
def test_a_session_reads_what_is_committed(settings: Settings, server: Server, writes: bool) -> None:  # noqa: FBT001 - a case
    name = {"mysql": "transaction_isolation", "mariadb": "tx_isolation"}[server.name]
    assert ask(settings, f"SELECT @@{name}", writes=writes) == ("READ-COMMITTED",)


def test_a_session_is_strict_whatever_the_server_is(settings: Settings) -> None:
    mode = ask(settings, "SELECT @@sql_mode")[0].split(",")
    assert "STRICT_TRANS_TABLES" in mode
    assert not {"ANSI_QUOTES", "NO_BACKSLASH_ESCAPES"} & set(mode)


def test_a_session_counts_in_utc(settings: Settings) -> None:
    assert ask(settings, "SELECT @@time_zone, TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(), NOW())") == ("+00:00", 0)


def test_a_session_speaks_utf8mb4_and_compares_byte_by_byte(settings: Settings) -> None:
    names = "@@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection"
    assert ask(settings, f"SELECT {names}") == ("utf8mb4", "utf8mb4", "utf8mb4", "utf8mb4_bin")
    assert ask(settings, "SELECT 'web' = 'Web', 'cafe' = 'café', '😀' = '🐳'") == (0, 0, 0)


def test_a_lock_is_waited_for_three_seconds(settings: Settings) -> None:
    assert ask(settings, "SELECT @@innodb_lock_wait_timeout") == (3,)


def test_only_reads_have_a_statement_timeout(settings: Settings, server: Server) -> None:
    variable, limit = ("@@max_statement_time", 5) if server.name == "mariadb" else ("@@max_execution_time", 5000)
    assert ask(settings, f"SELECT {variable}", writes=False) == (limit,)
    assert ask(settings, f"SELECT {variable}") == (0,)


def test_the_driver_never_waits_for_ever(settings: Settings) -> None:
    engine = dialect_for(settings).engine(Role("test", read_timeout_s=7))
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        assert (raw.connect_timeout, raw._read_timeout, raw._write_timeout) == (CONNECT_TIMEOUT_S, 7, 7)
    engine.dispose()


def test_the_driver_gives_up_on_a_server_that_hangs(settings: Settings, server: Server) -> None:
    engine = dialect_for(settings).engine(Role("test", read_timeout_s=1))
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        server.pause()
        try:
            with pytest.raises(DBAPIError) as caught:
                connection.execute(text("SELECT 1"))
        finally:
            server.resume()
    assert classify(caught.value) is Fault.LOST
    engine.dispose()


def test_every_name_survives_a_server_with_odd_defaults(settings: Settings) -> None:
    names = ["웹 서버", "café 😀", "quote ' and \" and \\", "%s %(name)s"]
    with running(settings) as service:
        answer = service.post(
            {"host": {"host_name": "호스트 🐳"}, "containers": [{"container_name": n} for n in names]}
        )
        assert answer.status_code == 200
        assert [host["host_name"] for host in service.data("/api/hosts")] == ["호스트 🐳"]
        assert {one["container_name"] for one in service.data("/api/containers")} == set(names)


@pytest.mark.parametrize("ssl_mode", ["disabled", "preferred"])
@pytest.mark.parametrize("by", ["url", "section"])
def test_any_password_opens_the_database(server: Server, tmp_path: Path, by: str, ssl_mode: str) -> None:
    database = server.create_database()
    name = user(server, database, PASSWORD)
    url = f"mysql://{name}:{quote(PASSWORD, safe='')}@{server.host}:{server.port}/{database}"
    section = {"MYSQL_HOST": server.host, "MYSQL_PORT": str(server.port), "MYSQL_USER": name}
    section |= {"MYSQL_PASSWORD": PASSWORD, "MYSQL_DATABASE": database}
    given = {"DATABASE_URL": url} if by == "url" else section
    settings = load({**given, "MYSQL_SSL_MODE": ssl_mode}, tmp_path / NO_FILE)
    assert ask(settings, "SELECT CURRENT_USER(), DATABASE()") == (f"{name}@%", database)


def test_a_password_in_an_environment_of_its_own_starts_the_service(server: Server, tmp_path: Path) -> None:
    database = server.create_database()
    given = {"MYSQL_HOST": server.host, "MYSQL_PORT": str(server.port), "MYSQL_DATABASE": database}
    given |= {"MYSQL_USER": user(server, database, PASSWORD), "MYSQL_PASSWORD": PASSWORD}
    settings = load({**given, "LOGGING_FILE_PATH": str(tmp_path / "app.log")}, tmp_path / NO_FILE)
    with running(settings) as service:
        assert service.post(SAMPLE).status_code == 200
        assert PASSWORD not in service.log


def test_a_user_with_the_rights_to_its_tables_alone_is_enough(server: Server, tmp_path: Path) -> None:
    database = server.create_database()
    rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES, CREATE VIEW"
    name = user(server, database, "pw", rights)
    with running(settings_for(f"mysql://{name}:pw@{server.host}:{server.port}/{database}", tmp_path)) as service:
        assert service.post(SAMPLE).status_code == 200
        assert len(service.data("/api/containers")) == 2


def test_parameters_in_the_url_do_not_break_the_start(server: Server, tmp_path: Path) -> None:
    url = f"{server.url(server.create_database())}?charset=latin1&ssl_ca=/no/such.pem&autocommit=true"
    settings = settings_for(url, tmp_path)
    assert ask(settings, "SELECT @@character_set_client, @@autocommit") == ("utf8mb4", 0)


def test_a_read_that_takes_too_long_is_503_in_the_envelope(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialect_mysql, "STATEMENT_TIMEOUT_S", 1)
    with running(settings) as service:
        monkeypatch.setattr("database.hosts.page", slow)
        answer = service.client.get("/api/hosts")
        assert (answer.status_code, answer.json()["resultCode"]) == (503, "DB_UNAVAILABLE")
        assert "retry-after" in answer.headers
        monkeypatch.undo()
        assert service.data("/api/hosts") == []


def slow(connection: Connection, *_: object, **__: object) -> None:
    """A query whose rows take half a second each: both servers stop it with an error."""
    connection.execute(text("SELECT 1 FROM (SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4) t WHERE SLEEP(0.5)"))


def test_many_reads_at_once_share_the_pool(server: Server, tmp_path: Path) -> None:
    database = server.create_database()
    settings = settings_for(server.url(database), tmp_path, DATABASE_POOL_SIZE="3", DATABASE_MAX_OVERFLOW="2")
    with running(settings) as service, counting(server, database) as counts:
        statuses = get_at_once(service, 200)
    assert statuses == [200] * 200
    assert 3 < max(counts) <= 3 + 2 + 2


@contextmanager
def counting(server: Server, database: str) -> Iterator[list[int]]:
    """Counts the connections to a database, over and over."""
    counts: list[int] = []
    done = threading.Event()

    def count() -> None:
        with closing(server.admin()) as connection, connection.cursor() as cursor:
            while not done.wait(0.005):
                cursor.execute("SHOW PROCESSLIST")
                counts.append(sum(row[3] == database for row in cursor.fetchall()))

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield counts
    finally:
        done.set()
        thread.join()


def get_at_once(service: Service, number: int) -> list[int]:
    limits = httpx.Limits(max_connections=number)
    hooks = {"response": [canary.check_response]}
    clients = httpx.Client(base_url=service.url, timeout=60, limits=limits, event_hooks=hooks)
    with clients as client, ThreadPoolExecutor(number) as threads:
        return [answer.status_code for answer in threads.map(client.get, ["/api/hosts"] * number)]
