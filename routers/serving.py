"""How the service is served: Uvicorn with the options it needs, the port asked for first, the greeting."""

import errno
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI

import logger
from config.config import ROOT, ConfigError, Settings
from routers import tls
from utils.limits import allow_connections

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


def lacking(settings: Settings) -> str:
    """What plain uvicorn was not given of what the service needs; empty if `serve` started this process."""
    if os.environ.get(SERVED):
        return ""
    given = {argument.partition("=")[0] for argument in sys.argv}
    flags = FLAGS | {f"--ssl-{name}": f" {file}" for name, file in _certificate(settings).items()}
    return " ".join(flag + value for flag, value in flags.items() if flag not in given)


def _certificate(settings: Settings) -> dict[str, Path]:
    files = {"certfile": settings.server.ssl_certfile, "keyfile": settings.server.ssl_keyfile}
    return {name: file for name, file in files.items() if file}


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


def serve(app: FastAPI, settings: Settings) -> None:
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
    pages = {"Pages": "/", "API": "/docs", "Hosts": "/api/hosts", "Health": "/health"}
    print("\n".join(f"{name:8}{address}{path}" for name, path in pages.items()), flush=True)  # noqa: T201 - the greeting
