import asyncio
import gc
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from database import batch, host_ids, writer
from database.rows import Prepared
from model.envelope import Code, Failure
from model.schemas import Report
from tests.conftest import ENGINES
from tests.faultkit import held, in_one_batch, listening, on_writer, post_all, until, writer_of
from tests.servers import Server
from tests.service import Service, report, running, settings_for

pytestmark = pytest.mark.slow


@contextmanager
def queued(service: Service, *bodies: object, key: str | None = None) -> Iterator[list["Future[httpx.Response]"]]:
    """Reports that wait in the queue until the block ends."""
    headers = {"Idempotency_Key": key} if key else {}
    with ThreadPoolExecutor(len(bodies)) as threads, held(service):
        posts = [threads.submit(service.post, body, **headers) for body in bodies]
        until(lambda: writer_of(service).depth == len(bodies))
        yield posts


def rows_of(service: Service, host: str) -> int:
    rows = service.sql(
        "SELECT COUNT(*) FROM reports r JOIN hosts h ON h.id = r.host_id WHERE host_name = :host", host=host
    )
    return int(rows[0][0])


def test_a_full_queue_refuses_at_once(sqlite: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_QUEUE_REPORTS", 3)
    with queued(sqlite, *(report(f"full{n}") for n in range(3))) as posts:
        answer = sqlite.post(report("overload"))
        assert (answer.status_code, answer.json()["resultCode"]) == (503, "OVERLOADED")
        assert answer.json()["resultMessage"] == "too many reports are waiting; try again"
        assert int(answer.headers["Retry-After"]) > 0
    assert [post.result().status_code for post in posts] == [200] * 3
    assert sqlite.post(report("overload")).status_code == 200


def test_the_queue_is_bound_by_bytes_too(sqlite: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_QUEUE_BYTES", 10_000)
    large = [f"{n}" + "x" * 200 for n in range(100)]
    with queued(sqlite, report("large", *large)) as posts:
        assert sqlite.post(report("beside-large")).json()["resultCode"] == "OVERLOADED"
    assert posts[0].result().status_code == 200
    assert sqlite.post(report("beside-large")).status_code == 200
    assert writer_of(sqlite)._bytes == 0


def test_health_tells_how_many_reports_wait(sqlite: Service) -> None:
    with queued(sqlite, report("waiting"), report("waiting")):
        assert sqlite.data("/health")["queue_depth"] == 2
    assert sqlite.data("/health")["queue_depth"] == 0


def test_a_batch_is_bound(sqlite: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_BATCH_ROWS", 10)
    answers = in_one_batch(sqlite, [report(f"bound{n}", "a", "b", "c") for n in range(12)])
    assert {answer.status_code for answer in answers} == {200}
    # A thread of its own writes the log: the last line may come after the answers.
    until(lambda: re.findall(r"commit reports=(\d+) .*hosts=bound", sqlite.log) == ["4", "4", "4"])


def test_a_client_that_hangs_up_changes_nothing(sqlite: Service) -> None:
    body = json.dumps(report("hung-up", "web")).encode()
    head = f"POST /api/resources HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with held(sqlite):
        with socket.create_connection(("127.0.0.1", sqlite.port)) as client:
            client.sendall(head + body)
            until(lambda: writer_of(sqlite).depth == 1)
        time.sleep(0.1)
    until(lambda: rows_of(sqlite, "hung-up") == 1)
    assert sqlite.post(report("hung-up", "web")).status_code == 200


def test_an_equal_key_in_the_queue_shares_the_outcome(sqlite: Service) -> None:
    with ThreadPoolExecutor(1) as thread, queued(sqlite, report("shared", "web"), key="k") as posts:
        second = thread.submit(sqlite.post, report("shared", "web"), Idempotency_Key="k")
        until(lambda: len(next(iter(writer_of(sqlite)._keys.values())).waiters) == 2)
    answers = [posts[0].result(), second.result()]
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true"]
    assert answers[0].json() == answers[1].json()
    assert rows_of(sqlite, "shared") == 1


def test_an_equal_key_in_the_queue_with_other_content_is_refused(sqlite: Service) -> None:
    with queued(sqlite, report("clash", "web"), key="k"):
        answer = sqlite.post(report("clash", "db"), Idempotency_Key="k")
        assert (answer.status_code, answer.json()["resultCode"]) == (422, "KEY_MISMATCH")


@pytest.fixture
def hasty(new_url: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service that answers within half a second."""
    monkeypatch.setattr(writer, "ACK_TIMEOUT_S", 0.5)
    with running(settings_for(new_url("sqlite"), tmp_path)) as one:
        yield one


def test_a_report_past_its_deadline_is_answered_and_never_written(hasty: Service) -> None:
    with queued(hasty, report("late")) as posts:
        answer = posts[0].result(5)
    writer_of(hasty)._waiting._timeout_s = 15.0
    assert (answer.status_code, answer.json()["resultCode"]) == (503, "DB_UNAVAILABLE")
    assert answer.headers["Retry-After"]
    assert hasty.post(report("next")).status_code == 200
    assert rows_of(hasty, "late") == 0


def test_a_key_past_its_deadline_may_be_sent_again(hasty: Service) -> None:
    with queued(hasty, report("again", "web"), key="k") as posts:
        assert posts[0].result(5).status_code == 503
    writer_of(hasty)._waiting._timeout_s = 15.0
    answer = hasty.post(report("again", "web"), Idempotency_Key="k")
    assert (answer.status_code, "Idempotent-Replayed" in answer.headers) == (200, False)
    assert rows_of(hasty, "again") == 1
    assert writer_of(hasty)._keys == {}


def test_a_commit_is_one_line_in_the_log(sqlite: Service) -> None:
    sqlite.post(report("logged", "web", "db"), Idempotency_Key="k")
    sqlite.post(report("logged", "web", "db"), Idempotency_Key="k")
    until(lambda: "hosts=logged" in sqlite.log)
    lines = [line for line in sqlite.log.splitlines() if "hosts=logged" in line]
    assert len(lines) == 1
    assert re.search(r"commit reports=1 containers=2 ms=[\d.]+ hosts=logged", lines[0])


def test_a_stop_writes_what_is_queued(new_url: Callable[[str], str], tmp_path: Path) -> None:
    with running(settings_for(new_url("sqlite"), tmp_path)) as one:
        bodies = [report(f"stop{n}", "web") for n in range(5)]
        with queued(one, *bodies) as posts:
            stop = asyncio.run_coroutine_threadsafe(writer_of(one).stop(), writer_of(one)._loop)
            until(lambda: writer_of(one)._stopping)
        stop.result(10)
        assert [post.result(10).status_code for post in posts] == [200] * 5
        assert one.sql("SELECT COUNT(*) FROM containers") == [(5,)]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stop_under_load_answers_everyone_and_leaves_nothing(
    engine: str, new_url: Callable[[str], str], servers: Callable[[str], Server], tmp_path: Path
) -> None:
    url = new_url(engine)
    stored: list[str] = []
    before = set(threading.enumerate())
    with running(settings_for(url, tmp_path)) as one, ThreadPoolExecutor(8) as threads:
        loads = [threads.submit(load, one, f"host{n}", stored) for n in range(8)]
        until(lambda: len(stored) > 20)
        assert begun_since(before) >= {"writer", "probe"}
        one._server.should_exit = True
        one._thread.join(30)
        assert not one._thread.is_alive()
        assert {load.result(10) for load in loads} == {None}
        names = {row[0] for row in one.sql("SELECT container_name FROM containers")}
        assert set(stored) <= names
    assert not begun_since(before) & {"writer", "probe", "read"}
    if engine != "sqlite":
        connected = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s"
        until(lambda: servers(engine).execute(connected, url.rpartition("/")[2]) == ((0,),))


def begun_since(before: set[threading.Thread]) -> set[str]:
    return {thread.name.partition("_")[0] for thread in set(threading.enumerate()) - before}


def load(service: Service, host: str, stored: list[str]) -> None:
    """Posts until nobody listens any more; whatever is answered must be a 200."""
    for n in range(100_000):
        name = f"{host}-{n}"
        try:
            answer = service.post(report(host, name))
        except httpx.TransportError:
            return
        assert answer.status_code == 200, answer.text
        stored.append(name)


def test_a_stopped_writer_takes_nothing(new_url: Callable[[str], str], tmp_path: Path) -> None:
    with running(settings_for(new_url("sqlite"), tmp_path)) as one:
        stopped = writer_of(one)
    for call in (lambda: stopped.submit(Report.model_validate(report("late"))), lambda: stopped.run(lambda _: None)):
        with pytest.raises(Failure) as caught:
            call()
        assert caught.value.code is Code.DB_UNAVAILABLE


def test_jobs_run_between_batches_and_give_their_result(sqlite: Service) -> None:
    post_all(sqlite, [report("job")])
    assert on_writer(sqlite, lambda connection: connection.exec_driver_sql("SELECT 7").scalar_one()) == 7
    assert sqlite.post(report("job")).status_code == 200


def test_a_bug_is_an_envelope_and_not_the_end(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(batch, "write", lambda *_args, **_named: 1 / 0)
        answer = service.post(report("bug", "web"))
    assert (answer.status_code, answer.json()["resultCode"], answer.json()["data"]) == (500, "INTERNAL", None)
    assert service.post(report("bug", "web")).status_code == 200
    until(lambda: "ZeroDivisionError" in service.log)
    assert "ZeroDivisionError" not in answer.text


def test_a_job_that_fails_leaves_nothing_behind(service: Service) -> None:
    service.post(report("job"))

    def job(connection: Connection) -> None:
        connection.execute(text("UPDATE hosts SET cpu_percentage = 77 WHERE host_name = 'job'"))
        raise LookupError

    with pytest.raises(LookupError):
        on_writer(service, job)
    service.post(report("after-job"))
    assert service.data("/api/hosts", host_name="job")[0]["cpu_percentage"] is None


def test_a_job_that_the_database_refuses_is_unavailable(sqlite: Service) -> None:
    with pytest.raises(Failure) as caught:
        on_writer(sqlite, lambda connection: connection.exec_driver_sql("SELECT * FROM nothing"))
    assert caught.value.code is Code.DB_UNAVAILABLE


@pytest.mark.parametrize(
    ("words", "code"), [("gone while it was committed", Code.COMMIT_UNKNOWN), ("disk is full", Code.DB_UNAVAILABLE)]
)
def test_a_job_whose_commit_nobody_judged_is_unknown(sqlite: Service, words: str, code: Code) -> None:
    def lose(_connection: object) -> None:
        raise OperationalError("COMMIT", {}, Exception(words))

    with listening(sqlite, "commit", lose), pytest.raises(Failure) as caught:
        on_writer(sqlite, lambda connection: connection.exec_driver_sql("SELECT 7"))
    assert caught.value.code is code
    assert on_writer(sqlite, lambda connection: connection.exec_driver_sql("SELECT 8").scalar_one()) == 8


def test_a_job_whose_asker_has_gone_does_not_run(sqlite: Service) -> None:
    ran = []
    one = writer_of(sqlite)

    async def ask() -> None:
        one.run(lambda _: ran.append(1)).cancel()

    with held(sqlite):
        asyncio.run_coroutine_threadsafe(ask(), one._loop).result(5)
    assert sqlite.post(report("next")).status_code == 200
    assert ran == []


def test_forgotten_names_are_looked_up_again(sqlite: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_ids, "MAX_IDS", 0)
    ids = {sqlite.post(report("looked-up")).json()["data"]["host_id"] for _ in range(3)}
    assert len(ids) == 1


def reports_in_memory() -> int:
    return sum(isinstance(one, Prepared) for one in gc.get_objects())


def test_a_report_is_gone_once_it_is_answered(sqlite: Service) -> None:
    gc.collect()
    before = reports_in_memory()
    gc.disable()  # what only the collector could find is what this test is about
    try:
        for _ in range(20):
            sqlite.post(report("gone", "web"))
        # The writer's thread lets go of a batch when it takes the next.
        until(lambda: reports_in_memory() <= before + 1)
    finally:
        gc.enable()
