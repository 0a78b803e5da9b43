"""A file of lines that rotates by size while several processes write to it."""

import logging
from contextlib import suppress
from os import truncate
from pathlib import Path


def shared_file(path: Path, limit_bytes: int, backups: int) -> logging.Handler:
    """Its handler raises what keeps it from writing; a limit of 0 never rotates."""
    from concurrent_log_handler import ConcurrentRotatingFileHandler  # noqa: PLC0415 - it imports fcntl

    class SharedFile(ConcurrentRotatingFileHandler):
        def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the name is logging's
            raise  # noqa: PLE0704 - called while the error is handled, and the writer is to know it

        def do_write(self, msg: str) -> None:
            # A full disk takes half a line, which the next would continue: give it back while the lock is held.
            stream = self.stream = self.do_open()
            size = stream.tell()
            try:
                super().do_write(msg)
            except OSError:
                with suppress(OSError):
                    stream.close()  # first, as it tries once more to write what is left
                with suppress(OSError):
                    truncate(self.baseFilename, size)
                raise

    # Opened anew for each batch: a lock file kept open in a directory that was since replaced locks nobody out.
    return SharedFile(path, "a", limit_bytes, backups, encoding="utf-8", chmod=0o640, keep_file_open=False)


def append(file: logging.Handler, folder: Path, lines: list[str]) -> None:
    """Writes all of the lines at once, into a folder that is made if it is gone. Raises OSError."""
    text = logging.makeLogRecord({"msg": "\n".join(lines)})
    try:
        file.handle(text)
    except OSError:
        folder.mkdir(parents=True, exist_ok=True)
        file.handle(text)
