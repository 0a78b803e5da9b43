"""Lets uvicorn's parent notice a worker's death at once."""

import os

from uvicorn.supervisors.multiprocess import Process

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
