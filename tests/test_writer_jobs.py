import asyncio
import time

import pytest
from sqlalchemy.exc import OperationalError

from database import writer
from database.committer import Outcome
from database.faults import Fault
from database.rows import Stored
from model.envelope import Code, Failure, unavailable
from tests.queues import LIMIT_S, Committer, Queue, code, on_a_loop, queue


@on_a_loop
async def test_jobs_give_their_result_or_their_own_exception() -> None:
    async with queue() as one:
        assert await one.writer.run(lambda _: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await one.writer.run(lambda _: 1 / 0)
        assert await one.writer.run(lambda _: 8) == 8


@on_a_loop
async def test_a_job_that_the_database_fails_is_unavailable() -> None:
    error = OperationalError("SELECT", {}, Exception("gone"))

    def job(_: object) -> None:
        raise error

    async with queue() as one:
        with pytest.raises(Failure) as caught:
            await one.writer.run(job)
        assert (caught.value.code, caught.value.__cause__) == (Code.DB_UNAVAILABLE, error)


@on_a_loop
async def test_jobs_run_before_the_batch_and_not_for_those_who_have_gone() -> None:
    async with queue() as one:
        await one.hold()
        stored = one.submit("h")
        seen: list[int] = []
        one.writer.run(lambda _: seen.append(9)).cancel()
        job = one.writer.run(lambda _: seen.append(len(one.committer.tried)))
        one.go()
        await asyncio.gather(stored, job)
        assert seen == [0]


@on_a_loop
async def test_a_job_whose_asker_goes_meanwhile_changes_nothing() -> None:
    async with queue() as one:
        for result in (1, ZeroDivisionError()):
            await one.hold()
            going = one.writer.run(lambda _, result=result: raised(result))  # type: ignore[misc]
            one.writer._loop.call_later(0.05, going.cancel)
            one.go()
            await asyncio.sleep(0.1)
        assert (await one.submit("h")).host_id == 7


def raised(result: object) -> object:
    """The result after a while, or an exception as such."""
    time.sleep(0.08)
    if isinstance(result, Exception):
        raise result
    return result


@on_a_loop
async def test_a_stop_writes_what_is_queued_and_leaves_nothing() -> None:
    async with queue() as one:
        await one.hold()
        futures = [one.submit(host) for host in "ab"]
        one.writer._loop.call_later(0.05, one.go)
        await one.writer.stop()
        assert [future.result().host_id for future in futures] == [7, 7]
        assert (one.writer._thread.is_alive(), one.writer._sweeper.done(), one.committer.closed) == (False, True, 1)


@on_a_loop
async def test_a_statement_that_hangs_keeps_neither_the_stop_nor_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "STOP_S", 0.05)
    async with queue() as one:
        await one.hold()
        waiting = one.submit("h")
        await one.writer.stop()
        assert (one.writer._thread.is_alive(), one.writer._thread.daemon) == (True, True)
        assert await code(waiting) is Code.DB_UNAVAILABLE


def test_the_thread_outlives_a_loop_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def abandoned() -> Queue:
        one = Queue()
        await one.hold()
        one.submit("h")
        return one

    monkeypatch.setattr(writer, "Committer", Committer)
    one = asyncio.run(abandoned())
    one.go()
    with one.writer._wake:
        one.writer._stopping = True
        one.writer._wake.notify()
    one.writer._thread.join(LIMIT_S)
    assert (one.committer.tried, one.committer.closed) == ([["h"]], 1)


@on_a_loop
async def test_a_stop_answers_everyone() -> None:
    async with queue() as one:
        one.committer.act = lambda _batch: []
        waiting = one.submit("h")
        await one.writer.stop()
        assert waiting.done()
        assert await code(waiting) is Code.DB_UNAVAILABLE


@on_a_loop
async def test_a_commit_is_one_line_with_the_first_twenty_hosts(caplog: pytest.LogCaptureFixture) -> None:
    async with queue() as one:
        assert one.writer.last_commit is None
        one.committer.act = lambda batch: time.sleep(0.02) or one.committer.store(batch)  # type: ignore[func-returns-value]
        await one.hold()
        futures = [one.submit(f"h{number}", "a", "b") for number in range(21)]
        before = time.monotonic()
        one.go()
        await asyncio.gather(*futures)
        assert before <= (one.writer.last_commit or 0) <= time.monotonic()
    hosts = ",".join(f"h{number}" for number in range(20))
    [line] = [record.getMessage() for record in caplog.records if record.name == "database.writer"]
    head, _, rest = line.partition(" ms=")
    took, _, named = rest.partition(" hosts=")
    assert (head, named) == ("commit reports=21 containers=42", hosts)
    assert 20 <= float(took) < 1000 * LIMIT_S


@pytest.mark.parametrize("outcome", [Stored(7, 0, 0, replayed=True), unavailable()])
def test_what_was_not_written_is_no_commit(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @on_a_loop
    async def test() -> None:
        async with queue() as one:
            one.committer.act = lambda batch: one.committer.settle([(batch[0], outcome)]) or []
            await asyncio.gather(one.submit("h"), return_exceptions=True)
            assert one.writer.last_commit is None

    test(monkeypatch, caplog)
    assert [record for record in caplog.records if record.name == "database.writer"] == []


@pytest.mark.parametrize(
    ("fault", "ago_s", "code"),
    [
        (None, 0, None),
        (Fault.LOST, 0, None),
        (Fault.STORAGE_FULL, 0, Code.STORAGE_FULL),
        (Fault.STORAGE_FULL, 29, Code.STORAGE_FULL),
        (Fault.STORAGE_FULL, 30.5, None),
        (Fault.UNWRITABLE, 0, Code.DB_UNAVAILABLE),
        (Fault.SCHEMA, 29, Code.DB_UNAVAILABLE),
        (Fault.SCHEMA, 31, None),
        (Fault.CORRUPT, 9999, Code.DB_UNAVAILABLE),
    ],
)
def test_what_blocks_is_believed_for_half_a_minute(
    fault: Fault | None,
    ago_s: float,
    code: Code | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @on_a_loop
    async def test() -> None:
        async with queue() as one:
            one.committer.last_fault, one.committer.last_fault_at = fault, time.monotonic() - ago_s
            assert one.writer.blocked is code

    test(monkeypatch, caplog)
