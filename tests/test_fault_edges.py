"""Clients that take what others need: files, time and memory."""

import asyncio
import contextlib
import multiprocessing
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil
import pytest

from routers.bodies import FREE_BYTES
from routers.limits import BODIES_BYTES
from routers.serving import FLAGS
from tests import raw
from tests.elapsed import within
from tests.fault_table import note
from tests.fleet import Fleet
from tests.processes import free_port
from tests.programs import MAIN, Program, program, uvicorn, wait_for
from tests.test_many_readers import allow_files

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

RATE, AGENTS = 100, 20
QUIET_S = 4.0
# What is quicker than this is no delay to an agent, whatever it was without the fault.
FLOOR_S = 0.25
FILES, SURPLUS, HELD_S = 256, 500, 5.0
SLOW, EVERY_S, CLOSED_S = 2000, 5.0, 15.0
# Files besides those of the slow clients: a connection of an agent ends while another begins.
OTHERS = 2
SENDERS, SENT = 500, 900_000
HOLDERS = BODIES_BYTES // (SENT - FREE_BYTES)
MIB = 1 << 20


def with_files(arguments: list[str], files: int) -> list[str]:
    """The same arguments of Python, for a process that may open so many files."""
    script = (
        f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files})); "
        f"os.execv(sys.executable, [sys.executable, *{arguments}])"
    )
    return ["-c", script]


@contextmanager
def reporting(arguments: list[str], folder: Path, port: int = 0) -> Iterator[tuple[Program, Fleet, float]]:
    """A server, agents that report to it on connections they keep, and the p99 of their answers without a fault."""
    with program(arguments, f"sqlite:///{folder}/test.db", folder, port) as one:
        with Fleet([one.ready().port], agents=AGENTS, rate=RATE).reporting() as fleet:
            fleet.await_acks(AGENTS * 2)
            began = time.monotonic()
            time.sleep(QUIET_S)
            yield one, fleet, fleet.p99_s(began)
        assert one.child.poll() is None
        assert set(fleet.statuses) == {200}
        assert (fleet.retries, fleet.wrong) == (0, [])


def loud(text: str) -> list[str]:
    """What is no INFO line; a line of a traceback is one."""
    return [line for line in text.splitlines() if " - INFO - " not in line]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_f22_connections_beyond_the_files_harm_no_others(loop: str, tmp_path: Path) -> None:
    allow_files(4 * SURPLUS)
    port = free_port()
    flags = [word for flag, value in FLAGS.items() for word in (flag, value.strip()) if word]
    arguments = uvicorn(port, *flags, "--loop", loop)
    with reporting(with_files(arguments, FILES), tmp_path, port) as (one, fleet, base_s):
        before = len(one.output)
        with ExitStack() as stack:
            began = time.monotonic()
            for _ in range(SURPLUS):
                stack.enter_context(raw.connect(port))
            time.sleep(HELD_S)
            ended = time.monotonic()
            files = psutil.Process(one.child.pid).num_fds()
        wait_for(lambda: one.answers("/health/live"), what=lambda: one.output)
        again_s = time.monotonic() - ended
        p99_s = fleet.p99_s(began, ended)
        lines = loud(one.output[before:])
    fault = f"no files left, {loop}"
    note(fault, "sqlite", files=files, again_s=again_s, base_p99_s=base_s, p99_s=p99_s, lines=len(lines))
    assert one.log.count(" started version=") == 1
    assert len(lines) <= ended - began
    assert any("no_files_left" in line for line in lines)
    within(again_s, 2, "s to answer again")
    within(p99_s, max(2 * base_s, FLOOR_S), "s for 99 of 100 answers")


class Slow:
    """A client that sends a byte now and then, or none; gives the seconds until the server had enough of it."""

    def __init__(self, head: bytes, *, more: bool) -> None:
        self._head, self._more = head, more

    async def last(self, port: int) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        began = time.monotonic()
        writer.write(self._head)
        reading = asyncio.create_task(reader.read())
        with contextlib.suppress(ConnectionError):
            while not (await asyncio.wait({reading}, timeout=EVERY_S))[0]:
                if self._more:
                    writer.write(b"x")
            await reading
        writer.close()
        return time.monotonic() - began


SLOWNESS = (
    Slow(b"GET /api/hosts HTTP/1.1\r\nHost: h\r\nX-Slow: ", more=True),
    Slow(b"POST /api/resources HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n{", more=True),
    Slow(b"\r\n", more=False),
    Slow(b"", more=False),
)


def all_of_them(port: int) -> list[float]:
    """In a process of its own: the agents' answers are timed in this one."""
    allow_files(2 * SLOW)

    async def together() -> list[float]:
        return await asyncio.gather(*(SLOWNESS[number % len(SLOWNESS)].last(port) for number in range(SLOW)))

    return asyncio.run(together())


def test_f24_slow_and_silent_clients_are_ended_and_harm_no_others(tmp_path: Path) -> None:
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as clients,
        reporting(MAIN, tmp_path) as (one, fleet, base_s),
    ):
        process, most = psutil.Process(one.child.pid), 0
        quiet, began = process.num_fds(), time.monotonic()
        slow = clients.submit(all_of_them, one.port)
        while not slow.done():
            most = max(most, process.num_fds())
            time.sleep(0.1)
        lasted = slow.result()
        wait_for(lambda: process.num_fds() <= quiet + OTHERS, within_s=5)
        gone_s = time.monotonic() - began
        p99_s = fleet.p99_s(began, time.monotonic())
    note("slow and silent clients", "sqlite", slowest_end_s=max(lasted), base_p99_s=base_s, p99_s=p99_s)
    assert most >= quiet + SLOW - OTHERS  # all of them were there at once
    assert len(lasted) == SLOW
    assert max(lasted) <= CLOSED_S
    assert gone_s <= CLOSED_S + 5
    within(p99_s, max(2 * base_s, FLOOR_S), "s for 99 of 100 answers")


def statuses(one: Program) -> Counter[str]:
    """What became of the requests that were no accepted reports."""
    return Counter(re.findall(r" request method=POST route=/api/resources status=(\w+)", one.log))


def test_bodies_under_way_fit_into_a_bound_and_harm_no_others(tmp_path: Path) -> None:
    allow_files(4 * SENDERS)
    with reporting(MAIN, tmp_path) as (one, fleet, base_s):
        process = psutil.Process(one.child.pid)
        before, began = process.memory_info().rss, time.monotonic()
        with ExitStack() as stack:
            head = b"POST /api/resources HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
            for _ in range(SENDERS):
                end = stack.enter_context(closing(raw.connect(one.port)))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError, socket.timeout):
                    end.sendall(head + b" " * SENT)
            # The rest holds what the budget has; none of it has come to its own end yet, which is a 408.
            wait_for(lambda: statuses(one)["503"] >= SENDERS - HOLDERS - 1, what=lambda: statuses(one), within_s=9)
            growth = process.memory_info().rss - before
        p99_s = fleet.p99_s(began, time.monotonic())
        wait_for(lambda: statuses(one).total() == SENDERS, what=lambda: statuses(one))
        found = statuses(one)
    note("bodies under way", "sqlite", growth_mib=growth / MIB, refused=found["503"], base_p99_s=base_s, p99_s=p99_s)
    assert found.keys() == {"503", "aborted"}
    assert abs(found["aborted"] - HOLDERS) <= 1
    assert growth < 160 * MIB
    within(p99_s, max(2 * base_s, FLOOR_S), "s for 99 of 100 answers")
