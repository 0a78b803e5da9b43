"""The service: `app` for `uvicorn main:app`, and `python main.py`, which serves it with the options it needs."""

import asyncio
import gc
import logging
import os
import platform
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

from fastapi import FastAPI

import logger
from config.config import ConfigError, Settings, load, loopback, zone_of
from database.database import Database, StartRefused
from database.writer import Writer
from logger import Throttle, event
from routers import (
    agents,
    containers,
    diff,
    docs,
    errors,
    events,
    fleet,
    history,
    hosts,
    login,
    operations,
    pages,
    quarantine,
    resources,
    serving,
    storage,
    tags,
    tls,
    tokens,
)
from routers.deps import State
from routers.express import Service
from routers.limits import Limits, accept_calmly
from routers.routes import methods_of, route_of
from services.agents import Agents
from services.fleet import Fleet
from services.jobs import Jobs
from services.people import People
from services.quarantine import Quarantine
from services.storage import Storage

log = logging.getLogger("main")
# What is served beside the documentation: the routers, in the order in which Swagger shows them.
NOUNS = (
    resources,
    hosts,
    tags,
    containers,
    fleet,
    history,
    events,
    diff,
    storage,
    tokens,
    agents,
    quarantine,
    login,
    operations,
    pages,
)

# How long a start waits for the database's first word before it answers without one.
START_WAIT_S = 1.5
POLL_S = 0.01
# New objects, and rounds of the younger generation, between two rounds of the collector.
GC_THRESHOLDS = (20_000, 20, 50)
# How long the writer's thread waits for the interpreter while the event loop is busy, a dozen times a batch; Python's
# own 5 ms would make the two work in turns (ADR 0018).
SWITCH_INTERVAL_S = 0.0005
OPEN_TO_ALL = "whoever reaches this address may report and read: see [security] mode"


def create_app(settings: Settings) -> FastAPI:
    """Builds the service; what lives and dies with it starts in the lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        from routers.workers import ending_with_parent  # noqa: PLC0415 - it imports uvicorn

        loop = asyncio.get_running_loop()
        tls.limit_handshakes(loop)
        accept_calmly(loop)
        logs = logger.start(settings)
        try:
            async with _running(settings, app) as state:
                with _garbage_seldom_collected(), _interpreter_shared_finely(), ending_with_parent():
                    yield state
        finally:
            logs.stop()

    app = Service(
        settings,
        title=settings.app.title,
        description=settings.app.description,
        version=settings.app.version,
        openapi_tags=docs.TAGS,
        openapi_url="/openapi.json" if settings.app.docs else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for noun in NOUNS:
        app.include_router(noun.router)
    docs.mount(app, docs=settings.app.docs)
    errors.register(app)
    return app


@asynccontextmanager
async def _running(settings: Settings, app: FastAPI) -> AsyncIterator[State]:
    """Starts the parts in the order in which they need each other, and stops them the other way round."""
    zone = zone_of(settings)
    try:
        database = Database(settings, zone)
    except ConfigError as error:  # what only a library can judge, as the content of ssl_ca
        raise StartRefused(f"configuration: {error}") from None
    database.start()
    _announce(settings)
    await _seen(database)
    writer = Writer(database, zone, max_new_hosts=settings.security.max_new_hosts_per_hour)
    heard, refused = Agents(), Quarantine()
    jobs = Jobs(settings, database, writer, heard, refused)
    people = People(settings)
    try:
        yield State(
            settings=settings,
            zone=zone,
            database=database,
            writer=writer,
            jobs=jobs,
            agents=heard,
            quarantine=refused,
            storage=Storage(settings, database),
            fleet=Fleet(database),
            people=people,
            refusals=Throttle(),
            oddities=Throttle(),
            limits=Limits(settings),
            binding=asyncio.Lock(),
            started=time.monotonic(),
            methods_of=partial(methods_of, app),
            route_of=partial(route_of, [route for noun in NOUNS for route in noun.router.routes]),
        )
    finally:
        await jobs.stop()
        await writer.stop()
        await asyncio.to_thread(people.stop)
        await asyncio.to_thread(database.stop)
        log.info(event("stopped", pid=os.getpid()))


@contextmanager
def _garbage_seldom_collected() -> Iterator[None]:
    """Spares the collector what the start made, and most of its rounds: reports leave it next to nothing to find.

    With Python's own settings it takes a fifth of the time of the event loop (`benchmarks/journey.py`).
    """
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


@contextmanager
def _interpreter_shared_finely() -> Iterator[None]:
    """Lets the writer's thread work beside the event loop, not after it."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


async def _seen(database: Database) -> None:
    """Lets the first request of a healthy start find a database, and that of any other an answer at once."""
    deadline = time.monotonic() + START_WAIT_S
    while database.seen.status == "starting" and time.monotonic() < deadline:  # noqa: ASYNC110 - a thread tells
        await asyncio.sleep(POLL_S)


def _announce(settings: Settings) -> None:
    version, python = settings.app.version, platform.python_version()
    log.info(event("started", version=version, engine=settings.engine_kind, python=python, pid=os.getpid()))
    for warning in settings.warnings:
        log.warning(warning)
    if settings.security.mode == "off" and not loopback(settings.server.host):
        log.warning(event("security_off", host=settings.server.host, reason=OPEN_TO_ALL))
    if flags := serving.lacking(settings):
        log.warning("plain uvicorn lacks options that `python main.py` sets; give it: %s", flags)


def _settings() -> Settings:
    """Loads the settings; a wrong one ends the process with one sentence."""
    try:
        return load()
    except ConfigError as error:
        sys.exit(f"configuration: {error}")


settings_in_force = _settings()
app = create_app(settings_in_force)

if __name__ == "__main__":
    serving.serve(app, settings_in_force)
