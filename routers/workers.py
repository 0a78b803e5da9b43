"""Lets uvicorn's parent notice a worker's death at once, and a worker its parent's."""

import asyncio
import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from uvicorn.supervisors.multiprocess import Process

from logger import event

logger = logging.getLogger(__name__)

_start = Process.start


def notice_deaths() -> None:
    """From now on a worker that died is not waited for (ADR 0014).

    The parent keeps the worker's end of their pipe open, too, and so would wait for as long as it waits for a slow one.
    On Windows a worker takes its end from the parent only after its start: it must stay open there.
    """
    if os.name == "posix":
        Process.start = _start_and_leave  # type: ignore[method-assign, assignment]


def _start_and_leave(worker: Process) -> None:
    _start(worker)
    worker.child_conn.close()


@contextmanager
def ending_with_parent() -> Iterator[None]:
    """A worker whose parent was killed ends as if it had been told to: it would hold the port of the next start."""
    parent, loop = multiprocessing.parent_process(), asyncio.get_running_loop()
    if parent is None or os.name != "posix":
        yield
        return
    loop.add_reader(parent.sentinel, _end, loop, parent.sentinel)
    try:
        yield
    finally:
        loop.remove_reader(parent.sentinel)


def _end(loop: asyncio.AbstractEventLoop, sentinel: int) -> None:
    loop.remove_reader(sentinel)
    logger.error(event("parent_is_gone", pid=os.getpid()))
    os.kill(os.getpid(), signal.SIGTERM)
