import sqlite3
from pathlib import Path

import pymysql
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from database.faults import Fault, Step, classify, judged, next_step


def error(number: int, words: str = "", *, lost: bool = False) -> DBAPIError:
    original = pymysql.err.OperationalError(number, words)
    return DBAPIError("", (), original, connection_invalidated=lost)


def numbers(*values: int) -> tuple[int, ...]:
    return values


TABLE = [
    (Fault.CONFLICT, numbers(1213, 1020, 3100, 3101, 8002, 8005, 8022, 8028, 9007)),
    (Fault.LOCK_WAIT, numbers(1205)),
    (Fault.NO_CONNECTION, numbers(2002, 2003, 2005, 1040, 1203, 1226, 1129, 9001, 9002, 9003, 9004, 9005)),
    (Fault.REFUSED, numbers(1045, 1049, 1044)),
    (Fault.LOST, numbers(0, 2006, 2013, 1927, 1317, 1053, 4031, 1047)),
    (Fault.READ_ONLY, numbers(1290, 1836, 1792)),
    (Fault.DUPLICATE, numbers(1062)),
    (Fault.HOST_GONE, numbers(1452)),
    (Fault.DATA, numbers(1406, 1264, 1292, 1366, 1300, 1048, 3819, 4025)),
    (Fault.STORAGE_FULL, numbers(1114, 1021, 1030)),
    (Fault.SCHEMA, numbers(1146, 1054)),
    (Fault.OTHER, numbers(1142, 9999)),
]


@pytest.mark.parametrize(("fault", "number"), [(fault, number) for fault, found in TABLE for number in found])
def test_an_error_number_means_one_thing(fault: Fault, number: int) -> None:
    assert classify(error(number)) is fault


@pytest.mark.parametrize(("words", "fault"), [("Got error 149 'x'", Fault.CONFLICT), ("Got error 5", Fault.LOST)])
def test_a_failed_commit_is_a_conflict_only_by_certification(words: str, fault: Fault) -> None:
    assert classify(error(1180, words)) is fault


def test_an_unforeseen_number_is_a_loss_if_the_driver_says_so() -> None:
    assert classify(error(2045, lost=True)) is Fault.LOST


def test_an_error_without_a_number_is_unforeseen() -> None:
    original = pymysql.err.InternalError("Packet sequence number wrong - got 1 expected 2")
    assert classify(DBAPIError("", (), original)) is Fault.OTHER


@pytest.mark.parametrize("number", [2013, 2006, 0, 1047, 1180, 9001, 1205, 1053])
def test_a_commit_without_a_verdict_is_unknown(number: int) -> None:
    assert not judged(error(number))


@pytest.mark.parametrize("number", [1213, 3101, 1290])
def test_a_verdict_on_a_commit_is_believed(number: int) -> None:
    assert judged(error(number))


@pytest.fixture
def database(tmp_path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{tmp_path}/test.db", connect_args={"timeout": 0})
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE hosts (id INTEGER PRIMARY KEY, name TEXT UNIQUE CHECK (name <> 'x'))")
        connection.exec_driver_sql("CREATE TABLE reports (host_id INTEGER REFERENCES hosts (id))")
        connection.exec_driver_sql("INSERT INTO hosts (name) VALUES ('web')")
    return engine


@pytest.mark.parametrize(
    ("fault", "statement"),
    [
        (Fault.DUPLICATE, "INSERT INTO hosts (name) VALUES ('web')"),
        (Fault.DATA, "INSERT INTO hosts (name) VALUES ('x')"),
        (Fault.HOST_GONE, "INSERT INTO reports VALUES (7)"),
        (Fault.SCHEMA, "INSERT INTO containers VALUES (1)"),
        (Fault.SCHEMA, "UPDATE hosts SET colour = 1"),
        (Fault.OTHER, "UPSERT"),
    ],
)
def test_sqlite_says_it_in_words(database: Engine, fault: Fault, statement: str) -> None:
    with database.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        with pytest.raises(DBAPIError) as caught:
            connection.exec_driver_sql(statement)
    assert classify(caught.value) is fault


def test_a_sqlite_file_that_another_process_writes_is_busy(database: Engine, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with database.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.exec_driver_sql("INSERT INTO hosts (name) VALUES ('db')")
    other.close()
    assert classify(caught.value) is Fault.BUSY
    assert judged(caught.value)


def test_a_damaged_sqlite_file_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "test.db").write_bytes(b"no database" * 1000)
    engine = create_engine(f"sqlite:///{tmp_path}/test.db")
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text("SELECT * FROM hosts"))
    assert classify(caught.value) is Fault.CORRUPT


@pytest.mark.parametrize(
    ("fault", "times", "step"),
    [
        (Fault.CONFLICT, 5, Step.AGAIN),
        (Fault.CONFLICT, 6, Step.GIVE_UP),
        (Fault.LOCK_WAIT, 1, Step.PASS_OVER),
        (Fault.LOCK_WAIT, 2, Step.ISOLATE),
        (Fault.DUPLICATE, 1, Step.LOOK_UP),
        (Fault.DUPLICATE, 6, Step.ISOLATE),
        (Fault.HOST_GONE, 1, Step.AGAIN),
        (Fault.DATA, 1, Step.ISOLATE),
        (Fault.OTHER, 1, Step.ISOLATE),
        (Fault.STORAGE_FULL, 1, Step.GIVE_UP),
        (Fault.CORRUPT, 1, Step.GIVE_UP),
        (Fault.LOST, 1000, Step.AGAIN),
        (Fault.NO_CONNECTION, 1000, Step.AGAIN),
        (Fault.READ_ONLY, 1000, Step.AGAIN),
        (Fault.REFUSED, 1000, Step.AGAIN),
        (Fault.BUSY, 1000, Step.AGAIN),
    ],
)
def test_what_follows_a_fault(fault: Fault, times: int, step: Step) -> None:
    assert next_step(fault, times) is step
