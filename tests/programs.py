"""The server as a user starts it: a process of its own on a free port, watched from outside."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from config.config import ROOT
from tests import canary
from tests.database_server import is_root
from tests.processes import free_port
from tests.service import process

MAIN = [str(ROOT / "main.py")]
# Root may write everywhere: here the server gets no more of it than what any user may do with files.
_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", sys.executable]


def as_user(arguments: list[str]) -> list[str]:
    """The same arguments of Python, for a process that may do with files what any user may."""
    return ["-c", f"import os; os.execvp('setpriv', {[*_RIGHTS, *arguments]})"] if is_root() else arguments


MAIN_AS_USER = as_user(MAIN)


class Program:
    """A started server and its output."""

    def __init__(self, child: subprocess.Popen[str], folder: Path, port: int) -> None:
        self.child = child
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._folder = folder

    @property
    def output(self) -> str:
        """What it wrote to stdout and stderr."""
        return (self._folder / "out.log").read_text(encoding="utf-8")

    @property
    def log(self) -> str:
        """Its log file."""
        path = self._folder / "app.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def tree(self) -> list[psutil.Process]:
        """The process and its children."""
        try:
            parent = psutil.Process(self.child.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def get(self, path: str) -> httpx.Response:
        """One request on a connection of its own."""
        answer = httpx.get(self.url + path, timeout=20)
        canary.check_response(answer)
        return answer

    def post(self, body: object) -> httpx.Response:
        """One report on a connection of its own."""
        answer = httpx.post(f"{self.url}/api/resources", json=body, timeout=30)
        canary.check_response(answer)
        return answer

    def answers(self, path: str = "/health", status: int = 200) -> bool:
        """Whether this path has this status now."""
        with suppress(httpx.TransportError):
            return self.get(path).status_code == status
        return False

    def ready(self, workers: int = 1) -> "Program":
        """Waits until it can store reports; of several workers one may have found the database before the others."""
        if workers > 1:
            wait_for(lambda: self.log.count(" database_up ") >= workers, what=lambda: self.output)
        wait_for(self.answers, what=lambda: self.output)
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Ends it with a signal, and tells how many seconds that took; the exit status is `child.returncode`."""
        began = time.monotonic()
        self.child.send_signal(number)
        self.child.wait(30)
        return time.monotonic() - began


def wait_for(
    condition: Callable[[], bool],
    what: Callable[[], object] = lambda: "",
    every_s: float = 0.02,
    within_s: float = 30,
) -> None:
    """Waits for a condition; `what` is shown when it does not come about."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(every_s)


@contextmanager
def program(arguments: list[str], url: str | None, folder: Path, port: int = 0, **environ: str) -> Iterator[Program]:
    """Starts the server with a database's URL and its log in a folder; ends it with its children whatever happens."""
    port = port or free_port()
    given = {"SERVER_HOST": "127.0.0.1", "SERVER_PORT": str(port), "LOGGING_FILE_PATH": str(folder / "app.log")}
    given |= {"SECURITY_AUDIT_PATH": str(folder / "audit.log")}
    given |= {"DATABASE_URL": url} if url else {}
    with process(arguments, {**given, **environ}, folder) as child:
        one = Program(child, folder, port)
        try:
            yield one
        finally:
            for running in one.tree:
                with suppress(psutil.NoSuchProcess):
                    running.kill()


def uvicorn(port: int, *options: str) -> list[str]:
    """The arguments of `uvicorn main:app`."""
    return ["-m", "uvicorn", "main:app", "--host", "127.0.0.1", "--port", str(port), *options]
