import sqlite3
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast
from unittest.mock import Mock

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from config.config import ConfigError, Settings
from database import batch, dialect_sqlite
from database.dialect import Held, Role, dialect_for
from database.dialect_sqlite import Sqlite, sqlite_module, wal_is_safe
from database.dialect_sqlite_json import Statements, each_of
from database.faults import Fault, classify
from database.rows import Prepared, prepare
from model.schemas import Report
from tests.intake import until
from tests.schema_engine import Target
from tests.service import SAMPLE, report, running, settings_for

pytestmark = pytest.mark.slow

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(f"sqlite:///{tmp_path}/data/test.db", tmp_path)


@pytest.fixture
def writer(settings: Settings) -> Iterator[Engine]:
    engine = dialect_for(settings).engine(Role("writer"))
    yield engine
    engine.dispose()


@pytest.fixture
def reader(settings: Settings, writer: Engine) -> Iterator[Engine]:
    with writer.begin() as connection:
        connection.execute(text("CREATE TABLE t (a INTEGER)"))
    engine = dialect_for(settings).engine(Role("reads", writes=False))
    yield engine
    engine.dispose()


def pragma(engine: Engine, name: str) -> object:
    with engine.connect() as connection:
        return connection.execute(text(f"PRAGMA {name}")).scalar_one()


def test_the_writer_is_durable_and_checks_foreign_keys(writer: Engine) -> None:
    full = 2
    assert [pragma(writer, name) for name in ("journal_mode", "synchronous", "foreign_keys")] == ["wal", full, 1]


def test_the_writer_waits_five_seconds_for_another_process(writer: Engine) -> None:
    assert pragma(writer, "busy_timeout") == 5000


def test_a_reader_cannot_write_and_never_moves_the_log(reader: Engine) -> None:
    assert [pragma(reader, name) for name in ("journal_mode", "query_only", "wal_autocheckpoint")] == ["wal", 1, 0]
    with pytest.raises(DBAPIError, match="readonly"), reader.begin() as connection:
        connection.execute(text("INSERT INTO t VALUES (1)"))


def test_a_writing_transaction_takes_the_lock_at_its_begin(
    writer: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect_sqlite, "STATEMENT_TIMEOUT_S", 0)
    other = dialect_for(settings).engine(Role("other"))
    assert pragma(other, "busy_timeout") == 0
    with writer.begin(), pytest.raises(DBAPIError, match="locked"):
        other.connect().begin()
    other.dispose()


def test_the_driver_begins_no_transaction_of_its_own(writer: Engine, reader: Engine) -> None:
    with closing(writer.raw_connection()) as raw, reader.connect() as reading:
        raw.cursor().execute("INSERT INTO t VALUES (1)")
        assert reading.execute(text("SELECT COUNT(*) FROM t")).scalar_one() == 1


def test_a_connection_goes_from_thread_to_thread(writer: Engine) -> None:
    assert pragma(writer, "user_version") == 0
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(pragma, writer, "user_version").result() == 0


def test_a_role_has_so_many_connections_and_waits_so_long_for_another(settings: Settings, tmp_path: Path) -> None:
    hasty = settings_for(f"sqlite:///{settings.sqlite_path}", tmp_path, DATABASE_POOL_TIMEOUT_S="0.1")
    engine = dialect_for(hasty).engine(Role("reads", size=2, overflow=1))
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(engine.connect())
        with pytest.raises(PoolTimeoutError, match=r"timeout 0\.10"):
            engine.connect()
    engine.dispose()


def test_an_error_shows_the_statement_without_its_values(writer: Engine) -> None:
    with pytest.raises(DBAPIError, match="INTO missing") as caught, writer.begin() as connection:
        connection.execute(text("INSERT INTO missing VALUES (:value)"), {"value": "secret"})
    assert "secret" not in str(caught.value)


def test_lower_knows_every_alphabet_and_leaves_what_is_no_text(reader: Engine) -> None:
    with reader.connect() as connection:
        found = connection.execute(text("SELECT lower('Café-ÉTÉ Ж'), lower(NULL)")).one()
    assert tuple(found) == ("café-été ж", None)


def test_a_text_that_is_searched_for_is_lowered_once_for_all_rows(
    reader: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lower = Mock(return_value="x")
    monkeypatch.setattr(dialect_sqlite, "_lower", lower)
    with reader.connect() as connection:
        found = text('SELECT COUNT(*) FROM json_each(\'["a", "x", "x"]\') WHERE value = lower(:q)')
        assert connection.execute(found, {"q": "X"}).scalar_one() == 2
    lower.assert_called_once_with("X")


def test_a_reader_does_not_wait_for_the_writer(writer: Engine, reader: Engine) -> None:
    with writer.begin() as writing, reader.connect() as reading:
        writing.execute(text("INSERT INTO t VALUES (1)"))
        assert reading.execute(text("SELECT COUNT(*) FROM t")).scalar_one() == 0


def test_a_read_that_takes_too_long_is_ended(reader: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialect_sqlite, "STATEMENT_TIMEOUT_S", 0.2)
    with reader.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text(ENDLESS)).all()
    assert classify(caught.value) is Fault.TIMEOUT


def test_each_read_has_the_whole_time_for_itself(reader: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialect_sqlite, "STATEMENT_TIMEOUT_S", 1.0)
    with reader.connect() as connection:
        connection.execute(text("SELECT 1"))
        time.sleep(1.1)
        counted = ENDLESS.replace("FROM n)", "FROM n WHERE i < 200000)")
        assert connection.execute(text(counted)).scalar_one() == 200_000


def test_a_read_that_takes_too_long_is_503_in_the_envelope(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialect_sqlite, "STATEMENT_TIMEOUT_S", 0.2)
    with running(settings) as service:
        monkeypatch.setattr("database.hosts.page", endless)
        answer = service.client.get("/api/hosts")
        assert (answer.status_code, answer.json()["resultCode"]) == (503, "DB_UNAVAILABLE")
        monkeypatch.undo()
        assert service.data("/api/hosts") == []


def endless(connection: Connection, *_: object, **__: object) -> None:
    connection.execute(text(ENDLESS)).all()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_the_database_and_its_logs_are_for_their_owner_alone(settings: Settings) -> None:
    with running(settings) as service:
        assert service.post(SAMPLE).status_code == 200
        folder = (settings.sqlite_path or Path()).parent
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.glob("test.db*") if path.suffix != ".lock"}
    assert modes == {"test.db": 0o600, "test.db-wal": 0o600, "test.db-shm": 0o600}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_database_made_by_a_command_is_for_its_owner_alone(writer: Engine, settings: Settings) -> None:
    pragma(writer, "user_version")
    assert settings.sqlite_path
    assert settings.sqlite_path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["a b.db", "100%.db", "질문#1.db", "a&b=c.db", "new/folders/a.db"])
def test_any_file_name_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    engine = dialect_for(settings_for(f"sqlite:///{tmp_path}/{name}", tmp_path)).engine(Role("writer"))
    pragma(engine, "user_version")
    engine.dispose()
    assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 7, 0), False),
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_versions_with_the_wal_reset_race_are_known(version: tuple[int, ...], safe: bool) -> None:  # noqa: FBT001 - a case
    assert wal_is_safe(version) is safe


def test_the_bundled_library_goes_before_pythons_own(monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = ModuleType("pysqlite3.dbapi2")
    monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", bundled)
    assert sqlite_module() is bundled


def test_pythons_own_sqlite_serves_where_there_is_no_other(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysqlite3", None)
    monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", None)
    assert sqlite_module() is sqlite3
    with running(settings) as service:
        assert service.post(SAMPLE).status_code == 200
        assert service.client.get("/health").json()["data"]["database"]["version"] == sqlite3.sqlite_version


def test_a_library_with_the_race_is_named_in_health_and_log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialect_sqlite, "wal_is_safe", lambda _version: False)
    with running(settings) as service:
        shown = service.client.get("/health").json()["data"]["database"]
        assert "WAL-reset" in shown["warning"]
        until(lambda: "WARNING - database_warning" in service.log)


def test_a_safe_library_is_no_reason_to_warn(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialect_sqlite, "wal_is_safe", lambda _version: True)
    with running(settings) as service:
        assert service.client.get("/health").json()["data"]["database"]["warning"] is None


# The second one reads like the mark that stands for host and moment in a finished row.
NAMES = ["'", '"\\u001f"', "],[", "\\", "%s"]


# Both functions where the library has both; Python's own and PyPI's where there are both.
EACH = {(3, 38): "json_each", (3, 50, 7): "json_each", (3, 51): "jsonb_each"}
CASES = [
    (module, least) for module in (sqlite3, sqlite_module()) for least in EACH if module.sqlite_version_info >= least
]


@pytest.mark.parametrize(("module", "version"), CASES)
def test_a_batchs_rows_are_taken_apart_by_what_the_library_has(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, module: ModuleType, version: tuple[int, ...]
) -> None:
    monkeypatch.setattr(dialect_sqlite, "sqlite_module", lambda: module)
    assert each_of(version) == EACH[version]
    one, at = Target(f"sqlite:///{settings.sqlite_path}"), 1_750_000_000_999_999  # some libraries would round it
    Statements.__init__(cast("Sqlite", one.dialect), version)
    one.prepare()
    one.sql("INSERT INTO hosts (id, host_name, created_at) VALUES (7, 'h', '2025-06-15')")
    made = sent(one, at)
    with one.engine.begin() as connection:
        batch.write(connection, one.dialect, [made], packet=0, now=at, skip_locked=False)
        held = one.dialect.lock_hosts(connection, [7], skip_locked=False)
    assert held == {7: Held(at, at, None, "h")}
    stored = one.sql("SELECT container_name, host_id, sampled_at, cpu_percentage FROM containers ORDER BY id")
    assert stored == [(name, 7, "2025-06-15 15:06:40.999999", None) for name in NAMES]
    one.engine.dispose()


def sent(target: Target, at: int) -> Prepared:
    body = Report.model_validate(report("h", *NAMES))
    made = prepare(body, key="k", received_at=at, now_local="2025-06-15 15:06:40", dialect=target.dialect)
    made.host_id = 7
    return made


def test_a_library_that_is_too_old_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(sqlite_version="3.37.2", sqlite_version_info=(3, 37, 2))
    monkeypatch.setattr(dialect_sqlite, "sqlite_module", lambda: old)
    with pytest.raises(ConfigError, match=r"SQLite is 3\.37\.2: 3\.38 or newer is needed"):
        dialect_for(settings)
