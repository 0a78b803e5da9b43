"""The servers that are compared, each started as its users start it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.fleet import CONTAINERS
from tests.processes import free_port
from tests.programs import MAIN, Program, program, uvicorn

COUNT = "(SELECT COUNT(*) FROM {})"
Start = Callable[[str | None, Path], AbstractContextManager[Program]]


class Contestant(NamedTuple):
    """A server: its name, how it starts on a database's URL, and the SQL that counts its reports.

    It is loaded for `times` the usual time: where an answer takes seconds, those that are under way at the end of a
    short run would count against it.
    """

    title: str
    start: Start
    reports: str = COUNT.format("reports")
    times: int = 1


@contextmanager
def _naive(url: str | None, folder: Path) -> Iterator[Program]:
    port = free_port()
    arguments = ["benchmarks.naive:app" if given == "main:app" else given for given in uvicorn(port)]
    with program(arguments, url, folder, port) as one:
        yield one.ready()


@contextmanager
def _started(url: str | None, folder: Path, *, arguments: list[str], workers: int = 1) -> Iterator[Program]:
    with program(arguments, url, folder, SERVER_WORKERS=str(workers)) as one:
        yield one.ready()


NAIVE = Contestant("straightforward", _naive, f"{COUNT.format('containers')} / {CONTAINERS}", times=3)
# These answer and store nothing.
CONSTANTS = [
    Contestant(title, partial(_started, arguments=["-m", "benchmarks.bare", app]))
    for title, app in (("FastAPI answers a constant", "fastapi"), ("bare ASGI answers a constant", "asgi"))
]


def ours(workers: int) -> Contestant:
    """Ours with its shipped defaults, its log included."""
    title = f"ours, {workers} worker{'s' if workers > 1 else ''}"
    return Contestant(title, partial(_started, arguments=MAIN, workers=workers))


def with_jobs(name: str) -> Contestant:
    """Ours with one of the intervals of `benchmarks.jobs`."""
    return Contestant(f"ours, jobs {name}", partial(_started, arguments=["-m", "benchmarks.jobs", name]))
