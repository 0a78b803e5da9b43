"""The pace of the background jobs: reports come first, and idle time is theirs."""

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from services.pace import REST, Pace
from tests.elapsed import within

pytestmark = pytest.mark.history

JOB_S = 0.2


class Stub:
    """A writer in front of which so many reports wait, whatever is done."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.running = self.most = 0

    async def run(self, job: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - whatever the job gives
        self.running += 1
        self.most = max(self.most, self.running)
        result = await asyncio.to_thread(job, None)
        self.running -= 1
        return result


def took(stub: Stub) -> float:
    """How long one job of 0.2 s keeps the next one waiting."""
    writer: Any = stub

    async def jobs() -> None:
        pace = Pace(writer)
        await asyncio.gather(*(pace.run(lambda _connection: time.sleep(JOB_S)) for _ in range(2)))

    began = time.monotonic()
    asyncio.run(jobs())
    return (time.monotonic() - began) / 2


def test_while_reports_wait_the_jobs_have_a_quarter_of_the_time() -> None:
    assert took(Stub(depth=1)) >= (1 + REST) * JOB_S


def test_below_saturation_the_next_one_comes_when_what_waited_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a steady stream some reports wait at any moment, but not as many as did behind the job."""
    depths = itertools.cycle([20, 20, 20, 5])
    monkeypatch.setattr(Stub, "depth", property(lambda _stub: next(depths), lambda _stub, _depth: None), raising=False)
    within(took(Stub(depth=0)), 2 * JOB_S)


def test_with_nothing_queued_the_next_one_comes_at_once() -> None:
    within(took(Stub(depth=0)), 2 * JOB_S)


def test_one_job_at_a_time_has_the_connection() -> None:
    stub = Stub(depth=0)
    took(stub)
    assert stub.most == 1
