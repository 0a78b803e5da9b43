"""Where the microseconds of a report go: `python -m benchmarks.journey` times each part of its way by itself.

The event loop's part runs in this process on the real protocol and application, its connections and its database made
up; the writer's part on each engine there is. CPU time, the best of many rounds, for what else runs only adds.
"""

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvloop
from uvicorn import Config
from uvicorn.server import ServerState

from benchmarks import engines, fleet, procs
from database import schema
from database.committer import Committer, Outcomes
from database.database import Database
from database.dialect import Role
from database.dialect_mysql import MySql
from database.rows import Prepared, Stored, prepare
from main import create_app
from model.schemas import Report
from routers.protocol import Protocol
from routers.serving import options
from services.oddities import oddities
from tests.service import settings_for

BATCH, ROUNDS, WARM_UP = 100, 100, 20
Part = tuple[str, float]


class Line:
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        self.answered = 0

    def write(self, _data: bytes) -> None:
        self.answered += 1

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 8000)}.get(name, default)

    def is_closing(self) -> bool:
        return False

    close = pause_reading = resume_reading = lambda _self: None


def settle_at_once(committer: Committer, batch: Sequence[Prepared]) -> list[Prepared]:
    """Stands in for the database: every report is stored as soon as it is seen."""
    outcomes: Outcomes = [(one, Stored(1, one.containers_count, one.received_at)) for one in batch]
    committer._settle(outcomes)  # noqa: SLF001 - in the place of the writer's own
    return []


async def bare(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
    """Does nothing with a request but read and answer it."""
    del scope
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"148")]})
    await send({"type": "http.response.body", "body": b"x" * 148})


def bodies() -> list[bytes]:
    """A hundred hosts' reports."""
    return [json.dumps(report, separators=(",", ":")).encode() for report in fleet.reports()[:BATCH]]


def requests(*extra: bytes) -> list[bytes]:
    """The same as they come over the wire."""
    head = b"POST /api/resources HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + b"".join(extra)
    return [head + b"Content-Length: %d\r\n\r\n" % len(body) + body for body in bodies()]


async def best(round_: Callable[[], Awaitable[None]]) -> float:
    """The CPU microseconds of a report in the best round."""
    times = []
    for _ in range(WARM_UP + ROUNDS):
        began = time.thread_time()
        await round_()
        times.append((time.thread_time() - began) / BATCH * 1e6)
    return min(times[WARM_UP:])


async def over_http(config: Config, state: dict[str, Any], app: Any, given: Sequence[bytes]) -> float:  # noqa: ANN401 - ASGI
    """What a report costs the event loop from its first byte to its answer."""
    lines = [Line() for _ in given]
    protocols = [Protocol(config, ServerState(), state) for _ in given]
    for protocol, line in zip(protocols, lines, strict=True):
        protocol.app = app
        protocol.connection_made(line)  # type: ignore[arg-type]  # all of a transport that is used here

    async def round_() -> None:
        wanted = [line.answered + 1 for line in lines]
        for protocol, raw in zip(protocols, given, strict=True):
            protocol.data_received(raw)
        while lines[-1].answered < wanted[-1]:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.0005)

    return await best(round_)


@asynccontextmanager
async def service(folder: Path) -> Any:  # noqa: ANN401 - an async iterator of Uvicorn's own types
    """The application, started, its rows finished as for MySQL."""
    settings = settings_for(f"sqlite:///{folder}/journey.db", folder)
    config = Config(create_app(settings), **{**options(settings), "workers": 1})
    config.load()
    lifespan = config.lifespan_class(config)
    await lifespan.startup()
    database: Database = lifespan.state["database"]
    database.dialect = MySql(settings)
    yield config, lifespan.state
    await lifespan.shutdown()


class Collector:
    """Counts the time of Python's garbage collector."""

    def __init__(self) -> None:
        self._spent_s = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _: object) -> None:
        self._spent_s += time.thread_time() * (1 if phase == "stop" else -1)

    def stop(self) -> float:
        gc.callbacks.remove(self._note)
        return self._spent_s


async def loop_parts(folder: Path) -> list[Part]:
    """The event loop's part of a report, whole and in pieces."""
    usual = gc.get_threshold()
    with patch.object(Committer, "write", settle_at_once):
        async with service(folder) as (config, state):
            app = config.loaded_app
            parts = [
                ("the event loop in all", await over_http(config, state, app, requests())),
                ("- of it HTTP: parse, answer", await over_http(config, state, bare, requests())),
                *[(f"- of it {name}", await best(step)) for name, step in steps().items()],
                ("with an Idempotency-Key", await over_http(config, state, app, requests(b"Idempotency-Key: k\r\n"))),
                ("through FastAPI's routing", await over_http(config, state, app, requests(b"Origin: http://a\r\n"))),
            ]
            gc.unfreeze()
            gc.set_threshold(*usual)
            began, spent = time.thread_time(), Collector()
            await over_http(config, state, app, requests())
            share = spent.stop() / (time.thread_time() - began)
            return [*parts, ("collector at Python's own settings, % of the loop", share * 100)]


def steps() -> dict[str, Callable[[], Awaitable[None]]]:
    """What is done for a report besides HTTP, each thing by itself."""
    raws = bodies()
    reports = [parse(raw) for raw in raws]
    dialect = MySql(settings_for("mysql://user@localhost/none", Path()))

    def each(step: Callable[[Any], object], given: Sequence[object]) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            for one in given:
                step(one)

        return run

    return {
        "validation": each(parse, raws),
        "rows": each(lambda report: finished(report, dialect), reports),
        "oddities": each(lambda report: oddities(report, "2000", "2100"), reports),
    }


def parse(raw: bytes) -> Report:
    return Report.model_validate_json(raw, context={"zone": None})


def finished(report: Report, dialect: Any, at: int = 0) -> Prepared:  # noqa: ANN401 - any dialect
    return prepare(report, key=None, received_at=at, now_local="2026-01-01 00:00:00", dialect=dialect)


def writer_parts(store: engines.Store, folder: Path) -> list[Part]:
    """The writer's part of a report on one engine, and the database's."""
    with store.database() as url, committing(url, folder) as (committer, reports):
        times, before = [], procs.cpu_s(store.processes)
        for number in range(ROUNDS):
            at = (1_700_000_000 + number * 10) * 1_000_000
            batch = [finished(report, committer._dialect, at) for report in reports]  # noqa: SLF001 - to look at it
            for one in batch:
                one.waiters.append(Awaited())
            began = time.thread_time()
            committer.write(batch)
            times.append((time.thread_time() - began) / BATCH * 1e6)
        database = (procs.cpu_s(store.processes) - before) / ROUNDS / BATCH * 1e6
    shown = [(f"the writer's thread on {store.title}", min(times[WARM_UP:]))]
    return shown + ([(f"the database itself, {store.title}", database)] if store.processes else [])


class Awaited:
    """Somebody who waits for a report's outcome."""

    done = False


@contextmanager
def committing(url: str, folder: Path) -> Iterator[tuple[Committer, list[Report]]]:
    """A committer on an empty database, and the reports to give it."""
    database = Database(settings_for(url, folder), None)
    engine = database.dialect.engine(Role("journey"))
    schema.prepare(engine, database.dialect, migrate=True, zone=None)
    committer = Committer(database.writer_engine, database.dialect, database.clock, lambda _outcomes: None)
    try:
        yield committer, [parse(raw) for raw in bodies()]
    finally:
        committer.close()
        database.writer_engine.dispose()
        engine.dispose()


def show(parts: Sequence[Part]) -> None:
    sys.stdout.write("".join(f"| {name} | {value:.0f} |\n" for name, value in parts))


def main() -> None:
    """Prints microseconds of CPU a report of 20 containers, as a Markdown table."""
    sys.stdout.write("| part of a report of 20 containers | CPU µs |\n|---|---|\n")
    with tempfile.TemporaryDirectory() as name:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            show(runner.run(loop_parts(Path(name))))
        for engine in engines.chosen():
            with engines.started(engine, Path(name)) as store:
                show(writer_parts(store, Path(name)))


if __name__ == "__main__":
    main()
