"""The service: `app` for `uvicorn main:app`, and `python main.py`, which serves it with the options it needs."""

import asyncio
import errno
import gc
import logging
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.routing import Match

import logger
from config.config import ROOT, ConfigError, Settings, load, loopback, zone_of
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
    history,
    hosts,
    login,
    operations,
    quarantine,
    resources,
    storage,
    tags,
    tls,
    tokens,
)
from routers.deps import State
from routers.express import Service
from routers.limits import Limits, accept_calmly
from services.agents import Agents
from services.jobs import Jobs
from services.people import People
from services.quarantine import Quarantine
from services.storage import Storage
from utils.limits import allow_connections

log = logging.getLogger("main")

# How long a start waits for the database's first word before it answers without one.
START_WAIT_S = 1.5
POLL_S = 0.01
# New objects, and rounds of the younger generation, between two rounds of the collector.
GC_THRESHOLDS = (20_000, 20, 50)
# How long the writer's thread waits for the interpreter while the event loop is busy, a dozen times a batch; Python's
# own 5 ms would make the two work in turns (ADR 0018).
SWITCH_INTERVAL_S = 0.0005
KEEP_ALIVE_S = 75
DRAIN_S = 20
# Uvicorn's five seconds end workers that start on a busy machine, one after the other, and abort a rolling restart. A
# stop waits for as long if it comes while the parent waits for a worker that is stuck.
WORKER_START_S = 30
# Set for the processes that `serve` starts: what they lack under plain uvicorn is named at start.
SERVED = "RESOURCE_MONITOR_SERVED"
FLAGS = {
    "--http": " routers.protocol:Protocol",
    "--timeout-keep-alive": f" {KEEP_ALIVE_S}",
    "--timeout-graceful-shutdown": f" {DRAIN_S}",
    "--timeout-worker-healthcheck": f" {WORKER_START_S}",
    "--no-server-header": "",
    "--no-proxy-headers": "",
}
OPEN_TO_ALL = "whoever reaches this address may report and read: see [security] mode"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


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
    for noun in (
        resources,
        hosts,
        tags,
        containers,
        history,
        events,
        diff,
        storage,
        tokens,
        agents,
        quarantine,
        login,
        operations,
    ):
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
            people=people,
            refusals=Throttle(),
            oddities=Throttle(),
            limits=Limits(settings),
            binding=asyncio.Lock(),
            started=time.monotonic(),
            methods_of=lambda path: methods_of(app, path),
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
    given = {argument.partition("=")[0] for argument in sys.argv}
    flags = FLAGS | {f"--ssl-{name}": f" {file}" for name, file in _certificate(settings).items()}
    missing = " ".join(flag + value for flag, value in flags.items() if flag not in given)
    if missing and not os.environ.get(SERVED):
        log.warning("plain uvicorn lacks options that `python main.py` sets; give it: %s", missing)


def _certificate(settings: Settings) -> dict[str, Path]:
    files = {"certfile": settings.server.ssl_certfile, "keyfile": settings.server.ssl_keyfile}
    return {name: file for name, file in files.items() if file}


def methods_of(app: FastAPI, path: str) -> set[str]:
    """Every method that some route has for a path."""
    scope: dict[str, Any] = {"type": "http", "path": path, "root_path": "", "headers": []}
    return {
        method
        for method in METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.routes)
    }


def options(settings: Settings) -> dict[str, Any]:
    """Uvicorn's options: idle connections outlive the agents' period, the drain outlives the writer's deadline."""
    server = settings.server
    return {
        "host": server.host,
        "port": server.port,
        "reload": server.reload,
        "reload_dirs": [str(ROOT)] if server.reload else None,
        "workers": settings.server_workers,
        "log_level": server.log_level,
        "log_config": None,
        "access_log": False,
        "http": "routers.protocol:Protocol",
        "ws": "none",
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": DRAIN_S,
        "timeout_worker_healthcheck": WORKER_START_S,
        **tls.options(settings),
    }


def serve(settings: Settings) -> None:
    """Serves until a signal; a graceful stop is exit status 0."""
    import uvicorn  # noqa: PLC0415 - only this way of starting needs it

    try:
        given = options(settings)
    except ConfigError as error:  # what only a library can judge, as whether certificate and key fit
        sys.exit(f"configuration: {error}")
    os.environ[SERVED] = "1"
    allow_connections()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises the signal again once it has drained
    _refuse_taken_port(settings)
    if settings.server.port:  # port 0 is known only once it is bound: uvicorn's line names it
        _greet(settings)
    several = settings.server.reload or settings.server_workers > 1
    if settings.server_workers > 1:  # never with reload
        from routers.workers import notice_deaths  # noqa: PLC0415 - it imports uvicorn

        notice_deaths()
    logs = logger.start(settings) if several else None
    try:
        uvicorn.run("main:app" if several else app, **given)
    finally:
        if logs:
            logs.stop()


def _refuse_taken_port(settings: Settings) -> None:
    """Asks before anything else starts: uvicorn would find out only once the database is open."""
    host, port = settings.server.host, settings.server.port
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                if os.name == "posix":  # on Windows it would let two servers share the port
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        own = error.errno in (errno.EADDRINUSE, errno.EACCES)
        name = f"port = {port}" if own else f"host = {host}"
        remedy = "a port that is free" if own else "an address of this machine, or 0.0.0.0 for all of them"
        sys.exit(f"configuration: [server] {name} is refused by the system ({error.strerror}): give {remedy}.")


def _greet(settings: Settings) -> None:
    """Says where to look, on stdout: the log goes to stderr."""
    host = settings.server.host
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else f"[{host}]" if ":" in host else host  # noqa: S104 - compares
    scheme = "https" if settings.server.ssl_certfile else "http"
    address = f"{scheme}://{shown}:{settings.server.port}"
    pages = {"Service": "/", "API": "/docs", "Hosts": "/api/hosts", "Health": "/health"}
    print("\n".join(f"{name:8}{address}{path}" for name, path in pages.items()), flush=True)  # noqa: T201 - the greeting


def _settings() -> Settings:
    """Loads the settings; a wrong one ends the process with one sentence."""
    try:
        return load()
    except ConfigError as error:
        sys.exit(f"configuration: {error}")


settings_in_force = _settings()
app = create_app(settings_in_force)

if __name__ == "__main__":
    serve(settings_in_force)
