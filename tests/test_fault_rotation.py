"""A log that rotates while several processes write to it under load."""

import asyncio
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.fault_table import note
from tests.fleet import ACKS, Fleet, Verdict
from tests.programs import MAIN, program, wait_for
from tests.service import settings_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120 + ACKS // 100)]
LINES = 20_000 if ACKS < 300_000 else 200_000
LIMIT_BYTES, BACKUPS, WORKERS = 1 << 20, 5, 4
# Every line ends with it, a line that was torn does not; and few lines fill more files than there may be.
END = "." * (8 * LIMIT_BYTES // LINES)
_CALL = r"\d+ INFO request method=GET route=/health/live status=200 ms=\S+ peer=\S+ request_id=call-(\d+) "
CALL = re.compile(_CALL + re.escape(END))
OTHER = re.compile(r"\d+ [A-Z]+ (?!.* request_id=call-)[^.\s].* " + re.escape(END))
ROTATING = {
    "LOGGING_MAX_FILE_SIZE": str(LIMIT_BYTES),
    "LOGGING_BACKUP_COUNT": str(BACKUPS),
    "LOGGING_FORMAT": f"%(process)d %(levelname)s %(message)s {END}",
    "SERVER_WORKERS": str(WORKERS),
}


def test_four_processes_lose_and_tear_no_line_while_the_log_rotates(
    new_url: Callable[[str], str], tmp_path: Path
) -> None:
    fleet, verdict, files = rotated(new_url("mariadb"), tmp_path)
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    numbers = Counter(found[1] for line in lines if (found := CALL.fullmatch(line)))
    torn = [line for line in lines if not (CALL.fullmatch(line) or OTHER.fullmatch(line))]
    largest = max(file.stat().st_size for file in files) / LIMIT_BYTES
    figures = {"lines": LINES, "lost": LINES - len(numbers), "torn": len(torn), "largest_file_of_its_limit": largest}
    note(f"log rotation, {WORKERS} processes", "mariadb", verdict, **figures)
    assert (torn, len(numbers), numbers.total()) == ([], LINES, LINES)
    assert largest <= 1.05
    backups = {f"app.log.{number}" for number in range(1, BACKUPS + 1)}
    assert {path.name for path in tmp_path.glob("app.log*")} == {"app.log", *backups}
    fleet.in_time()


def rotated(url: str, folder: Path) -> tuple[Fleet, Verdict, list[Path]]:
    """A server's processes log numbered requests beside reports until, at the end, all write to one file."""
    log = folder / "app.log"
    with program(MAIN, url, folder, 0, **ROTATING) as one, kept(log, folder / "kept") as files:
        fleet = Fleet([one.ready().port], rate=100)
        with fleet.reporting():
            asyncio.run(call(one.port))
        wait_for(lambda: one.answers() and len(callers(log)) == WORKERS)
        one.stop()
    # A worker that is still starting says so; its agents send again.
    return fleet, fleet.check(settings_for(url, folder), statuses=[200, 503]), files


def callers(file: Path) -> set[str]:
    """The processes whose lines are in a file."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return set(re.findall(r"^(\d+) INFO request ", text, re.MULTILINE))


@contextmanager
def kept(log: Path, folder: Path) -> Iterator[list[Path]]:
    """Keeps a second name of each file that the log ever was: what falls off its end can still be read afterwards."""
    folder.mkdir()
    files: list[Path] = []
    over = threading.Event()

    def keep() -> None:
        while not over.wait(0.005):
            for path in log.parent.glob(f"{log.name}*"):
                with suppress(FileNotFoundError, FileExistsError):
                    os.link(path, folder / str(path.stat().st_ino))

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield files
    finally:
        over.set()
        thread.join()
        files += folder.iterdir()


async def call(port: int, callers: int = 32) -> None:
    """Makes numbered requests, each of which is one line of the log."""
    await asyncio.gather(*(converse(port, range(first, LINES, callers)) for first in range(callers)))


async def converse(port: int, numbers: Iterable[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: call-%d\r\n\r\n" % number)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    writer.close()
