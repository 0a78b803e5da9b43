"""The engines of one process, the probe that watches the database, and the one way for handlers to read."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError

from config.config import Settings
from database import schema
from database.clock import Clock
from database.credentials import Credentials
from database.dialect import Role, ServerFacts, dialect_for
from database.faults import LEAVE_SERVER, Fault, classify, number_of, words_of
from logger import event as line
from model.envelope import Code, unavailable
from utils.utils import moment

logger = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
Status = Literal["starting", "up", "down", "read_only"]

PROBE_S = 2.0
RETRY_S = 1.0
# Of the five seconds in which a database is found again it leaves two for the tables to be prepared.
REFUSED_S = 3.0
# A probe without an answer for so long means a database without one.
STALE_S = 5.0
PROBE_TIMEOUT_S = 2
SCHEMA_TIMEOUT_S = 3600
WRITER_TIMEOUT_S = 10
READ_TIMEOUT_S = 7


class StartRefused(Exception):
    """Why this process must not start, in one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last probe saw, and when by the monotonic clock."""

    status: Status
    at: float
    facts: ServerFacts | None = None


class Database:
    """Everything a process has of its database. Nothing connects before `start`."""

    def __init__(self, settings: Settings, zone: Any) -> None:  # noqa: ANN401
        self._settings = settings
        self._zone = zone
        self.dialect = dialect_for(settings)
        self.clock = Clock()
        self.credentials = Credentials()
        pool = settings.database
        self.writer_engine = self.dialect.engine(Role("writer", read_timeout_s=WRITER_TIMEOUT_S))
        self._probe_engine = self.dialect.engine(Role("probe", read_timeout_s=PROBE_TIMEOUT_S, writes=False))
        reads = Role("reads", pool.pool_size, pool.max_overflow, READ_TIMEOUT_S, writes=False)
        self._read_engine = self.dialect.engine(reads)
        connections = pool.pool_size + pool.max_overflow
        self._slots = asyncio.Semaphore(connections)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="read")
        self._seen = Seen("starting", time.monotonic())
        self.away_since: float | None = None
        self._schema_ready = threading.Event()
        self._stopping = threading.Event()
        self._lock: Any = None
        self._told: object = None
        self._thread = threading.Thread(target=self._watch, name="probe", daemon=True)
        for engine in (self.writer_engine, self._read_engine):
            event.listen(engine, "handle_error", _leave_server)

    def start(self) -> None:
        """Begins to watch. Raises StartRefused when another process holds the SQLite file."""
        if self._settings.sqlite_path:
            self._lock = claim(self._settings.sqlite_path)
        self._thread.start()

    def stop(self) -> None:
        """Ends the probe and closes every connection."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(PROBE_TIMEOUT_S + 5)
        self._threads.shutdown()
        for engine in (self.writer_engine, self._probe_engine, self._read_engine):
            engine.dispose()
        if self._lock is not None:
            self._lock.release()

    @property
    def ready(self) -> bool:
        """Whether the tables are there: until then nothing can be read or written."""
        return self._schema_ready.is_set()

    @property
    def seen(self) -> Seen:
        """What is known of the database now; an answer that is overdue counts as none."""
        seen = self._seen
        overdue = seen.status in ("up", "read_only") and time.monotonic() - seen.at > STALE_S
        return Seen("down", seen.at, seen.facts) if overdue else seen

    @property
    def is_up(self) -> bool:
        """Whether the database answers and takes writes."""
        return self.ready and self.seen.status == "up"

    async def read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs one read on a pooled connection in a worker thread.

        Never more at once than the pool has connections, so that no thread waits for one. Raises a Failure when no
        connection came free in `[database] pool_timeout_s` (OVERLOADED) or the database is away (DB_UNAVAILABLE).
        """
        if not self.ready:
            raise unavailable()
        try:
            await asyncio.wait_for(self._slots.acquire(), self._settings.database.pool_timeout_s)
        except TimeoutError:
            raise unavailable("too many reads at once; try again", Code.OVERLOADED) from None
        try:
            call = partial(copy_context().run, partial(self._read, query, *args, **kwargs))
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        finally:
            self._slots.release()

    def _read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with self._read_engine.connect() as connection:
                return query(connection, *args, **kwargs)
        except DBAPIError as error:
            logger.warning(line("read_failed", fault=classify(error).name, number=number_of(error)))
            raise unavailable() from error

    def _watch(self) -> None:
        """The probe's thread: its top catches everything, for `/health` lives on it."""
        while not self._stopping.is_set():
            try:
                self._probe()
            except schema.NotReady as reason:
                self._tell("down", None, str(reason))
            except DBAPIError as error:
                self._refused = classify(error) is Fault.REFUSED
                self._tell("down", None, f"{classify(error).name}: {words_of(error)}")
            except Exception:  # the thread's top
                logger.exception(line("probe_failed"))
                self._tell("down", None, "probe failed")
            self._stopping.wait(self._pause())

    def _pause(self) -> float:
        """Seconds until the next probe; many wrong passwords would lock the account."""
        if self._seen.status == "up":
            return PROBE_S
        return REFUSED_S if self._refused else RETRY_S

    def _probe(self) -> None:
        self._refused = False
        if not self.ready:
            self._prepare()
        with self._probe_engine.connect() as connection:
            before = self.clock.monotonic()
            now = self.dialect.now(connection)
            self.clock.measured(now, before, self.clock.monotonic())
            facts = self.dialect.facts(connection)
            if self._settings.security.mode != "off":
                self.credentials.refresh(connection, moment(now))
        self._schema_ready.set()  # not before the first reading of the database's clock
        self._tell("up" if facts.writable else "read_only", facts, "")

    def _prepare(self) -> None:
        engine = self.dialect.engine(Role("schema", size=2, read_timeout_s=SCHEMA_TIMEOUT_S))
        try:
            schema.prepare(engine, self.dialect, migrate=self._settings.database.migrate_on_start, zone=self._zone)
        finally:
            engine.dispose()

    def _tell(self, status: Status, facts: ServerFacts | None, reason: str) -> None:
        """Notes what was seen; a change of state is one line, however many requests it costs."""
        before, known = self._seen, facts or self._seen.facts
        self._seen = Seen(status, time.monotonic(), known)
        self.away_since = None if status == "up" else self.away_since or self._seen.at
        if "read_only" in (status, before.status):
            self._leave()
        news = (status, reason, facts and (facts.durable, facts.warning))
        if self._told == news:
            return
        self._told = news
        if status == "up" and known:
            durability = "full" if known.durable else "relaxed"
            logger.info(line("database_up", engine=known.engine, version=known.version, durability=durability))
            self._warn(known)
        else:
            logger.error(line("database_down", state=status, reason=reason))

    def _leave(self) -> None:
        """Gives every connection up but the writer's, which is refused and so leaves by itself.

        A server that may not write any more still answers, so that nothing else would ever end a connection to it, and
        its name may lead to another server by now.
        """
        self._probe_engine.dispose()
        self._read_engine.dispose()

    @staticmethod
    def _warn(facts: ServerFacts) -> None:
        if not facts.durable:
            logger.warning(line("durability_relaxed", remedy="innodb_flush_log_at_trx_commit=1 and sync_binlog=1"))
        if facts.warning:
            logger.warning(line("database_warning", reason=facts.warning))


def _leave_server(context: ExceptionContext) -> None:
    """Empties the whole pool when a server says that it may not write any more, as after a failover."""
    error = context.sqlalchemy_exception
    if isinstance(error, DBAPIError) and number_of(error) in LEAVE_SERVER:
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = True


def claim(path: Path) -> Any:  # noqa: ANN401 - portalocker's lock
    """Takes the SQLite file for this process, made readable for its owner alone; raises StartRefused if it is taken."""
    import portalocker  # noqa: PLC0415 - it imports fcntl, which Windows has not

    _refuse_left_log(path.resolve())  # beside the file itself, where a link to it is used
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        # Of the file itself: a link to it is the same database.
        lock = portalocker.Lock(f"{path.resolve()}.lock", timeout=0, fail_when_locked=True)
        lock.acquire()
    except portalocker.exceptions.LockException:
        reason = f"{path.name} is in use by another server process: one process per SQLite file"
        remedy = "stop that one, or give this one another file: DATABASE_URL=sqlite:///..."
        raise StartRefused(f"{reason}; {remedy}") from None
    except OSError as error:
        raise StartRefused(f"{path} cannot be opened: {error.strerror}") from None
    return lock


def _refuse_left_log(path: Path) -> None:
    """A write-ahead log without its file holds reports that were acknowledged: a new file would be their end."""
    log = Path(f"{path}-wal")
    if _size(log) and not _size(path):
        raise StartRefused(f"{log.name} holds reports, but {path.name} is gone: move both to the same place")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
