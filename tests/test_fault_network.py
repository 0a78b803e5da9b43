"""Answers that are lost between the server and its agents under load."""

import asyncio
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import ENGINES
from tests.elapsed import within
from tests.fault_table import note
from tests.fleet import ACKS, Fleet
from tests.processes import free_port
from tests.programs import MAIN, program
from tests.service import settings_for

TIMEOUT_S = 120 + ACKS // 100
pytestmark = [pytest.mark.faults, pytest.mark.timeout(TIMEOUT_S)]
REPORTS = ACKS // len(ENGINES)
SHARE = 0.1


def test_a_report_whose_answer_was_lost_is_stored_once_and_told_as_a_repeat(
    engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url, workers = new_url(engine), 1 if engine == "sqlite" else 2
    with (
        program(MAIN, url, tmp_path, SERVER_WORKERS=str(workers)) as one,
        Lossy(one.ready(workers).port).running() as network,
    ):
        fleet = Fleet([network.port], rate=400)
        with fleet.reporting():
            fleet.await_acks(REPORTS // 5, TIMEOUT_S)
            base_s = statistics.quantiles(network.first_s, n=100)[98]
            network.lost_share = SHARE
            fleet.await_acks(REPORTS, TIMEOUT_S)
    verdict = fleet.check(settings_for(url, tmp_path), statuses=(200, None))
    assert (len(network.first_s), len(network.repeat_s)) == (verdict.acknowledged, fleet.retries)
    median_s = statistics.median(network.repeat_s)
    note("answer lost", engine, verdict, retries=fleet.retries, median_of_retries_s=median_s, base_p99_s=base_s)
    assert fleet.retries >= REPORTS * SHARE * 0.8
    fleet.in_time()
    within(median_s, base_s, "s for a repeat")


class Lossy:
    """Stands between agents and a server; of the server's answers it loses a share, connection and all.

    It notes how many seconds the server took for a report's first answer, and for those that say that it is a repeat.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = free_port()
        self.lost_share = 0.0
        self.lost = 0
        self._listening = threading.Event()
        self.first_s: list[float] = []
        self.repeat_s: list[float] = []

    @contextmanager
    def running(self) -> Iterator["Lossy"]:
        """Serves in a thread of its own while the block runs."""
        thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="network")
        thread.start()
        assert self._listening.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._over.set)
            thread.join()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self._listening.set()
        await self._over.wait()
        server.close()

    async def _connect(self, agent: asyncio.StreamReader, to_agent: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        with suppress(OSError), closing(to_agent), closing(to_server):
            while request := await agent.read(1 << 16):
                to_server.write(request)
                if not await self._answer(server, to_agent):
                    break

    async def _answer(self, server: asyncio.StreamReader, to_agent: asyncio.StreamWriter) -> bool:
        """Passes an answer on; False: it was lost. An agent sends nothing more before it has its answer."""
        began = time.monotonic()
        head = await server.readuntil(b"\r\n\r\n")
        repeated = b"idempotent-replayed: true" in head.lower()
        (self.repeat_s if repeated else self.first_s).append(time.monotonic() - began)
        if random.random() < self.lost_share:
            self.lost += 1
            return False
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        to_agent.write(head + await server.readexactly(length))
        return True
