"""What the MySQL dialect asks of the driver and makes of a server's words, without a server."""

import logging
import ssl
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import pytest
from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions

from config.config import Settings, load
from database import dialect_mysql
from database.dialect import CONNECT_TIMEOUT_S, SMALLEST_PACKET, Role, ServerFacts
from database.dialect_mysql import MySql
from database.dialect_mysql_text import without_values
from tests.service import NO_FILE, settings_for

if TYPE_CHECKING:
    from sqlalchemy import Connection

URL = "mysql://ann:p%40ss@db.example:3307/monitor"
SECTION = {"HOST": "db.example", "PORT": "3307", "USER": "ann", "PASSWORD": "p@ss", "DATABASE": "monitor"}
READS, WRITES = Role("read", size=3, overflow=2, writes=False), Role("writer")
SOUND = {
    "version": "8.0.36",
    "read_only": "OFF",
    "super_read_only": "OFF",
    "innodb_read_only": "OFF",
    "log_bin": "ON",
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    "max_allowed_packet": "67108864",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(URL, tmp_path, DATABASE_POOL_TIMEOUT_S="4")


class Raw:
    """The driver's connection to a server that gives its version and takes what it is told."""

    def __init__(self, version: str) -> None:
        self.version, self.sent = version, list[str]()
        self._read_timeout = self._write_timeout = 0

    def get_server_info(self) -> str:
        return self.version

    def cursor(self) -> Self:
        return self

    def execute(self, statement: str) -> None:
        self.sent.append(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Variables:
    """A connection to a server with these variables."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables

    def exec_driver_sql(self, statement: str, *, execution_options: dict[str, bool]) -> list[tuple[str, str]]:
        assert execution_options == {"no_parameters": True}
        return [(name.title(), value) for name, value in self._variables.items() if f"'{name}'" in statement]


def facts(settings: Settings, variables: dict[str, str]) -> ServerFacts:
    return MySql(settings).facts(cast("Connection", Variables(variables)))


def test_a_sound_server_is_writable_and_durable(settings: Settings) -> None:
    assert facts(settings, SOUND) == ServerFacts("MySQL", "8.0.36", writable=True, durable=True, max_packet=64 << 20)


def test_a_server_that_says_nothing_is_taken_for_a_small_sound_one(settings: Settings) -> None:
    assert facts(settings, {}) == ServerFacts("MySQL", "", writable=True, durable=True, max_packet=SMALLEST_PACKET)


def test_mariadb_is_known_by_its_version(settings: Settings) -> None:
    found = facts(settings, {"version": "10.11.6-MariaDB-0+deb12u1"})
    assert (found.engine, found.version) == ("MariaDB", "10.11.6-MariaDB-0+deb12u1")


@pytest.mark.parametrize("name", ["read_only", "super_read_only", "innodb_read_only"])
def test_one_variable_is_enough_to_be_read_only(name: str, settings: Settings) -> None:
    assert not facts(settings, SOUND | {name: "ON"}).writable


@pytest.mark.parametrize(
    ("variables", "durable"),
    [
        ({"innodb_flush_log_at_trx_commit": "2"}, False),
        ({"innodb_flush_log_at_trx_commit": "0", "log_bin": "OFF"}, False),
        ({"sync_binlog": "0"}, False),
        ({"sync_binlog": "100"}, False),
        ({"sync_binlog": "0", "log_bin": "OFF"}, True),
    ],
)
def test_what_a_crash_may_lose_is_told(variables: dict[str, str], durable: bool, settings: Settings) -> None:  # noqa: FBT001 - a case
    assert facts(settings, SOUND | variables).durable is durable


@pytest.mark.parametrize(
    ("version", "role", "limit"),
    [
        ("5.5.5-10.11.6-MariaDB", READS, ", max_statement_time=5"),
        ("8.0.36", READS, ", max_execution_time=5000"),
        ("5.5.5-10.11.6-MariaDB", WRITES, ""),
        ("8.0.36", WRITES, ""),
    ],
)
def test_a_session_is_prepared_by_one_statement(version: str, role: Role, limit: str, settings: Settings) -> None:
    raw = Raw(version)
    MySql(settings)._prepare_session(raw, role)
    wanted = "collation_connection='utf8mb4_bin', time_zone='+00:00', innodb_lock_wait_timeout=3"
    assert raw.sent == [f"SET SESSION {wanted}{limit}"]
    assert (raw._read_timeout, raw._write_timeout) == (role.read_timeout_s, role.read_timeout_s)


def by_section(folder: Path, **changed: str) -> Settings:
    given = {f"MYSQL_{name}": value for name, value in (SECTION | changed).items() if value}
    return load(given, folder / NO_FILE)


@pytest.mark.parametrize("by", ["url", "section"])
def test_the_address_goes_without_the_password_which_the_driver_gets_as_bytes(by: str, tmp_path: Path) -> None:
    settings = settings_for(URL, tmp_path) if by == "url" else by_section(tmp_path)
    made = MySql(settings).engine(READS)
    assert made.url.render_as_string(hide_password=False) == "mysql+pymysql://ann@db.example:3307/monitor"
    assert MySql(settings)._connect_args(READS)["password"] == b"p@ss"


@pytest.mark.parametrize("by", ["url", "section"])
def test_without_a_password_the_driver_gets_an_empty_one(by: str, tmp_path: Path) -> None:
    url = settings_for(URL.replace(":p%40ss", ""), tmp_path)
    settings = url if by == "url" else by_section(tmp_path, PASSWORD="")
    assert MySql(settings)._connect_args(READS)["password"] == b""


@pytest.mark.parametrize(("read_timeout_s", "handshake_s"), [(1, 1), (60, CONNECT_TIMEOUT_S)])
def test_the_driver_waits_for_a_handshake_no_longer_than_for_a_connection(
    read_timeout_s: int, handshake_s: int, settings: Settings
) -> None:
    arguments = MySql(settings)._connect_args(Role("test", read_timeout_s=read_timeout_s))
    del arguments["password"], arguments["conv"]
    assert arguments == {
        "charset": "utf8mb4",
        "sql_mode": "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": handshake_s,
        "write_timeout": handshake_s,
        "program_name": "resource-monitor",
        "ssl_disabled": False,
    }


def test_moments_are_read_and_what_is_none_stays_text(settings: Settings) -> None:
    decoders = MySql(settings)._connect_args(READS)["conv"]
    assert decoders.keys() == conversions.keys()
    read = decoders[FIELD_TYPE.DATETIME]
    assert read("2025-06-15 15:06:40.000001") == datetime(2025, 6, 15, 15, 6, 40, 1)  # noqa: DTZ001 - as it is stored
    assert read("0000-00-00 00:00:00") == "0000-00-00 00:00:00"


@pytest.mark.parametrize(("role", "pinged", "reset"), [(READS, True, "reset_rollback"), (WRITES, False, "reset_none")])
def test_readers_are_tried_and_reset_and_the_writer_is_left_alone(
    role: Role,
    pinged: bool,  # noqa: FBT001 - a case
    reset: str,
    settings: Settings,
) -> None:
    pool: Any = MySql(settings).engine(role).pool
    assert (pool._pre_ping, pool._reset_on_return.name) == (pinged, reset)
    assert (pool.size(), pool._max_overflow, pool._timeout) == (role.size, role.overflow, 4)
    assert pool._recycle == 60 * 60


@pytest.mark.parametrize("echo", [False, True])
def test_statements_are_echoed_when_asked_and_never_their_values(
    echo: bool,  # noqa: FBT001 - a case
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger = logging.getLogger("sqlalchemy.engine.Engine")
    monkeypatch.setattr(logger, "handlers", [logging.NullHandler()])  # else an echo brings one for standard output
    monkeypatch.setattr(logger, "filters", [])
    made = MySql(settings_for(URL, tmp_path, DATABASE_ECHO=str(echo))).engine(READS)
    assert (made.echo, made.hide_parameters) == (echo, True)
    assert logger.filters == [without_values]


def test_the_drivers_own_connection_is_made_with_the_context_it_is_given() -> None:
    connection = cast("Any", object.__new__(dialect_mysql._Connection))
    given = ssl.create_default_context()
    assert connection._create_ssl_ctx(given) is given
    anybody = connection._create_ssl_ctx({})
    assert (anybody.protocol, anybody.verify_mode) == (ssl.PROTOCOL_TLS_CLIENT, ssl.CERT_NONE)
    assert not anybody.check_hostname
