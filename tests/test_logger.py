import io
import logging
import logging.config
import re
import shutil
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.config import LOGGING_CONFIG

import logger
from config.config import Settings, load

pytestmark = pytest.mark.slow

Start = Callable[..., logger.Logs]
ROOT = Path(__file__).parent.parent
log = logging.getLogger("test")

PROGRAM = """
import logging, sys, time
from pathlib import Path
import config.config, logger
environ = {"LOGGING_FILE_PATH": sys.argv[1], "LOGGING_MAX_FILE_SIZE": str(2**20)}
settings = config.config.load(environ, Path("absent.ini"))
log = logging.getLogger("child")
"""


def make(path: Path, **environ: str) -> Settings:
    return load({"LOGGING_FILE_PATH": str(path), **environ}, Path("absent.ini"))


def say(*messages: object) -> None:
    for message in messages:
        log.info(message)


def run_program(body: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM + body, *map(str, args)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, encoding="utf-8")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within half a minute"
        time.sleep(0.01)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "app.log"


@pytest.fixture
def start(file: Path) -> Iterator[Start]:
    started: list[logger.Logs] = []

    def begin(path: Path = file, **environ: str) -> logger.Logs:
        root = logging.getLogger()
        for handler in list(root.handlers):
            if type(handler).__module__ == "_pytest.logging":  # they format every record in the caller
                root.removeHandler(handler)
        started.append(logger.start(make(path, **environ)))
        return started[-1]

    yield begin
    for logs in reversed(started):
        logs.stop()


@pytest.fixture
def written(start: Start, file: Path) -> Callable[..., list[str]]:
    """Log something with the log running, and give the lines of the file."""

    def write(act: Callable[[], object], **environ: str) -> list[str]:
        logs = start(**environ)
        act()
        logs.stop()
        return file.read_text("utf-8").splitlines() if file.exists() else []

    return write


class Gate:
    """An argument that keeps the writer busy until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __str__(self) -> str:
        self.reached.set()
        assert self.opened.wait(10)
        return "gate"


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("first\nERROR forged\x1b[2J")


# ---- the line


@pytest.mark.parametrize("mark", ["\n", "\t", "\x85", "\u2028", "\x1b[31m"])
def test_no_line_has_a_jwt_whatever_control_character_stands_before_it(
    written: Callable[..., list[str]], mark: str
) -> None:
    text = f"{mark}eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2VjcmV0"
    lines = written(lambda: say(text, logger.event("x", of=text), repr(text)))
    assert [line.count("[hidden]") for line in lines] == [1, 1, 1]
    assert not re.search("eyJ|c2Vj", "".join(lines))


def test_a_line_has_the_owners_format(written: Callable[..., list[str]]) -> None:
    (line,) = written(lambda: log.info("disk %s", "sda"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - test - INFO - disk sda", line)


def test_stderr_has_the_same_lines_as_the_file(
    written: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = written(lambda: say(*(f"line {number} {'한글' * 50}" for number in range(100))))
    assert capsys.readouterr().err.splitlines() == lines
    assert len(lines) == 100


@pytest.mark.parametrize(
    "mark", ["\n", "\r", "\x00", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\ud800"]
)
def test_a_forged_line_stays_one_line(written: Callable[..., list[str]], mark: str) -> None:
    (line,) = written(lambda: log.info("host %s", f"web{mark}2026-01-01 - root - INFO - forged"))
    code = f"\\x{ord(mark[0]):02x}" if ord(mark[0]) < 256 else f"\\u{ord(mark[0]):04x}"
    assert line.endswith(f"host web{code}{mark[1:]}2026-01-01 - root - INFO - forged")


@given(text=st.text())
def test_no_text_breaks_out_of_its_line(text: str) -> None:
    record = logging.LogRecord(text, logging.INFO, "", 0, logger.event("e", field=text) + text, None, None)
    line = logger._Lines("%(name)s %(message)s").format(record)
    assert len(line.splitlines()) == 1
    assert line.encode("utf-8")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", line)


def test_a_traceback_follows_its_line_with_a_prefix(written: Callable[..., list[str]]) -> None:
    def fail() -> None:
        try:
            str(Broken())
        except RuntimeError:
            log.exception("it failed", stack_info=True)

    first, *below = written(fail)
    assert first.endswith("test - ERROR - it failed")
    assert below[0] == "| Traceback (most recent call last):"
    assert {"| RuntimeError: first", "| ERROR forged\\x1b[2J", "| Stack (most recent call last):"} <= set(below)
    assert all(line.startswith("| ") for line in below)


def test_wrong_arguments_cost_neither_the_line_nor_the_log(written: Callable[..., list[str]]) -> None:
    def act() -> None:
        log.info("%d rows", "x")
        say(Broken(), "next")

    first, second, third = written(act)
    assert "unformattable at=test_logger.py:" in first
    assert first.endswith('template="%d rows" error=TypeError')
    assert second.endswith("error=RuntimeError")
    assert third.endswith("next")


@pytest.mark.parametrize(
    ("environ", "levels"),
    [
        ({}, ["INFO", "WARNING"]),
        ({"LOGGING_LEVEL": "warning"}, ["WARNING"]),
        ({"LOGGING_LEVEL": "warning", "APP_DEBUG": "true"}, ["DEBUG", "INFO", "WARNING"]),
    ],
)
def test_the_level_is_as_configured_and_debug_shows_all(
    written: Callable[..., list[str]], environ: dict[str, str], levels: list[str]
) -> None:
    def act() -> None:
        for level in (logging.DEBUG, logging.INFO, logging.WARNING):
            log.log(level, "a")

    lines = written(act, **environ)
    assert [line.split(" - ")[2] for line in lines] == levels


# ---- the request


def test_a_line_names_its_request_once(written: Callable[..., list[str]]) -> None:
    def act() -> None:
        token = logger.request_id.set("r-17")
        log.info("plain")
        log.info(logger.event("named", request_id="r-17", status=200))
        logger.request_id.reset(token)
        log.info("outside")

    assert [line.split(" - ")[3] for line in written(act)] == [
        "plain request_id=r-17", "named request_id=r-17 status=200", "outside",
    ]  # fmt: skip


def test_the_format_may_place_the_requests_id(written: Callable[..., list[str]]) -> None:
    token = logger.request_id.set("r-17")
    lines = written(lambda: log.info("plain"), LOGGING_FORMAT="[%(request_id)s] %(message)s")
    logger.request_id.reset(token)
    assert lines == ["[r-17] plain"]


# ---- events


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        ("web-1", "web-1"),
        ("서버", "서버"),
        ("", '""'),
        ("a b", '"a b"'),
        ("a=b", '"a=b"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("it's", '"it\'s"'),
        ("C:\\logs", '"C:\\\\logs"'),
        ("a\nb", '"a\\x0ab"'),
        ("a\u202eb", '"a\\u202eb"'),
        (1.23456, "1.235"),
        (0.1 + 0.2, "0.3"),
        (float("nan"), "nan"),
        ("x" * 256, "x" * 256),
        ("x" * 257, "x" * 255 + "…"),
    ],
)
def test_an_event_writes_a_value_so_that_it_reads_back(value: object, text: str) -> None:
    assert logger.event("commit", key=value) == f"commit key={text}"


def test_an_event_keeps_the_order_and_skips_none() -> None:
    assert logger.event("commit", reports=3, host=None, name="b", ms=1.5) == "commit reports=3 name=b ms=1.5"


# ---- the throttle


def test_a_throttle_lets_one_line_a_minute_through_and_counts_the_rest() -> None:
    now = 0.0
    throttle = logger.Throttle(clock=lambda: now)
    assert [throttle.allow("a"), throttle.allow("a"), throttle.allow("b"), throttle.allow("a")] == [0, None, 0, None]
    now = 59.9
    assert throttle.allow("a") is None
    now = 60.0
    assert [throttle.allow("a"), throttle.allow("a")] == [3, None]
    now = 120.0
    assert throttle.allow("a") == 1


def test_a_throttle_forgets_the_oldest_line_first() -> None:
    now = 0.0
    throttle = logger.Throttle(per_s=10, clock=lambda: now, max_keys=2)
    for now, key in ((1.0, "a"), (2.0, "b"), (11.0, "a"), (11.5, "c")):  # noqa: B007 - the clock reads now
        assert throttle.allow(key) == 0
    assert throttle.allow("a") is None
    assert throttle.allow("b") == 0
    assert len(throttle._lines) == 2


def test_a_throttle_lets_one_of_many_threads_through() -> None:
    throttle, answers = logger.Throttle(), list[int | None]()
    threads = [
        threading.Thread(target=lambda: answers.extend(throttle.allow("a") for _ in range(1000))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer for answer in answers if answer is not None] == [0]
    assert throttle._lines["a"][1] == 3999


# ---- the caller never works nor waits


def test_formatting_happens_in_the_writers_thread(written: Callable[..., list[str]]) -> None:
    class Where:
        def __str__(self) -> str:
            return threading.current_thread().name

    (line,) = written(lambda: log.info("%s", Where()))
    assert line.endswith("log-writer")


def test_a_full_queue_drops_lines_and_says_how_many(
    written: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger, "QUEUE_LIMIT", 5)
    gate = Gate()

    def flood() -> None:
        log.info("%s", gate)
        assert gate.reached.wait(10)
        for number in range(20):
            log.info("line %d", number)
        gate.opened.set()

    lines = written(flood)
    assert len(lines) == 1 + 5 + 1
    assert lines[-1].endswith("logger - WARNING - log_lines_dropped lines=15")


# ---- start and stop


def test_stop_writes_everything_queued(written: Callable[..., list[str]]) -> None:
    lines = written(lambda: say(*(f"line {number}" for number in range(9000))))
    assert [int(line.rsplit(" ", 1)[1]) for line in lines] == list(range(9000))


def test_stop_does_not_wait_for_a_stuck_writer(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logger, "STOP_TIMEOUT_S", 0.05)
    gate, logs = Gate(), start()
    log.info("%s", gate)
    logs.stop()
    (writer,) = [thread for thread in threading.enumerate() if thread.name == "log-writer"]
    gate.opened.set()
    writer.join(10)
    assert not writer.is_alive()


def test_a_process_that_ends_without_stop_loses_no_line(file: Path) -> None:
    child = run_program("logger.start(settings)\nfor n in range(500): log.info('line %d', n)\nsys.exit(3)", file)
    child.communicate(timeout=30)
    assert child.returncode == 3
    assert len(file.read_text("utf-8").splitlines()) == 500


def test_start_and_stop_leave_nothing_behind(start: Start) -> None:
    def held() -> tuple[object, ...]:
        root, files = logging.getLogger(), len(list(Path("/dev/fd").iterdir()))
        return root.level, list(root.handlers), threading.active_count(), files, warnings.showwarning

    start().stop()
    before = held()
    for _ in range(5):
        logs = start()
        log.info("line")
        logs.stop()
        logs.stop()
    assert held() == before


def test_logs_may_overlap(start: Start, tmp_path: Path) -> None:
    first, second = start(tmp_path / "a.log"), start(tmp_path / "b.log")
    log.info("both")
    second.stop()
    log.info("first")
    first.stop()
    lines = [len((tmp_path / name).read_text("utf-8").splitlines()) for name in ("a.log", "b.log")]
    assert lines == [2, 1]


def test_a_plain_handler_of_the_root_steps_aside(start: Start) -> None:
    root, plain = logging.getLogger(), logging.StreamHandler()
    root.addHandler(plain)
    try:
        logs = start()
        assert plain not in root.handlers
        logs.stop()
        assert plain in root.handlers
    finally:
        root.removeHandler(plain)


def test_the_module_can_be_imported_without_fcntl() -> None:
    command = "import sys\nsys.modules['fcntl'] = sys.modules['resource'] = None\nimport logger"
    subprocess.run([sys.executable, "-c", command], cwd=ROOT, check=True, timeout=30)


# ---- the other libraries


@pytest.fixture
def _uvicorn() -> Iterator[None]:
    logging.config.dictConfig(LOGGING_CONFIG)
    yield
    for name in ("uvicorn", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()


@pytest.mark.usefixtures("_uvicorn")
def test_uvicorns_lines_are_in_the_same_log_without_its_access_lines(
    written: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    access = logging.getLogger("uvicorn.access")

    def act() -> None:
        for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi", "uvicorn.access"):
            logging.getLogger(name).info("from %s\n", name)  # uvicorn ends some of its messages so
        assert not access.hasHandlers()

    assert [line.split(" - ")[3] for line in written(act)] == [
        "from uvicorn",
        "from uvicorn.error",
        "from uvicorn.asgi",
    ]
    output = capsys.readouterr()
    assert (output.out, len(output.err.splitlines())) == ("", 3)


@pytest.mark.usefixtures("_uvicorn")
def test_stop_gives_uvicorn_its_handlers_back(start: Start) -> None:
    names = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")

    def state() -> list[tuple[object, ...]]:
        return [(one.handlers, one.propagate, one.disabled) for one in map(logging.getLogger, names)]

    before = state()
    logs = start()
    assert state() != before
    logs.stop()
    assert state() == before


def test_sqlalchemys_echo_is_in_the_log_and_not_on_stdout(
    written: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    def act() -> None:
        engine = sqlalchemy.create_engine("sqlite://", echo=True)
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT\n17"))
        engine.dispose()

    assert any(line.endswith("sqlalchemy.engine.Engine - INFO - SELECT\\x0a17") for line in written(act))
    assert capsys.readouterr().out == ""


def test_warnings_are_in_the_log(written: Callable[..., list[str]]) -> None:
    def act() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("old thing", stacklevel=1)

    (line,) = written(act)
    assert "py.warnings - WARNING - " in line
    assert "UserWarning: old thing" in line


def test_no_setting_is_ever_logged(written: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    lines = written(lambda: log.info("up"), MYSQL_PASSWORD="canary-1", DATABASE_POOL_SIZE="4242", APP_DEBUG="true")
    assert not re.search("canary-1|4242", "\n".join(lines) + capsys.readouterr().err)


# ---- the file


def test_four_processes_lose_and_tear_no_line_while_the_file_rotates(file: Path) -> None:
    body = """
logger.BATCH_LIMIT = 2000  # many turns at the lock
logger.STOP_TIMEOUT_S = 60  # whatever else the machine does: what is lost here is lost by the file
logs = logger.start(settings)
Path(sys.argv[1] + sys.argv[2]).touch()
while not Path(sys.argv[1] + "go").exists(): time.sleep(0.001)
for n in range(5000): log.info("worker=%s n=%05d %s end", sys.argv[2], n, "x" * 120)
logs.stop()
"""
    ready = file.parent.with_name("ready")
    children = [run_program(body.replace("sys.argv[1]", repr(str(ready))), file, worker) for worker in range(4)]
    wait_for(lambda: len(list(ready.parent.glob("ready?"))) == 4)
    ready.with_name("readygo").touch()
    assert [len(child.communicate(timeout=60)[1].splitlines()) for child in children] == [5000] * 4
    files = sorted(file.parent.glob("app.log*"))
    lines = [line for one in files for line in one.read_text("utf-8").splitlines()]
    found = [re.fullmatch(r".{23} - child - INFO - worker=(\d) n=(\d{5}) x{120} end", line) for line in lines]
    assert {match.groups() for match in found if match} == {(str(w), f"{n:05}") for w in range(4) for n in range(5000)}
    assert len(lines) == 20_000
    assert 1 < len(files) <= 6
    assert max(one.stat().st_size for one in files) <= 1.05 * 2**20
    assert {one.stat().st_mode & 0o777 for one in files} == {0o640}


def test_rotation_keeps_as_many_files_as_configured(written: Callable[..., list[str]], file: Path) -> None:
    written(
        lambda: say(*["x" * 100] * 500),
        LOGGING_MAX_FILE_SIZE="8192",
        LOGGING_BACKUP_COUNT="2",
    )
    files = [one.name for one in sorted(file.parent.iterdir())]
    assert [name for name in files if not name.startswith(".")] == ["app.log", "app.log.1", "app.log.2"]


def test_an_unwritable_directory_costs_one_warning_and_no_line_on_stderr(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logger, "RETRY_S", 0.0)
    (tmp_path / "plain").write_text("")
    logs = start(tmp_path / "plain" / "logs" / "app.log")
    for number in range(20):
        log.info("line %d", number)
        time.sleep(0.002)  # batches of their own, each of which tries the file
    logs.stop()
    lines = capsys.readouterr().err.splitlines()
    assert sum("line " in line for line in lines) == 20
    assert sum("log_file_unwritable" in line for line in lines) == 1


def test_an_unwritable_file_is_left_alone_for_a_while(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logger, "RETRY_S", 60.0)
    plain = tmp_path / "plain"
    plain.write_text("")
    logs = start(plain / "app.log")
    log.info("first")
    wait_for(lambda: "log_file_unwritable" in capsys.readouterr().err)
    plain.unlink()
    log.info("second")
    logs.stop()
    assert not plain.exists()
    assert "second" in capsys.readouterr().err


def test_the_file_is_used_again_when_it_can_be(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logger, "RETRY_S", 0.0)
    plain = tmp_path / "plain"
    plain.write_text("")
    logs = start(plain / "app.log")
    log.info("lost")
    wait_for(lambda: "log_file_unwritable" in capsys.readouterr().err)
    plain.unlink()
    log.info("kept")
    logs.stop()
    first, second = (plain / "app.log").read_text("utf-8").splitlines()
    assert first.endswith("kept")
    assert second.endswith("logger - INFO - log_file_back missing_lines=2")


def test_a_directory_removed_under_load_is_made_again(
    start: Start, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = start()
    for number in range(600):
        log.info("line %d", number)
        if number % 200 == 100:
            wait_for(file.exists)
            shutil.rmtree(file.parent, ignore_errors=True)
        time.sleep(0.0005)
    logs.stop()
    assert file.read_text("utf-8").splitlines()[-1].endswith("line 599")
    assert sum("line " in line for line in capsys.readouterr().err.splitlines()) == 600


def test_a_full_disk_leaves_no_half_line(file: Path) -> None:
    body = """
import resource
logger.RETRY_S, shown, to_stderr = 0.0, [], logger._to_stderr
logger._to_stderr = lambda lines: (to_stderr(lines), shown.extend(line for line in lines if line.endswith(" end")))
def lines(first, last):
    for n in range(first, last): log.info("n=%03d %s end", n, "x" * 90)
    while len(shown) < last: time.sleep(0.01)
limit = lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
logs = logger.start(settings)
limit(5000); lines(0, 20); lines(20, 60)
limit(resource.RLIM_INFINITY); lines(60, 70)
logs.stop()
"""
    _, err = run_program(body, file).communicate(timeout=30)
    lines = file.read_text("utf-8").splitlines()
    numbers = [
        int(match[1]) for line in lines if (match := re.fullmatch(r".{23} - child - INFO - n=(\d+) x+ end", line))
    ]
    assert [*range(20), *range(60, 70)] == [number for number in numbers if not 20 <= number < 60]
    own = [line for line in lines if re.fullmatch(r'.{23} - logger - \w+ - log_file_\w+ \w+=(\d+|".*")', line)]
    assert len(lines) == len(numbers) + len(own)
    assert "log_file_back" in own[-1]
    assert err.count(" end\n") == 70
    assert err.count("log_file_unwritable") == 1


def test_stderr_takes_what_a_pipe_keeps_whole_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            return super().write(text)

    stream, lines = Stream(), [f"{number} {'한글' * (number % 200)}" for number in range(400)]
    monkeypatch.setattr(sys, "stderr", stream)
    logger._to_stderr(lines)
    assert stream.getvalue().splitlines() == lines
    assert max(len(text.encode()) for text in writes) <= 4096
    assert len(writes) < 100


@pytest.mark.parametrize("closed", [False, True])
def test_a_missing_stderr_leaves_the_file(
    written: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, closed: bool
) -> None:
    with (tmp_path / "err").open("w") as stream:
        pass
    monkeypatch.setattr(sys, "stderr", stream if closed else None)
    assert len(written(lambda: log.info("line"))) == 1
