import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pymysql
import pytest
import trustme

from tests.servers import CANARY, MariaDb, MySql, Server, ServerError, Tls, available, left_out, summary

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

pytestmark = pytest.mark.slow
ENGINES = [engine for engine in (MariaDb, MySql) if available()[engine.name] is None]
OPTION = "--max-connections=50"  # asks for a server of our own, whatever the environment names


@pytest.fixture(scope="module", params=ENGINES, ids=[engine.name for engine in ENGINES])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    engine: type[Server] = request.param
    with engine(OPTION) as started:
        yield started


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    name = server.create_database()
    yield name
    server.drop_database(name)


def connect(server: Server, database: str, timeout_s: float = 10) -> "contextlib.closing[Connection[Cursor]]":
    return contextlib.closing(
        pymysql.connect(
            host=server.host,
            port=server.port,
            user="app",
            password=CANARY.encode(),
            database=database,
            read_timeout=timeout_s,
        )
    )


def ask(server: Server, database: str, statement: str, timeout_s: float = 10) -> object:
    with connect(server, database, timeout_s) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        connection.commit()
        row = cursor.fetchone()
        return row[0] if row else None


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # a container may have nobody to bury it
    except psutil.NoSuchProcess:
        return False


def test_the_application_can_use_the_database_made_for_it(server: Server, database: str) -> None:
    ask(server, database, "CREATE TABLE hosts (name VARCHAR(255))")
    assert ask(server, database, "SELECT @@character_set_database") == "utf8mb4"
    assert ask(server, database, "SELECT CURRENT_USER()") == "app@%"


def test_the_application_sees_no_other_database(server: Server, database: str) -> None:
    with pytest.raises(pymysql.OperationalError, match="denied"):
        ask(server, database, "CREATE DATABASE stranger")


def test_the_application_is_no_administrator(server: Server, database: str) -> None:
    with pytest.raises(pymysql.OperationalError, match="denied"):
        ask(server, database, "SET GLOBAL max_connections = 10")


def test_mysql_uses_its_own_authentication(server: Server) -> None:
    plugin = server.execute("SELECT plugin FROM mysql.user WHERE user = %s", "app")[0][0]
    assert plugin == {"mysql": "caching_sha2_password", "mariadb": "mysql_native_password"}[server.name]


def test_the_durability_is_the_engines_default(server: Server) -> None:
    assert server.execute("SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite")[0] in {(1, 1), (1, "ON")}


def test_options_reach_the_server(server: Server) -> None:
    assert server.execute("SELECT @@max_connections") == ((50,),)


def test_the_url_encodes_every_special_character(server: Server) -> None:
    assert server.url("monitor") == (
        f"mysql+pymysql://app:Pa55-canary-%40%3A%2F%25%23-%EB%B9%84%EB%B0%80@127.0.0.1:{server.port}/monitor"
    )


def test_a_paused_server_answers_again_when_resumed(server: Server, database: str) -> None:
    server.pause()
    try:
        with pytest.raises(pymysql.OperationalError):
            ask(server, database, "SELECT 1", timeout_s=1)
    finally:
        server.resume()
    assert ask(server, database, "SELECT 1") == 1


def test_a_killed_server_keeps_its_data_and_its_port(server: Server, database: str) -> None:
    ask(server, database, "CREATE TABLE hosts AS SELECT 7 AS id")
    port = server.port
    server.kill()
    assert server.pid is None
    server.start()
    assert (server.port, ask(server, database, "SELECT id FROM hosts")) == (port, 7)


def test_a_restarted_server_keeps_its_data_and_its_port(server: Server, database: str) -> None:
    ask(server, database, "CREATE TABLE hosts AS SELECT 7 AS id")
    before = (server.port, server.pid)
    server.restart()
    assert server.port == before[0]
    assert server.pid != before[1]
    assert ask(server, database, "SELECT id FROM hosts") == 7


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stopped_server_leaves_nothing(engine: type[Server]) -> None:
    server = engine(OPTION)
    server.start()
    pid, home = server.pid, server.data.parent
    server.pause()  # a paused server stops too
    server.stop()
    assert not home.exists()
    assert not alive(pid or 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_server_that_cannot_start_leaves_nothing_and_says_why(engine: type[Server]) -> None:
    server = engine("--no-such-option")
    with pytest.raises(ServerError, match="no-such-option"):
        server.start()
    assert server.pid is None
    with pytest.raises(ServerError, match="was not started"):
        _ = server.data


@pytest.mark.parametrize("engine", ENGINES)
def test_a_server_goes_when_its_tests_are_killed(engine: type[Server]) -> None:
    program = f"""
        import time
        from tests.servers import {engine.__name__}
        server = {engine.__name__}({OPTION!r})
        server.start()
        print(server.pid, server.data.parent, flush=True)
        time.sleep(60)
    """
    lines = "\n".join(line.strip() for line in program.splitlines())
    with subprocess.Popen([sys.executable, "-c", lines], stdout=subprocess.PIPE, text=True) as tests:
        pid, home = tests.stdout.readline().split() if tests.stdout else ("0", "/")
        tests.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while (Path(home).exists() or alive(int(pid))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(home).exists()
    assert not alive(int(pid))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_server_uses_the_certificate_given_to_it(engine: type[Server]) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    tls = Tls(
        ca=authority.cert_pem.bytes(),
        cert=issued.cert_chain_pems[0].bytes(),
        key=issued.private_key_pem.bytes(),
    )
    with engine(tls=tls) as server, contextlib.closing(server.admin()) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        assert (cursor.fetchone() or ("", ""))[1]


def test_an_external_server_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_MYSQL_URL", "mysql://boss:p%40ss@db.test:3307")
    server = MySql()
    assert (server.host, server.port, available()["mysql"]) == ("db.test", 3307, None)


@pytest.mark.parametrize("act", ["kill", "pause", "resume", "restart", "shutdown"])
def test_an_external_server_is_not_ours_to_disturb(monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    monkeypatch.setenv("TEST_MYSQL_URL", "mysql://boss:p%40ss@db.test:3307")
    with pytest.raises(ServerError, match=r"MySQL at db\.test:3307 is not ours"):
        getattr(MySql(), act)()


def test_an_engine_that_is_not_installed_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TEST_MYSQL_URL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TEST_ENGINES", "sqlite,mysql")
    lines = left_out(available().items())
    assert lines[0] == "Left out: MariaDB, not in TEST_ENGINES"
    assert lines[1].startswith("Left out: MySQL, ")


def test_the_summary_names_each_server_once() -> None:
    line = summary("MySQL 9.7.4", "MariaDB 10.11.19", "MySQL 9.7.4")
    assert line.startswith("Ran on: SQLite 3.")
    assert line.endswith(", MariaDB 10.11.19, MySQL 9.7.4")
