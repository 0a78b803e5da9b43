"""What the fault tests of the database server share: how much and how long, and the ways in which it goes away."""

import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ENGINES
from tests.faultkit import Proxy
from tests.fleet import ACKS, Fleet
from tests.processes import free_port
from tests.programs import MAIN, Program, program
from tests.servers import CANARY, Server

SERVERS = [engine for engine in ENGINES if engine != "sqlite"]
FULL = ACKS >= 300_000
# How many acknowledgements each of two engines has to bring.
SHARE = ACKS // 2
# Reports a second: about half of what two cores store that also run the agents and the database.
RATE = 400
WORKERS = 2


@contextmanager
def reporting(url: str, folder: Path, **environ: str) -> Iterator[tuple[Program, Fleet]]:
    """A server of two workers, and as many agents as report to it within a second."""
    given = {"SERVER_WORKERS": str(WORKERS), **environ}
    with program(MAIN, url, folder, 0, **given) as one:
        port = one.ready(int(given["SERVER_WORKERS"])).port
        with Fleet([port], agents=RATE, rate=RATE).reporting() as fleet:
            yield one, fleet


def memory_mib(one: Program) -> dict[int, float]:
    """What each worker holds of the memory, by its process id."""
    found = {}
    for child in one.tree[1:]:
        if "spawn_main" in " ".join(child.cmdline()):  # the other child watches over shared memory
            found[child.pid] = child.memory_info().rss / (1 << 20)
    return found


def controllable(server: Server) -> Server:
    """The server, if it is ours to end and to pause; else the test is left out."""
    if not server.controllable:
        pytest.skip(f"{server.title} at {server.host}:{server.port} is not ours to end or pause")
    return server


def connections(server: Server, url: str) -> int:
    """How many connections the server has to a database."""
    statement = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s"
    return int(str(server.execute(statement, url.rpartition("/")[2])[0][0]))


@contextmanager
def hanging(server: Server) -> Iterator[None]:
    """A server that answers nothing, on whatever connection."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextmanager
def locked(server: Server, url: str, host: str) -> Iterator[None]:
    """A stranger's transaction that holds a host's row."""
    database = url.rpartition("/")[2]
    with closing(server.admin()) as stranger, stranger.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        assert cursor.execute(f"SELECT id FROM {database}.hosts WHERE host_name = %s FOR UPDATE", [host]) == 1
        yield


class Switch(Proxy):
    """A port that can be moved to another server: new connections lead there, those that are open stay where they are.

    So does a rule of the kernel that forwards a port, and so does a name whose address changes.
    """

    def move(self, port: int) -> None:
        self._target = port


class Following(NamedTuple):
    """How an engine says that one server follows another."""

    position: str
    follow: str
    wait: str
    read_only: str


FOLLOWING = {
    "mariadb": Following(
        "SHOW MASTER STATUS",
        "CHANGE MASTER TO MASTER_HOST = %s, MASTER_PORT = %s, MASTER_USER = %s, MASTER_PASSWORD = %s, "
        "MASTER_LOG_FILE = %s, MASTER_LOG_POS = %s",
        "SELECT MASTER_POS_WAIT(%s, %s, 60)",
        "read_only",
    ),
    "mysql": Following(
        "SHOW BINARY LOG STATUS",
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = %s, SOURCE_PORT = %s, SOURCE_USER = %s, SOURCE_PASSWORD = %s, "
        "SOURCE_LOG_FILE = %s, SOURCE_LOG_POS = %s, GET_SOURCE_PUBLIC_KEY = 1",
        "SELECT SOURCE_POS_WAIT(%s, %s, 60)",
        "super_read_only",
    ),
}


def follow(new: Server, old: Server) -> None:
    """Lets a server write whatever another one writes from now on."""
    words, password = FOLLOWING[old.name], secrets.token_hex(16)
    old.execute(f"CREATE USER follower {old.identified} %s", password)
    old.execute("GRANT REPLICATION SLAVE ON *.* TO follower")
    file, position = old.execute(words.position)[0][:2]
    new.execute(words.follow, old.host, old.port, "follower", password, file, position)
    new.execute("START REPLICA")


def turn_read_only(server: Server) -> None:
    """Lets a server refuse whatever is written, as that of a failover's old side does."""
    server.execute(f"SET GLOBAL {FOLLOWING[server.name].read_only} = 1")


def take_over(new: Server, old: Server) -> None:
    """Waits until a server has written everything that the other one has, and ends its following."""
    words = FOLLOWING[old.name]
    reached = new.execute(words.wait, *old.execute(words.position)[0][:2])[0][0]
    assert reached not in (None, -1), "the new server did not write everything in time"
    new.execute("STOP REPLICA")


class Hole:
    """A port whose packets vanish: a queue for connections that is full, so that the kernel drops what knocks."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", free_port()), backlog=0)
        self.port: int = self._listener.getsockname()[1]
        self._knocking = [socket.socket() for _ in range(4)]
        for one in self._knocking:
            one.settimeout(0)
            with suppress(BlockingIOError):
                one.connect(("127.0.0.1", self.port))

    def close(self) -> None:
        for one in (*self._knocking, self._listener):
            one.close()


# Starts a program whose resolver does not know a name until a file is there; then it is an address of this machine.
RESOLVER = """
import os, runpy, socket, sys
_, program, name, file = sys.argv
resolve = socket.getaddrinfo

def late(host, *given, **named):
    if host == name and not os.path.exists(file):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return resolve("127.0.0.1" if host == name else host, *given, **named)

socket.getaddrinfo = late
sys.argv = [program]
runpy.run_path(program, run_name="__main__")
"""


class Absence(NamedTuple):
    """A database that is not there when its client starts; `end` brings it about, at `there` it is then found."""

    url: str
    there: str
    end: Callable[[], object]
    arguments: list[str] = MAIN


def refused(server: Server, stack: ExitStack, _: Path) -> Absence:
    """Nobody listens on the port."""
    there, port = server.url(server.create_database()), free_port()
    away = there.replace(f":{server.port}/", f":{port}/")
    return Absence(away, there, lambda: stack.enter_context(closing(Proxy(server.port, port))))


def blackholed(server: Server, stack: ExitStack, _: Path) -> Absence:
    """What is sent to the port vanishes."""
    there, hole = server.url(server.create_database()), stack.enter_context(closing(Hole()))

    def end() -> None:
        hole.close()
        stack.enter_context(closing(Proxy(server.port, hole.port)))

    return Absence(there.replace(f":{server.port}/", f":{hole.port}/"), there, end)


def wrong_password(server: Server, stack: ExitStack, _: Path) -> Absence:
    """The server knows the user by another password."""
    there, user = server.url(server.create_database()), f"late{secrets.token_hex(4)}"
    server.execute(f"CREATE USER {user} {server.identified} %s", "another")
    stack.callback(server.execute, f"DROP USER {user}")
    server.execute(f"GRANT ALL PRIVILEGES ON {there.rpartition('/')[2]}.* TO {user}")
    change = f"ALTER USER {user} {server.identified} %s"
    return Absence(there.replace("//app:", f"//{user}:"), there, lambda: server.execute(change, CANARY))


def unknown_database(server: Server, _stack: ExitStack, _: Path) -> Absence:
    """The server has no database of the name; the user might use it if there were one."""
    database = server.create_database()
    server.execute(f"DROP DATABASE {database}")
    there = server.url(database)
    return Absence(there, there, lambda: server.execute(f"CREATE DATABASE {database} CHARACTER SET utf8mb4"))


def unresolved(server: Server, _stack: ExitStack, folder: Path) -> Absence:
    """The name of the server leads nowhere."""
    there, name, file = server.url(server.create_database()), "database.test", folder / "resolved"
    away = there.replace(f"@{server.host}:", f"@{name}:")
    return Absence(away, there, file.touch, ["-c", RESOLVER, *MAIN, name, str(file)])
