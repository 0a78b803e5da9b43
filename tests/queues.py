"""A writer whose commits succeed at once, or fail as a test wants: only the queue and the thread are real."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import pytest

from database import writer
from database.clock import Clock
from database.committer import Outcomes
from database.rows import Prepared, Row, Stored
from database.writer import Writer
from model.envelope import Code, Failure
from model.schemas import Report
from tests.service import report

if TYPE_CHECKING:
    from database.faults import Fault

SEOUL = ZoneInfo("Asia/Seoul")
LIMIT_S = 10
REPORT_BYTES = 512


class Committer:
    """Stores every report at once unless `act` says otherwise: what stands behind the queue under test."""

    def __init__(
        self, _engine: object, _dialect: object, _clock: object, settle: Callable[[Outcomes], None], **_: object
    ) -> None:
        self.settle = settle
        self.tried: list[list[str]] = []
        self.reports: list[Prepared] = []
        self.times: list[float] = []
        self.closed = 0
        self.act: Callable[[list[Prepared]], list[Prepared]] = self.store
        self.last_fault: Fault | None = None
        self.last_fault_at = 0.0

    def write(self, batch: list[Prepared]) -> list[Prepared]:
        self.times.append(time.monotonic())
        self.tried.append([one.host_name for one in batch])
        self.reports += batch
        return self.act(batch)

    def store(self, batch: list[Prepared]) -> list[Prepared]:
        self.settle([(one, Stored(7, one.containers_count, one.received_at)) for one in batch])
        return []

    def run(self, job: Callable[[None], Any]) -> Any:  # noqa: ANN401 - whatever the job gives
        return job(None)

    def close(self) -> None:
        self.closed += 1


class Rows:
    """A dialect whose rows weigh nothing."""

    def finish(self, _rows: list[Row]) -> str:
        return ""


class Queue:
    """A writer with a committer of the tests behind it."""

    def __init__(self) -> None:
        self.database = SimpleNamespace(ready=True, away_since=None, clock=Clock(), dialect=Rows(), writer_engine=None)
        self.writer = Writer(cast("Any", self.database), SEOUL)
        self.committer = cast("Committer", self.writer._committer)
        self._gate = threading.Event()

    def submit(self, host: str, *containers: str, key: str | None = None) -> asyncio.Future[Stored]:
        return self.writer.submit(Report.model_validate(report(host, *containers)), key)

    async def hold(self) -> None:
        """Holds the thread between two batches until `go`: all that comes meanwhile waits."""
        here, loop = asyncio.Event(), asyncio.get_running_loop()
        gate = self._gate = threading.Event()

        def job(_: object) -> None:
            loop.call_soon_threadsafe(here.set)
            gate.wait(LIMIT_S)

        self.writer.run(job)
        await here.wait()

    def go(self) -> None:
        self._gate.set()


@asynccontextmanager
async def queue() -> AsyncIterator[Queue]:
    one = Queue()
    try:
        yield one
    finally:
        one.go()
        await one.writer.stop()


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs on an event loop, with a committer of its own, and not for ever."""

    def run(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        monkeypatch.setattr(writer, "Committer", Committer)
        monkeypatch.setattr(writer, "STOP_S", LIMIT_S)
        caplog.set_level(logging.INFO)
        given = {"monkeypatch": monkeypatch, "caplog": caplog}
        wanted = {name: given[name] for name in given if name in test.__annotations__}
        asyncio.run(asyncio.wait_for(test(**wanted), LIMIT_S))

    return run


async def code(future: asyncio.Future[Any]) -> Code:
    with pytest.raises(Failure) as caught:
        await future
    return caught.value.code


def refusal(one: Queue, host: str, key: str | None = None) -> Code:
    with pytest.raises(Failure) as caught:
        one.submit(host, key=key)
    return caught.value.code
