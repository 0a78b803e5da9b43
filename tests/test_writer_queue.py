import asyncio
import logging
import math
import threading
import time

import pytest

from config.config import ROOT
from database import writer
from database.dialect import LOCK_WAIT_S
from database.faults import Fault
from database.rows import HOST_COLUMNS, Prepared
from model.envelope import Code, Failure
from tests.elapsed import within
from tests.faultkit import until
from tests.queues import LIMIT_S, REPORT_BYTES, SEOUL, Queue, code, on_a_loop, queue, refusal
from utils.utils import SECOND, local_second


@on_a_loop
async def test_a_report_is_stamped_by_the_clock_and_stored() -> None:
    async with queue() as one:
        before = one.database.clock.now()
        stored = await one.submit("h", "a", "b")
        assert (stored.host_id, stored.containers_count, stored.replayed) == (7, 2, False)
        assert before <= stored.received_at <= one.database.clock.now()


@on_a_loop
async def test_a_time_left_out_is_the_local_second() -> None:
    async with queue() as one:
        stored = await one.submit("h")
        assert one.committer.reports[0].host[HOST_COLUMNS.index("get_datetime")] == local_second(
            stored.received_at // SECOND, SEOUL
        ).replace("T", " ")


@on_a_loop
async def test_what_waits_is_one_batch_in_the_order_it_came() -> None:
    async with queue() as one:
        await one.hold()
        futures = [one.submit(host) for host in "abc"]
        assert one.writer.depth == 3
        one.go()
        await asyncio.gather(*futures)
        assert (one.committer.tried, one.writer.depth) == ([["a", "b", "c"]], 0)


@pytest.mark.parametrize(
    ("limit", "value", "sizes"),
    [
        ("MAX_BATCH_REPORTS", 2, [2, 2, 1]),
        ("MAX_BATCH_ROWS", 4, [2, 2, 1]),
        ("MAX_BATCH_ROWS", 5, [3, 2]),
        ("MAX_BATCH_BYTES", 2 * (REPORT_BYTES + 120), [2, 2, 1]),
        ("MAX_BATCH_BYTES", 2 * (REPORT_BYTES + 120) + 1, [3, 2]),
    ],
)
def test_a_batch_has_limits(
    limit: str, value: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @on_a_loop
    async def test() -> None:
        async with queue() as one:
            await one.hold()
            futures = [one.submit(host, "x", "y") for host in "abcde"]
            one.go()
            await asyncio.gather(*futures)
            assert [len(batch) for batch in one.committer.tried] == sizes

    monkeypatch.setattr(writer, limit, value)
    test(monkeypatch, caplog)


def test_the_limits_are_those_that_the_pages_name() -> None:
    decision = (ROOT / "docs/decisions/0003-group-commit.md").read_text(encoding="utf-8")
    rows, size = f"{writer.MAX_BATCH_ROWS:,} container rows", f"{writer.MAX_BATCH_BYTES / 2**20:g} MiB"
    assert f"up to {writer.MAX_BATCH_REPORTS} reports, {rows} or {size}" in decision
    assert f"({writer.MAX_QUEUE_REPORTS:,} reports, {writer.MAX_QUEUE_BYTES / 2**20:g} MiB)" in decision
    assert f"waits up to {writer.ACK_TIMEOUT_S:g} s for a database" in decision
    assert f"seen the database away for {writer.AWAY_S:g} s" in decision
    faults = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
    assert writer.ACK_TIMEOUT_S + writer.SWEEP_S < 16
    assert "nobody waits longer than 16 s" in faults


@pytest.mark.parametrize(("limit", "value"), [("MAX_QUEUE_REPORTS", 2), ("MAX_QUEUE_BYTES", 2 * REPORT_BYTES)])
def test_a_full_queue_refuses_until_there_is_room(
    limit: str, value: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @on_a_loop
    async def test() -> None:
        async with queue() as one:
            for _ in range(3):
                await one.hold()
                futures = [one.submit("a"), one.submit("b")]
                assert refusal(one, "c") is Code.OVERLOADED
                one.go()
                await asyncio.gather(*futures)

    monkeypatch.setattr(writer, limit, value)
    test(monkeypatch, caplog)


@on_a_loop
async def test_without_tables_nothing_is_taken() -> None:
    async with queue() as one:
        one.database.ready = False
        assert refusal(one, "h") is Code.DB_UNAVAILABLE
        one.database.ready = True
        await one.submit("h")


@on_a_loop
async def test_a_stopping_writer_takes_neither_reports_nor_jobs() -> None:
    async with queue() as one:
        await one.writer.stop()
        assert refusal(one, "h") is Code.DB_UNAVAILABLE
        with pytest.raises(Failure):
            one.writer.run(lambda _: None)


@on_a_loop
async def test_an_equal_key_shares_the_outcome_and_is_a_repeat() -> None:
    async with queue() as one:
        await one.hold()
        futures = [one.submit("h", "c", key="k") for _ in range(3)]
        one.go()
        assert [(await future).replayed for future in futures] == [False, True, True]
        assert one.committer.tried == [["h"]]


@on_a_loop
async def test_a_key_on_its_way_is_kept_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SWEEP_S", 0.01)
    async with queue() as one:
        await one.hold()
        first = one.submit("h", key="k")
        await asyncio.sleep(0.05)
        second = one.submit("h", key="k")
        one.go()
        assert [(await future).replayed for future in (first, second)] == [False, True]


@on_a_loop
async def test_an_equal_key_of_other_content_is_refused() -> None:
    async with queue() as one:
        await one.hold()
        first = one.submit("h", "c", key="k")
        with pytest.raises(Failure) as caught:
            one.submit("h", "d", key="k")
        assert (caught.value.code, caught.value.message) == (
            Code.KEY_MISMATCH,
            "this Idempotency-Key was used for another report",
        )
        one.go()
        assert not (await first).replayed


@on_a_loop
async def test_a_key_is_free_once_it_is_answered() -> None:
    async with queue() as one:
        await one.submit("h", key="k")
        await one.submit("h", "other", key="k")
        await one.submit("h")
        assert one.committer.tried == [["h"]] * 3


@on_a_loop
async def test_a_late_report_is_told_and_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ACK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(writer, "SWEEP_S", 0.01)
    async with queue() as one:
        await one.hold()
        late = one.submit("late", key="k")
        with pytest.raises(Failure, match=r"^the database did not take the report in time; send it again$") as caught:
            await late
        assert caught.value.code is Code.DB_UNAVAILABLE
        await asyncio.sleep(0.05)
        one.writer._waiting._timeout_s = 10.0  # the short deadline was for the first alone
        again = one.submit("late", "other", key="k")
        one.go()
        await again
        assert one.committer.tried == [["late"]]


@on_a_loop
async def test_a_late_report_that_may_be_stored_is_told_so() -> None:
    doubted, gate = threading.Event(), threading.Event()

    def doubt(batch: list[Prepared]) -> list[Prepared]:
        batch[0].maybe_stored = True
        doubted.set()
        gate.wait(LIMIT_S)
        return []

    async with queue() as one:
        one.committer.act = doubt
        future = one.submit("h")
        await asyncio.to_thread(doubted.wait, LIMIT_S)
        one.writer._waiting.expire(math.inf, one.writer._late)
        gate.set()
        message = "the outcome was not known in time; send the same report and key again"
        with pytest.raises(Failure, match=f"^{message}$") as caught:
            await future
        assert caught.value.code is Code.COMMIT_UNKNOWN


@on_a_loop
async def test_a_late_outcome_leaves_the_key_to_who_sent_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "ACK_TIMEOUT_S", 0.5)
    monkeypatch.setattr(writer, "SWEEP_S", 0.01)
    commits = threading.Semaphore(0)

    def slow(batch: list[Prepared]) -> list[Prepared]:
        commits.acquire(timeout=LIMIT_S)
        return one.committer.store(batch)

    async with queue() as one:
        one.committer.act = slow
        assert await code(one.submit("h", key="k")) is Code.DB_UNAVAILABLE
        await asyncio.sleep(0.05)
        again = one.submit("h", "other", key="k")
        commits.release()
        await asyncio.sleep(0.05)
        third = one.submit("h", "other", key="k")
        commits.release()
        assert [(await future).replayed for future in (again, third)] == [False, True]


@on_a_loop
async def test_a_held_report_waits_behind_the_others_and_is_written_later() -> None:
    async with queue() as one:
        one.committer.act = lambda batch: hold_first(one, batch)
        await one.hold()
        futures = [one.submit(host) for host in "ab"]
        one.go()
        await asyncio.gather(*futures)
        assert one.committer.tried == [["a", "b"], ["a"]]
    within(one.committer.times[1] - one.committer.times[0], writer.HELD_PAUSE_S)


def hold_first(one: Queue, batch: list[Prepared]) -> list[Prepared]:
    """The first try leaves the first report out."""
    one.committer.act = one.committer.store
    one.committer.store(batch[1:])
    return batch[:1]


@on_a_loop
async def test_where_all_are_held_there_is_a_pause_each_time() -> None:
    async with queue() as one:

        def hold_all(batch: list[Prepared]) -> list[Prepared]:
            return one.committer.store(batch) if len(one.committer.tried) == 3 else batch

        one.committer.act = hold_all
        await one.submit("h")
        gaps = [after - before for before, after in zip(one.committer.times, one.committer.times[1:], strict=False)]
        assert len(gaps) == 2
        assert min(gaps) >= 0.9 * writer.HELD_PAUSE_S


@on_a_loop
async def test_nobody_waits_for_a_pause_where_none_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "HELD_PAUSE_S", 2 * LIMIT_S)
    async with queue() as one:
        await one.submit("first")
        await one.submit("second")


@on_a_loop
async def test_held_reports_count_beside_what_came_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_QUEUE_BYTES", 2 * REPORT_BYTES)
    monkeypatch.setattr(writer, "HELD_PAUSE_S", 2 * LIMIT_S)
    gate = threading.Event()
    async with queue() as one:
        one.committer.act = lambda batch: batch if gate.wait(LIMIT_S) else []
        held = one.submit("held")
        await asyncio.to_thread(until, lambda: one.committer.tried, LIMIT_S)
        other = one.submit("other")
        gate.set()
        await asyncio.to_thread(until, lambda: one.writer._all_held, LIMIT_S)
        assert refusal(one, "third") is Code.OVERLOADED
        one.committer.act = one.committer.store
        await asyncio.gather(held, other, one.writer.run(lambda _: None))  # a job ends the pause


@on_a_loop
async def test_a_batch_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LOCK_WAIT_S < writer.STUCK_S < writer.ACK_TIMEOUT_S
    gate = threading.Event()
    async with queue() as one:
        one.committer.act = lambda batch: one.committer.store(batch) if gate.wait(LIMIT_S) else []
        future = one.submit("h")
        await asyncio.to_thread(until, lambda: one.committer.tried, LIMIT_S)
        assert (one.writer.depth, one.writer.blocked) == (1, None)
        monkeypatch.setattr(writer, "STUCK_S", 0.0)
        assert (one.writer.depth, one.writer.blocked) == (1, Code.DB_UNAVAILABLE)
        gate.set()
        await future
        assert (one.writer.depth, one.writer.blocked) == (0, None)


@on_a_loop
async def test_of_a_batch_those_wait_that_have_no_outcome() -> None:
    depths: list[int] = []
    async with queue() as one:

        def store_one_by_one(batch: list[Prepared]) -> list[Prepared]:
            for report in batch:
                one.committer.store([report])
                depths.append(one.writer.depth)
            return []

        one.committer.act = store_one_by_one
        await one.hold()
        futures = [one.submit(host) for host in "abc"]
        one.go()
        await asyncio.gather(*futures)
    assert depths == [2, 1, 0]


@on_a_loop
async def test_held_reports_count_in_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_QUEUE_BYTES", REPORT_BYTES)
    monkeypatch.setattr(writer, "HELD_PAUSE_S", 2 * LIMIT_S)
    async with queue() as one:
        one.committer.act = list
        waiting = one.submit("h")
        await asyncio.to_thread(until, lambda: one.writer._all_held, LIMIT_S)
        assert refusal(one, "other") is Code.OVERLOADED
        one.committer.act = one.committer.store
        await asyncio.gather(waiting, one.writer.run(lambda _: None))  # a job ends the pause
        await one.submit("other")


@on_a_loop
async def test_a_bug_is_told_and_logged_and_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async with queue() as one:
        one.committer.act = lambda _batch: [1 / 0]  # type: ignore[list-item]
        with pytest.raises(Failure, match=r"^internal error; the log has the details$") as caught:
            await one.submit("h")
        assert (caught.value.code, type(caught.value.__cause__)) == (Code.INTERNAL, ZeroDivisionError)
        one.committer.act = one.committer.store
        assert (await one.submit("h")).host_id == 7
        assert one.committer.closed == 1
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (record.getMessage(), record.exc_info is not None) == ("writer_failed reports=1", True)


@on_a_loop
async def test_in_a_long_outage_one_report_waits_and_the_rest_is_refused() -> None:
    async with queue() as one:
        await one.hold()
        one.database.away_since = time.monotonic() - writer.AWAY_S - 1
        one.committer.last_fault = Fault.NO_CONNECTION
        first = one.submit("first")
        assert refusal(one, "second") is Code.DB_UNAVAILABLE
        one.go()
        await first
        await asyncio.sleep(2 * writer.SWEEP_S)  # nobody waits any more
        await one.submit("third")


@on_a_loop
async def test_a_short_outage_refuses_nobody() -> None:
    async with queue() as one:
        await one.hold()
        one.database.away_since = time.monotonic() - writer.ACK_TIMEOUT_S
        one.committer.last_fault = Fault.NO_CONNECTION
        futures = [one.submit(host) for host in "ab"]
        one.go()
        await asyncio.gather(*futures)


@on_a_loop
async def test_nobody_is_refused_while_the_writer_is_well_though_the_probe_cannot_connect() -> None:
    async with queue() as one:
        await one.hold()
        one.database.away_since = time.monotonic() - writer.AWAY_S - 1
        futures = [one.submit(host) for host in "ab"]
        one.go()
        await asyncio.gather(*futures)
