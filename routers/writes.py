"""How handlers write beside the reports: between two batches of the writer, by the deadline of a report."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request

from database.committer import JOB_UNKNOWN
from database.writer import ACK_TIMEOUT_S
from model.envelope import Code, unavailable
from routers.deps import state_of

T = TypeVar("T")


async def written(request: Request, job: Callable[[Any], T]) -> T:
    """Runs a job's statements and commits them; raises a Failure if that is not done by the deadline of a report."""
    database = state_of(request)["database"]
    if not database.ready or database.seen.status in ("down", "read_only"):
        raise unavailable()
    future = state_of(request)["writer"].run(job)
    try:
        return await asyncio.wait_for(future, ACK_TIMEOUT_S)
    except TimeoutError:
        raise unavailable(JOB_UNKNOWN, Code.COMMIT_UNKNOWN) from None
