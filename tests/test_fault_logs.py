"""A log directory that cannot be written to, is full or removed, at the start and under load."""

import re
import shutil
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.disks import disk
from tests.elapsed import within
from tests.fault_table import note
from tests.fleet import ACKS, Fleet, Verdict
from tests.programs import MAIN_AS_USER, Program, program, wait_for
from tests.service import settings_for

TIMEOUT_S = 120 + ACKS // 100
pytestmark = [pytest.mark.faults, pytest.mark.timeout(TIMEOUT_S)]
Act = Callable[[], object]

# Three log directories are broken, and each is looked at for two seconds at least: three times, or more if it was slow.
REPORTS = max(ACKS // 9, 600)
RATE = 300
TURNS = 7
# In a few seconds whatever else the machine does counts too; a log that is waited for costs more than that.
MARGIN_S = 0.1 if ACKS < 300_000 else 0.0


def unwritable(logs: Path, _stack: ExitStack) -> tuple[Act, Act]:
    logs.mkdir()
    return partial(logs.chmod, 0), partial(logs.chmod, 0o755)


def full(logs: Path, stack: ExitStack) -> tuple[Act, Act]:
    small = stack.enter_context(disk(logs, 16 << 20, "log directory full"))
    return small.fill, small.free


def removed(logs: Path, _stack: ExitStack) -> tuple[Act, Act]:
    return partial(shutil.rmtree, logs, ignore_errors=True), lambda: None


class Run(NamedTuple):
    """What came of a server whose log directory was broken, mended and broken again."""

    fleet: Fleet
    verdict: Verdict
    output: str
    lasted_s: float
    broken_s: float
    base_s: float


@pytest.mark.parametrize("broken", [unwritable, full, removed])
def test_a_broken_log_directory_costs_no_report_no_line_and_no_time(
    broken: Callable[[Path, ExitStack], tuple[Act, Act]], new_url: Callable[[str], str], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        run = reported(stack, *broken(tmp_path / "logs", stack), new_url("sqlite"), tmp_path)
    fault, warnings = f"log directory {broken.__name__}", run.output.count("log_file_unwritable")
    note(fault, "sqlite", run.verdict, p99_s=run.broken_s, base_p99_s=run.base_s, warnings=warnings)
    assert sum(map(int, re.findall(r" commit reports=(\d+)", run.output))) == run.verdict.acknowledged
    assert warnings <= 1 + run.lasted_s // 60
    run.fleet.in_time()
    within(run.broken_s, allowed_s(run.base_s), "s for 99 of 100 answers")


def reported(stack: ExitStack, damage: Act, mend: Act, url: str, folder: Path) -> Run:
    """Reports come in while the log is broken from the start, mended, broken again, and mended for good."""
    damage()
    began, log = time.monotonic(), folder / "logs" / "app.log"
    one = stack.enter_context(program(MAIN_AS_USER, url, folder, LOGGING_FILE_PATH=str(log))).ready()
    fleet = Fleet([one.port], rate=RATE)

    def mend_and_wait() -> None:
        mend()
        wait_for(lambda: writes_to(one, log))

    with fleet.reporting():
        broken_s, base_s = in_turns(fleet, damage, mend_and_wait)
    lasted_s = time.monotonic() - began
    one.stop()  # its last lines are out
    verdict = fleet.check(settings_for(url, folder), statuses=[200])
    return Run(fleet, verdict, one.output, lasted_s, broken_s, base_s)


def in_turns(fleet: Fleet, damage: Act, mend: Act) -> tuple[float, float]:
    """The 99th percentiles with a log that is broken and with one that is whole, of a server that began with the first.

    Something else may keep the machine busy during one of them: then there are more turns.
    """
    broken_s, base_s = [watched(fleet)], list[float]()
    median = statistics.median_high
    while not base_s or (median(broken_s) > allowed_s(median(base_s)) and len(base_s) < TURNS):
        mend()
        base_s.append(watched(fleet))
        damage()
        broken_s.append(watched(fleet))
    mend()
    return median(broken_s), median(base_s)


def allowed_s(base_s: float) -> float:
    return 2 * base_s + MARGIN_S


def watched(fleet: Fleet) -> float:
    """The 99th percentile of the answers of a second, in the median of some seconds."""
    time.sleep(1)  # agents that had to wait send what they owe first
    began = time.monotonic()
    fleet.await_acks(REPORTS, TIMEOUT_S)
    seconds = range(max(1, int(time.monotonic() - began)))
    return statistics.median(fleet.p99_s(began + second, began + second + 1) for second in seconds)


def writes_to(one: Program, file: Path) -> bool:
    """Whether the line of a request is soon in the file."""
    mark = one.get("/health/live").headers["x-request-id"]
    time.sleep(0.1)
    return file.exists() and mark in file.read_text(encoding="utf-8")
