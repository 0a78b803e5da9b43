"""What the tests of the writer break things with, and how they look at what it does meanwhile."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any, TypeVar

import httpx
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError

from database.dialect import Role, dialect_for
from database.faults import number_of
from database.writer import Writer
from tests.processes import free_port
from tests.service import Service

T = TypeVar("T")

# COM_QUERY with this text: how PyMySQL sends it.
COMMIT = b"\x03COMMIT"
LOOK_UP = b"FROM reports"


def until(condition: Callable[[], object], timeout_s: float = 30) -> None:
    """Waits for a condition; fails when it takes too long."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def writer_of(service: Service) -> Writer:
    writer: Writer = service.state["writer"]
    return writer


def on_writer(service: Service, job: Callable[[Connection], T]) -> T:
    """Runs a job on the writer's connection, between two batches."""
    writer = writer_of(service)

    async def run() -> T:
        return await writer.run(job)

    return asyncio.run_coroutine_threadsafe(run(), writer._loop).result(30)


@contextmanager
def held(service: Service) -> Iterator[None]:
    """Holds the writer between two batches: all that comes meanwhile is one batch."""
    here, go = threading.Event(), threading.Event()

    def job(_: object) -> None:
        here.set()
        go.wait(20)

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(on_writer, service, job)
        assert here.wait(20)
        try:
            yield
        finally:
            go.set()
        done.result(30)


def post_all(service: Service, bodies: Sequence[object], keys: Sequence[str] | None = None) -> list[httpx.Response]:
    """Posts every report at once, each on a connection of its own."""
    with ThreadPoolExecutor(len(bodies)) as threads:
        named = [{"Idempotency_Key": key} for key in keys or ()] or [{} for _ in bodies]
        posts = [threads.submit(service.post, body, **headers) for body, headers in zip(bodies, named, strict=True)]
        return [post.result(60) for post in posts]


def in_one_batch(service: Service, bodies: Sequence[object], keys: Sequence[str] | None = None) -> list[httpx.Response]:
    """Posts reports so that the writer finds them all waiting."""
    with ThreadPoolExecutor(1) as thread:
        with held(service):
            answers = thread.submit(post_all, service, bodies, keys)
            until(lambda: writer_of(service).depth == len(bodies))
        return answers.result(60)


@contextmanager
def statements(service: Service) -> Iterator[list[str]]:
    """Collects the statements that the writer sends; SQLite's BEGIN is no statement of ours."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    with listening(service, "before_cursor_execute", note):
        yield seen


@contextmanager
def listening(service: Service, name: str, act: Callable[..., Any]) -> Iterator[None]:
    """Listens to an event of the writer's engine."""
    engine = service.state["database"].writer_engine
    event.listen(engine, name, act)
    try:
        yield
    finally:
        event.remove(engine, name, act)


@contextmanager
def faults(service: Service) -> Iterator[list[int | None]]:
    """Collects the numbers of the errors that the writer meets."""
    seen: list[int | None] = []

    def note(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        seen.append(number_of(error) if isinstance(error, DBAPIError) else None)

    with listening(service, "handle_error", note):
        yield seen


@contextmanager
def failing(service: Service, marker: str, error: Callable[[], Exception], times: int = 1) -> Iterator[None]:
    """Lets the writer's next statements with this text fail before they are sent."""
    left = [error] * times

    def fail(_cursor: object, statement: str, *_: object) -> None:
        if marker in statement and left:
            fault = left.pop()()
            raise fault

    with ExitStack() as stack:
        for name in ("do_execute", "do_executemany", "do_execute_no_params"):
            stack.enter_context(listening(service, name, fail))
        yield


@contextmanager
def foreign(service: Service) -> Iterator[Connection]:
    """A stranger's transaction on the service's database; rolled back at the end."""
    engine = dialect_for(service.settings).engine(Role("foreign"))
    try:
        with engine.connect() as connection:
            yield connection
            connection.rollback()
    finally:
        engine.dispose()


def lock_host(connection: Connection, host: str) -> None:
    connection.execute(text("SELECT id FROM hosts WHERE host_name = :host FOR UPDATE"), {"host": host})


class Proxy:
    """Stands between a service and its database server, and loses what it is told to lose."""

    def __init__(self, port: int, listen: int = 0) -> None:
        self._target = port
        self._lock = threading.Lock()
        self._rules: list[tuple[bytes, bool]] = []
        self._sockets = ExitStack()
        self._listener = socket.create_server(("127.0.0.1", listen or free_port()))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, marker: bytes, *, arrives: bool) -> None:
        """The next packet with this text ends its connection: before the server sees it, or before the answer."""
        with self._lock:
            self._rules.append((marker, arrives))

    @property
    def done(self) -> bool:
        """Whether everything that was to be lost is lost."""
        return not self._rules

    def close(self) -> None:
        self._listener.close()
        self._sockets.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                for end in (client, server):
                    self._sockets.enter_context(closing(end))
                mute = threading.Event()
                for pump in (self._forward, self._back):
                    threading.Thread(target=pump, args=(client, server, mute), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket, mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                rule = self._rule(data)
                if rule and not rule[1]:
                    break
                if rule:
                    mute.set()
                server.sendall(data)
        _end(client, server)

    def _back(self, client: socket.socket, server: socket.socket, mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while (data := server.recv(1 << 16)) and not mute.is_set():
                client.sendall(data)
        _end(client, server)

    def _rule(self, data: bytes) -> tuple[bytes, bool] | None:
        with self._lock:
            return self._rules.pop(0) if self._rules and self._rules[0][0] in data else None


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
