import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from database.rows import Prepared, Stored
from database.waiting import Waiting
from model.envelope import Failure, unavailable

STORED = Stored(host_id=7, containers_count=3, received_at=9)


def prepared() -> Prepared:
    return Prepared("h", (), "", 0, 0, 0, 0, 0, b"", None)


def late(_prepared: Prepared) -> Failure:
    return unavailable("late")


def on_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that runs on an event loop."""
    return lambda: asyncio.run(test())


def resolve(report: Prepared, outcome: Stored | Failure) -> None:
    for waiter in report.waiters:
        waiter.resolve(outcome)


@on_a_loop
async def test_all_who_wait_for_a_report_get_its_outcome() -> None:
    waiting, report = Waiting(10), prepared()
    first, repeat = waiting.add(report, replayed=False), waiting.add(report, replayed=True)
    before = report.awaited
    resolve(report, STORED)
    assert (before, report.awaited) == (True, False)
    assert await first == STORED
    assert await repeat == Stored(host_id=7, containers_count=3, received_at=9, replayed=True)


@on_a_loop
async def test_a_failure_reaches_first_and_repeat() -> None:
    waiting, report, failure = Waiting(10), prepared(), unavailable()
    futures = [waiting.add(report, replayed=replayed) for replayed in (False, True)]
    resolve(report, failure)
    assert [future.exception() for future in futures] == [failure, failure]


@on_a_loop
async def test_who_hung_up_is_not_told() -> None:
    waiting, report = Waiting(10), prepared()
    gone, here = waiting.add(report, replayed=False), waiting.add(report, replayed=False)
    gone.cancel()
    resolve(report, STORED)
    assert gone.cancelled()
    assert await here == STORED


@on_a_loop
async def test_who_waits_is_told_at_the_deadline_and_not_before() -> None:
    waiting, reports = Waiting(10), [prepared(), prepared()]
    began = time.monotonic()
    futures = [waiting.add(report, replayed=False) for report in reports]
    ended = time.monotonic()
    waiting.expire(began + 9.9, late)
    assert not any(future.done() for future in futures)
    waiting.expire(ended + 10, late)
    assert [str(future.exception()) for future in futures] == ["late", "late"]
    assert not any(report.awaited for report in reports)


@on_a_loop
async def test_what_is_told_depends_on_the_report() -> None:
    waiting, report = Waiting(10), prepared()
    report.maybe_stored = True
    future = waiting.add(report, replayed=False)
    waiting.expire(math.inf, lambda one: unavailable(f"maybe {one.maybe_stored}"))
    with pytest.raises(Failure, match="maybe True"):
        await future


@on_a_loop
async def test_who_has_an_outcome_is_not_told_again() -> None:
    waiting, asked = Waiting(10), []
    reports = [prepared(), prepared()]
    futures = [waiting.add(report, replayed=False) for report in reports]
    resolve(reports[0], STORED)
    waiting.expire(math.inf, lambda one: asked.append(one) or unavailable("late"))  # type: ignore[func-returns-value]
    assert asked == [reports[1]]
    assert await futures[0] == STORED
    assert str(futures[1].exception()) == "late"


@on_a_loop
async def test_an_outcome_after_the_deadline_changes_nothing() -> None:
    waiting, report = Waiting(10), prepared()
    future = waiting.add(report, replayed=False)
    waiting.expire(math.inf, late)
    resolve(report, STORED)
    assert isinstance(future.exception(), Failure)
