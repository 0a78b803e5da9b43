"""What a private, throw-away database server of the tests does, whichever engine it is."""

import atexit
import contextlib
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self
from urllib.parse import quote, unquote, urlsplit

import psutil
import pymysql

from tests.processes import Home, free_port

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

# The application's password. It must appear in no answer, log line or process title, and holds what URLs trip over.
CANARY = "Pa55-canary-@:/%#-비밀"
APP = "'app'@'%'"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
NOBODY = 65534  # the servers refuse to run as root; this number needs no entry in any list of users
# root gets a password: other users of the machine reach the loopback address too.
FIRST_STATEMENTS = """\
CREATE USER IF NOT EXISTS 'root'@'127.0.0.1';
ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;
ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';
"""


class ServerError(Exception):
    """A database server did not do what it was asked; the message says which and why."""


class Tls(NamedTuple):
    """A server's certificate, its key and the authority's certificate, all in PEM."""

    ca: bytes
    cert: bytes
    key: bytes


class Server:
    """One database server: `start` it, or use it in a `with`; after `stop` nothing of it is left.

    Its durability is the engine's default. TEST_MARIADB_URL and TEST_MYSQL_URL (`mysql://root:password@host:port`)
    name a server to use instead, unless options of its own are asked for. That one is not ours to end or pause:
    `controllable` is False, and these calls raise ServerError.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    identified: ClassVar[str]  # how CREATE USER names the way to authenticate

    def __init__(self, *options: str, tls: Tls | None = None) -> None:
        self._options, self._tls = options, tls
        self.host, self.port, self._user, self._password = "127.0.0.1", 0, "root", secrets.token_hex(16)
        self.version = ""
        self._home: Home | None = None
        url = external(self.name)
        self.controllable = not url or bool(options or tls)
        if not self.controllable:
            parts = urlsplit(url)
            self.host, self.port = parts.hostname or self.host, parts.port or 3306
            self._user, self._password = unquote(parts.username or "root"), unquote(parts.password or "")

    @classmethod
    def missing(cls) -> str | None:
        """Say why this engine cannot be started here; None if it can."""
        raise NotImplementedError

    @classmethod
    def root(cls) -> Path:
        """The folder that the server takes for the root of the file system."""
        raise NotImplementedError

    def _initialise(self, options: Sequence[str]) -> Sequence[str]:
        raise NotImplementedError

    def _command(self, options: Sequence[str]) -> Sequence[str]:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def data(self) -> Path:
        """The data directory; MySQL leaves the certificates there that it made itself (ca.pem)."""
        return self._own().path / "data"

    @property
    def pid(self) -> int | None:
        """The process id; None while the server is down."""
        return self._home.pid if self._home else None

    @property
    def title_and_version(self) -> str:
        """For people, such as "MariaDB 10.11.19"."""
        return f"{self.title} {self.version.split('-')[0]}"

    def start(self) -> None:
        """Start and wait until it answers; after `kill` and `shutdown` with the same data. The port stays the same."""
        first = self._home is None
        try:
            if self.controllable and first:
                self._prepare()
            if self.controllable and not self.pid:
                self._launch(first=first)
            self._await_answer()
        except BaseException:
            self.stop()
            raise
        if first:
            self.execute(f"CREATE USER IF NOT EXISTS {APP.replace('%', '%%')} {self.identified} %s", CANARY)
            _record(self.title_and_version)

    def stop(self) -> None:
        """End the server and remove its data."""
        if self._home:
            self.shutdown()
            self._home.remove()
            self._home = None
            atexit.unregister(self.stop)

    def shutdown(self) -> None:
        """End the server in good order and keep its data."""
        self._own().signal(signal.SIGTERM)
        self._own().signal(signal.SIGCONT)  # a paused process would not see the first one
        self._own().wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the server at once and keep its data."""
        self._own().signal(signal.SIGKILL)
        self._own().wait(STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Shut down and start again."""
        self.shutdown()
        self.start()

    def pause(self) -> None:
        """Let the server hang: connections stay open and nothing answers.

        Comes back when every thread has stopped: the signal takes a moment, in which a commit can still succeed.
        """
        self._own().signal(signal.SIGSTOP)
        while not all(_stopped(thread.id) for thread in psutil.Process(self._own().pid).threads()):
            time.sleep(0.001)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._own().signal(signal.SIGCONT)

    def admin(self) -> "Connection[Cursor]":
        """Open a new connection as root, each statement a transaction of its own."""
        return pymysql.connect(
            host=self.host,
            port=self.port,
            user=self._user,
            password=self._password.encode(),  # as text PyMySQL would take it for Latin-1
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=10,
            read_timeout=60,
            write_timeout=60,
        )

    def execute(self, statement: str, *values: object) -> tuple[tuple[object, ...], ...]:
        """Run one statement as root, and return its rows."""
        with contextlib.closing(self.admin()) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return tuple(cursor.fetchall())

    def create_database(self) -> str:
        """Create an empty database in which the application's user may do everything, and return its name."""
        database = f"test{secrets.token_hex(8)}"
        self.execute(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")
        self.execute(f"GRANT ALL PRIVILEGES ON {database}.* TO {APP}")
        return database

    def drop_database(self, database: str) -> None:
        """Drop a database that `create_database` made."""
        self.execute(f"DROP DATABASE {database}")
        self.execute(f"REVOKE ALL PRIVILEGES ON {database}.* FROM {APP}")

    def url(self, database: str) -> str:
        """The URL of a database for the application's user."""
        return f"mysql+pymysql://app:{quote(CANARY, safe='')}@{self.host}:{self.port}/{database}"

    def _own(self) -> Home:
        if not self.controllable:
            raise ServerError(f"{self.title} at {self.host}:{self.port} is not ours to end or pause")
        if not self._home:
            raise ServerError(f"{self.title} was not started")
        return self._home

    def _inside(self) -> str:
        """The server's own directory as the server sees it."""
        return f"/{self._own().path.relative_to(self.root())}"

    def _prepare(self) -> None:
        """Make an empty data directory, and beside it the files that the server reads at its start."""
        if reason := self.missing():
            raise ServerError(f"{self.title} cannot run here: {reason}")
        root = self.root()
        self._home = Home(root / "tmp" if root.name else Path(tempfile.gettempdir()))
        atexit.register(self.stop)
        for path in (self._home.path, *self._write_files(self._home.path)):
            if is_root():
                os.chown(path, NOBODY, NOBODY)
        self._home.launch(self._initialise(self._places()))
        if self._home.wait(START_TIMEOUT_S):
            raise ServerError(f"{self.title} made no data directory: {self._home.log()}")
        self.port = self.port or free_port()

    def _write_files(self, home: Path) -> list[Path]:
        (home / "first.sql").write_text(FIRST_STATEMENTS.format(password=self._password))
        for part, content in self._tls._asdict().items() if self._tls else ():
            (home / f"{part}.pem").write_bytes(content)
        for folder in ("data", "temporary"):
            (home / folder).mkdir()
        return list(home.iterdir())

    def _places(self) -> list[str]:
        inside = self._inside()
        return [
            *([f"--user={NOBODY}"] if is_root() else []),
            f"--datadir={inside}/data",
            f"--tmpdir={inside}/temporary",
        ]

    def _launch(self, *, first: bool) -> None:
        options = [
            *self._places(),
            "--socket=server.sock",  # in the data directory: a whole path may be too long for a socket
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=128M",
            "--performance-schema=OFF",
            *([f"--init-file={self._inside()}/first.sql"] if first else []),
            *([f"--ssl-{part}={self._inside()}/{part}.pem" for part in Tls._fields] if self._tls else []),
            *self._options,
        ]
        self._own().launch(self._command(options))

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.version = str(self.execute("SELECT VERSION()")[0][0])
            except pymysql.OperationalError as error:
                if self.controllable and not self.pid:
                    raise ServerError(f"{self.title} did not start: {self._own().log()}") from error
                if time.monotonic() > deadline:
                    raise ServerError(f"{self.title} does not answer after {START_TIMEOUT_S:.0f} s: {error}") from error
            else:
                return
            time.sleep(0.05)


def external(name: str) -> str:
    """The URL of a server to use instead of a private one, or nothing."""
    return os.environ.get(f"TEST_{name.upper()}_URL", "")


def is_root() -> bool:
    """Tell whether the tests run as root; on Windows they never do."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _record(title_and_version: str) -> None:
    """Note for `make test`, which names them at its end, what the tests ran on."""
    if path := os.environ.get("TEST_RAN_ON"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{title_and_version}\n")


def _stopped(thread: int) -> bool:
    """Whether a thread of a process has stopped or is gone."""
    try:
        return psutil.Process(thread).status() in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return True
