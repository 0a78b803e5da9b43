"""The service under test: the real application behind a real uvicorn on loopback, here or in a process of its own."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import Engine, text

from config.config import ROOT, Settings, load
from database.dialect import Role, dialect_for
from main import create_app
from routers.serving import options
from tests import canary
from tests.processes import free_port

KEPT = ("PATH", "HOME", "LANG", "SECURITY_AUDIT_PATH", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE")
NO_FILE = Path("no-such-config.ini")
# A client of many threads that closes connections it has too many of may close one that another thread just took
# (httpcore 1.0 picks it and closes it in two steps); so it keeps them all until it is closed itself.
LASTING = httpx.Limits(max_connections=100, keepalive_expiry=None)
SAMPLE: dict[str, Any] = {
    "host": {
        "host_name": "DESKTOP-ZINOPC",
        "cpu_percentage": 3.9,
        "cpu_cores": 16,
        "cpu_threads": 32,
        "memory_usage": 18.1,
        "memory_percentage": 57.9,
        "get_datetime": "2025-06-23 03:02:50",
    },
    "containers": [
        {
            "engine_type": "docker",
            "cluster_name": "DESKTOP-ZINOPC",
            "node_name": "DESKTOP-ZINOPC",
            "container_name": name,
            "status": status,
            "cpu_percentage": 0,
            "memory_usage": 0,
            "memory_percentage": 0,
            "get_datetime": "2025-06-23 03:02:47",
        }
        for name, status in (("tomcat3", "exited"), ("nginx", "running"))
    ],
}


def settings_for(url: str, folder: Path, **environ: str) -> Settings:
    """The settings of a service on a database, with its log in a folder; nothing of this machine's own file."""
    files = {"LOGGING_FILE_PATH": str(folder / "app.log"), "SECURITY_AUDIT_PATH": str(folder / "audit.log")}
    return load({"DATABASE_URL": url, "APP_TIMEZONE": "Asia/Seoul", **files, **environ}, folder / NO_FILE)


def report(host: str, *containers: str | Mapping[str, Any], **host_fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A report of a host; a container is given by its name, or by its fields."""
    shown = [{"container_name": one, "status": "running"} if isinstance(one, str) else dict(one) for one in containers]
    return {"host": {"host_name": host, **host_fields}, "containers": shown}


class Service:
    """The application in a thread of this process; `client` speaks to it over a real socket."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = create_app(settings)
        given = {**options(settings), "host": "127.0.0.1", "port": free_port(), "workers": 1}
        self._server = uvicorn.Server(uvicorn.Config(self.app, **given))
        self._thread = threading.Thread(target=self._server.run, name="service")
        self.url = f"http://127.0.0.1:{given['port']}"
        hooks = {"response": [canary.check_response]}
        self.client = httpx.Client(
            base_url=self.url, timeout=30, headers=canary.HEADER, event_hooks=hooks, limits=LASTING
        )
        self._engine: Engine | None = None

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def state(self) -> dict[str, Any]:
        """The lifespan's state: database, writer and the rest."""
        state: dict[str, Any] = self._server.lifespan.state
        return state

    @property
    def log(self) -> str:
        """The log file so far."""
        path = self.settings.logging.file_path
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def start(self, *, patient: bool = True) -> None:
        """Waits until it answers; `patient`: and knows its database, which on a busy machine takes a moment longer."""
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the service did not start")
            time.sleep(0.01)
        while patient and self.state["database"].seen.status == "starting" and time.monotonic() < deadline:
            time.sleep(0.01)

    def stop(self) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(40)
        if self._engine:
            self._engine.dispose()
        canary.check_logs(self.settings.logging.file_path)
        canary.check_logs(self.settings.security.audit_path)

    def post(self, body: object, path: str = "/api/resources", **headers: str) -> httpx.Response:
        """Posts JSON; header names take `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, json=body, headers=named)

    def data(self, path: str, **params: Any) -> Any:  # noqa: ANN401 - JSON
        """The data of a successful GET."""
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def sql(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """Runs one statement beside the service, on a connection of the test's own."""
        if self._engine is None:
            self._engine = dialect_for(self.settings).engine(Role("test", size=2))
        with self._engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []


@contextmanager
def running(settings: Settings, *, patient: bool = True) -> Iterator[Service]:
    """A service that is stopped whatever happens."""
    service = Service(settings)
    service.start(patient=patient)
    try:
        yield service
    finally:
        service.stop()


@contextmanager
def process(arguments: list[str], environ: Mapping[str, str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of this project's Python, its output in `folder/out.log`; ended whatever happens."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    with (folder / "out.log").open("w", encoding="utf-8") as out:
        child = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env={**kept, **environ}, stdout=out, stderr=out, text=True
        )
        try:
            yield child
        finally:
            canary.check_process(child.pid)
            child.kill()
            child.wait(20)
            out.flush()
            canary.check_logs(folder / "out.log")
