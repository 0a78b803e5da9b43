"""The log: each event is one line, written by a thread of its own to stderr and to a rotating file.

What admins do, logins and refusals are also in a file of their own, the audit log.
"""

import atexit
import logging
import re
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from contextvars import ContextVar
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue

from config.config import Settings
from config.settings import Logging
from utils.audit_text import audit_text
from utils.shared_file import append, shared_file
from utils.token_text import hide

Clock = Callable[[], float]
QUEUE_LIMIT = 10_000  # records
BATCH_LIMIT = 131_072  # characters
PIPE_LIMIT = 4096  # bytes that a pipe takes whole when several processes write to it
VALUE_LIMIT = 256  # characters
STOP_TIMEOUT_S = 5.0
RETRY_S = 1.0  # how long an unwritable file is left alone

# C0, DEL, C1, what turns the direction of text, the line and paragraph separators, lone surrogates.
_CONTROL = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_UNSAFE = re.compile(f"[{_CONTROL}]")
_BARE = re.compile(rf"[^\s\"'=\\{_CONTROL}]+")

request_id: ContextVar[str] = ContextVar("request_id", default="-")


def event(name: str, /, **fields: object) -> str:
    """Write an event as `name key=value key2="with space"`; a field that is None is left out."""
    return " ".join([name, *(f"{key}={_value(value)}" for key, value in fields.items() if value is not None)])


def _value(value: object) -> str:
    text = str(round(value, 3) if isinstance(value, float) else value)
    if len(text) > VALUE_LIMIT:
        text = f"{text[: VALUE_LIMIT - 1]}…"
    if _BARE.fullmatch(text):
        return text
    return '"' + _escape(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _escape(text: str) -> str:
    return _UNSAFE.sub(lambda match: ("\\x%02x" if match[0] < "\u0100" else "\\u%04x") % ord(match[0]), text)


class Throttle:
    """At most one line per key in `per_s` seconds; of too many keys, the one whose line is oldest is forgotten."""

    def __init__(self, per_s: float = 60.0, clock: Clock = time.monotonic, max_keys: int = 10_000) -> None:
        self._per_s, self._clock, self._max_keys = per_s, clock, max_keys
        self._lock = threading.Lock()
        self._lines: OrderedDict[object, tuple[float, int]] = OrderedDict()  # key: time of its line, suppressed since

    def allow(self, key: object) -> int | None:
        """Give None if the line is to be left out, else how many were left out since the last one."""
        with self._lock:
            now = self._clock()
            written, suppressed = self._lines.get(key, (now - self._per_s, 0))
            if now < written + self._per_s:
                self._lines[key] = (written, suppressed + 1)
                return None
            self._lines[key] = (now, 0)
            self._lines.move_to_end(key)
            if len(self._lines) > self._max_keys:
                self._lines.popitem(last=False)
            return suppressed


class _Lines(logging.Formatter):
    """A record as one escaped line, its traceback below it with `| ` before each line."""

    def format(self, record: logging.LogRecord) -> str:
        try:
            return "\n".join([self._line(record, record.getMessage().rstrip("\n")), *self._below(record)])
        except Exception as error:  # noqa: BLE001 - the thread's edge: wrong arguments of a caller must not end it
            at, template = f"{record.filename}:{record.lineno}", record.msg if isinstance(record.msg, str) else None
            return self._line(record, event("unformattable", at=at, template=template, error=type(error).__name__))

    def _line(self, record: logging.LogRecord, message: str) -> str:
        values = {"request_id": "-", **record.__dict__, "asctime": self.formatTime(record)}
        tag = event("", request_id=values["request_id"])
        if values["request_id"] != "-" and "%(request_id)" not in str(self._fmt) and tag[1:] not in message:
            message += tag
        return hide(_escape(str(self._fmt) % {**values, "message": message}))

    def _below(self, record: logging.LogRecord) -> Iterator[str]:
        trace = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        for text in filter(None, (trace, record.stack_info)):
            yield from (f"| {hide(_escape(line))}" for line in text.split("\n"))


class _Queue(QueueHandler):
    """The callers' side: it notes the request's id and hands the record over, without formatting or waiting."""

    def __init__(self) -> None:
        # SimpleQueue may be entered again by a finalizer that logs; a Queue would wait for itself.
        # Records of the log, lines of the audit log, and None at the end.
        self.waiting: SimpleQueue[logging.LogRecord | str | None] = SimpleQueue()
        self.dropped = 0
        super().__init__(self.waiting)

    def emit(self, record: logging.LogRecord) -> None:
        if self.waiting.qsize() >= QUEUE_LIMIT:
            self.dropped += 1  # safe: logging calls this under the handler's lock
            return
        record.__dict__.setdefault("request_id", request_id.get())
        self.waiting.put(record)


class _File:
    """A rotating file that may be unwritable for a while; how much it missed is said in the log."""

    def __init__(self, name: str, path: Path, settings: Logging, note: Callable[[int, str], None]) -> None:
        self._name, self._folder, self._note = name, path.parent, note
        self._file = shared_file(path, settings.max_file_size, settings.backup_count)
        self._throttle, self._retry_at, self._missing = Throttle(), 0.0, 0

    def write(self, lines: list[str]) -> None:
        self._missing += len(lines)
        if not lines or time.monotonic() < self._retry_at:
            return
        try:
            append(self._file, self._folder, lines)
        except Exception as error:  # noqa: BLE001 - the file's edge: whatever fails it, stderr has the lines
            self._retry_at = time.monotonic() + RETRY_S
            if self._throttle.allow("unwritable") is not None:
                self._note(logging.WARNING, event(f"{self._name}_file_unwritable", error=error))
        else:
            if missing := self._missing - len(lines):
                self._note(logging.INFO, event(f"{self._name}_file_back", missing_lines=missing))
            self._missing = 0

    def close(self) -> None:
        self._file.close()


class _Writer(threading.Thread):
    """The thread that formats and writes; nobody waits for it, and stderr has what the files cannot take."""

    def __init__(self, queue: _Queue, settings: Settings) -> None:
        super().__init__(name="log-writer", daemon=True)
        self._queue, self._lines = queue, _Lines(settings.logging.format)
        self._log = _File("log", settings.logging.file_path, settings.logging, self._note)
        self._audit = _File("audit", settings.security.audit_path, settings.logging, self._note)
        # A file outgrows its limit by a batch at most, so a batch is a small part of it.
        self._batch_limit = min(BATCH_LIMIT, settings.logging.max_file_size // 64 or BATCH_LIMIT)
        self._reported, self._stopping = 0, False

    def run(self) -> None:
        while not (self._stopping and self._queue.waiting.empty()):
            lines, audited = self._batch()
            self._log.write(lines)
            self._audit.write(audited)
            _to_stderr(lines)
            if dropped := self._queue.dropped - self._reported:
                self._reported += dropped
                self._note(logging.WARNING, event("log_lines_dropped", lines=dropped))
        self._log.close()
        self._audit.close()

    def stop(self) -> None:
        self._queue.waiting.put(None)
        self.join(STOP_TIMEOUT_S)

    def _batch(self) -> tuple[list[str], list[str]]:
        """Wait for a line and take along what has queued up behind it: one lock and one write a file for all."""
        lines: list[str] = []
        audited: list[str] = []
        size = 0
        while size < self._batch_limit and not (size and self._queue.waiting.empty()):
            if (waited := self._queue.waiting.get()) is None:
                self._stopping = True
                break
            line = waited if isinstance(waited, str) else self._lines.format(waited)
            (audited if isinstance(waited, str) else lines).append(line)
            size += len(line) + 1
        return lines, audited

    def _note(self, level: int, message: str) -> None:
        self._queue.waiting.put(logging.LogRecord(__name__, level, __file__, 0, message, None, None))


def audit(
    name: str, /, level: int = logging.INFO, *, also: Mapping[str, object] | None = None, **fields: object
) -> None:
    """Tells what an admin did, a login or a refusal: a line of the log, and one of the audit log.

    The latter has `also` besides, and is neither subject to the log's level nor dropped when the log has too much.
    """
    logging.getLogger("security").log(level, event(name, **fields))
    line = _audit_line(name, {**fields, **(also or {})})
    for queue in _running:
        queue.waiting.put(line)


def audit_at_once(settings: Settings, name: str, /, **fields: object) -> None:
    """Writes a line of the audit log where no log is running. Raises what keeps it from being written."""
    path, logging_ = settings.security.audit_path, settings.logging
    file = shared_file(path, logging_.max_file_size, logging_.backup_count)
    try:
        append(file, path.parent, [_audit_line(name, fields)])
    finally:
        file.close()


def _audit_line(name: str, fields: Mapping[str, object]) -> str:
    id_ = request_id.get()
    return audit_text(name, None if id_ == "-" else id_, fields)


def _to_stderr(lines: Iterable[str]) -> None:
    chunk = ""
    for line in (*lines, ""):
        if not line or len(f"{chunk}{line}\n".encode()) > PIPE_LIMIT:
            with suppress(OSError, ValueError, AttributeError):  # full, closed, or None as under pythonw
                sys.stderr.write(chunk)
                sys.stderr.flush()
            chunk = ""
        chunk += f"{line}\n"


_running: list[_Queue] = []


class Logs(ExitStack):
    """What is to be undone at the end: stop() writes what is queued, for at most five seconds, and detaches the log."""

    def stop(self) -> None:
        self.close()


def start(settings: Settings) -> Logs:
    """Take over the root logger, uvicorn's and SQLAlchemy's; logs that overlap stop in the reverse order."""
    logs, queue = Logs(), _Queue()
    writer = _Writer(queue, settings)
    atexit.register(logs.close)  # a process that ends without stop() loses no line
    logs.callback(atexit.unregister, logs.close)
    logs.callback(queue.close)
    logs.callback(writer.stop)
    _running.append(queue)
    logs.callback(_running.remove, queue)
    _take_root(queue, logging.DEBUG if settings.app.debug else settings.logging.level, logs)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):
        _replace(logging.getLogger(name), logs, handlers=[], propagate=True)
    # Without any handler uvicorn does not even put its access line together; we write our own.
    _replace(logging.getLogger("uvicorn.access"), logs, handlers=[], propagate=False, disabled=True)
    # SQLAlchemy's echo adds a handler for stdout unless it finds one.
    _replace(logging.getLogger("sqlalchemy.engine.Engine"), logs, handlers=[logging.NullHandler()], propagate=True)
    writer.start()
    return logs


def _take_root(queue: _Queue, level: int | str, undo: ExitStack) -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if type(handler) is logging.StreamHandler]:
        root.removeHandler(handler)  # basicConfig's: every line would be on stderr twice
        undo.callback(root.addHandler, handler)
    root.addHandler(queue)
    undo.callback(root.removeHandler, queue)
    undo.callback(root.setLevel, root.level)
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    undo.callback(logging.captureWarnings, capture=False)


def _replace(logger: logging.Logger, undo: ExitStack, **values: object) -> None:
    for name, value in values.items():
        undo.callback(setattr, logger, name, getattr(logger, name))
        setattr(logger, name, value)
