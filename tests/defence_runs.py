"""Runs tests on a copy of the tree from which a defence was taken out, and reads what became of them."""

import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn
from xml.etree.ElementTree import Element, parse

import pytest

from tests.defence_table import Entry
from tests.mutation_plan import OURS

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = 2
KEPT_BACK = shutil.ignore_patterns(
    ".git", ".venv", "data", "logs", "htmlcov", "*_cache", ".hypothesis", ".schemathesis", ".coverage*"
)
# Of a failure none is tried again: it is what is asked for.
OPTIONS = ("-q", "--tb=short", "--reruns=0", "-o", "junit_logging=no", "-o", "filterwarnings=default")
PLUGINS = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:anyio", "-p", "no:randomly")
# Code that no longer works at all fails any test: names that are missing, and the answer that stands for a bug.
BROKEN = re.compile(r"^(Name|Import|ModuleNotFound|Syntax|Indentation|UnboundLocal|Attribute)Error\b|\b500\b|INTERNAL")
# What a busy machine brings about as well: a verdict on a duration.
SLOW = re.compile("TooSlow")
# What a run of ours must not inherit of the one that it may be part of.
FOREIGN = ("TEST_RAN_ON", "FAULT_TABLE", "COVERAGE_FILE", "COVERAGE_PROCESS_CONFIG")


class Verdict(NamedTuple):
    """What became of a test; `unjudged` is neither: it did not run, or not far enough to say something."""

    kind: Literal["red", "green", "unjudged"]
    why: str = ""


class Judged(NamedTuple):
    """An entry with what became of its tests."""

    entry: Entry
    verdicts: dict[str, Verdict]
    seconds: float


@dataclass(frozen=True)
class Running:
    """The process that runs an entry's tests on its tree, below `work`."""

    entry: Entry
    pid: int
    work: Path
    began: float

    @classmethod
    def start(cls, entry: Entry, work: Path) -> "Running":
        """Copies the tree, takes the defence out, and begins the tests."""
        tree = work / "tree"
        shutil.copytree(ROOT, tree, ignore=KEPT_BACK)
        for path in {change.path for change in entry.changes}:
            (tree / path).write_text(without(entry, path), encoding="utf-8")
        began, pid = time.monotonic(), os.fork()
        if not pid:
            _child(entry, tree)
        with suppress(OSError):  # as the child does itself: whoever is first
            os.setpgid(pid, pid)
        return cls(entry, pid, work, began)

    def poll(self) -> Judged | None:
        """What became of the tests, once they have ended."""
        ended, _ = os.waitpid(self.pid, os.WNOHANG)
        if not ended:
            return None
        self.end()
        report = self.work / "report.xml"
        cases = list(parse(report).iter("testcase")) if report.exists() else []  # noqa: S314 - pytest's own
        lost = Verdict("unjudged", (self.work / "output").read_text(encoding="utf-8", errors="replace")[-300:])
        found = {test: _verdict(case for case in cases if _is_of(test, case)) or lost for test in self.entry.tests}
        shutil.rmtree(self.work, ignore_errors=True)
        return Judged(self.entry, found, time.monotonic() - self.began)

    def end(self) -> None:
        """Nothing that the tests started outlives them."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


def without(entry: Entry, path: str) -> str:
    """A file as it is without the entry's defence."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for change in entry.changes:
        text = text.replace(change.old, change.new) if change.path == path else text
    return text


def _child(entry: Entry, tree: Path) -> NoReturn:
    """Runs the tests in the tree and ends the process."""
    try:
        os.setpgid(0, 0)
        output = os.open(tree.parent / "output", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _move(tree, entry.engine)
        named = [f"tests/{test.replace('::', '.py::')}" for test in entry.tests]
        files = [f"--junitxml={tree.parent / 'report.xml'}", f"--basetemp={tree.parent / 'home'}"]
        pytest.main([*OPTIONS, *PLUGINS, *files, *named])
    finally:
        os._exit(0)


def _move(tree: Path, engine: str) -> None:
    """From now on the tree is what this process imports."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.path[:] = [str(tree), *(place for place in sys.path if Path(place or ".").resolve() != ROOT)]
    os.chdir(tree)
    for name in FOREIGN:
        os.environ.pop(name, None)
    os.environ["TEST_ENGINES"] = engine


def judge(entries: Iterable[Entry]) -> Iterator[Judged]:
    """Each entry as its tests come to an end, `PROCESSES` of them at a time."""
    waiting, running = list(reversed(list(entries))), list[Running]()
    with tempfile.TemporaryDirectory() as work:
        try:
            while waiting or running:
                while waiting and len(running) < PROCESSES:
                    running.append(Running.start(waiting.pop(), Path(work, str(len(waiting)))))
                polled = [(one, one.poll()) for one in running]
                running = [one for one, judged in polled if judged is None]
                yield from (judged for _, judged in polled if judged is not None)
                time.sleep(0.02)
        finally:
            for one in running:
                one.end()
                with suppress(ChildProcessError):
                    os.waitpid(one.pid, 0)


def _is_of(test: str, case: Element) -> bool:
    module, name = case.get("classname", "").rpartition(".")[2], case.get("name", "")
    return test in (f"{module}::{name}", f"{module}::{name.partition('[')[0]}")


def _verdict(cases: Iterable[Element]) -> Verdict | None:
    """Red if one case of the test is: others may be about what the defence lets pass."""
    found = [_of_case(case) for case in cases]
    return min(found, key=lambda verdict: ("red", "unjudged", "green").index(verdict.kind), default=None)


def _of_case(case: Element) -> Verdict:
    """An error is a fixture's that failed; with `skipped` something is missing here."""
    failure = case.find("failure")
    if failure is not None:
        why = failure.get("message", "")
        return Verdict("unjudged" if BROKEN.search(why) or SLOW.search(why) else "red", why)
    missing = next((one for kind in ("error", "skipped") if (one := case.find(kind)) is not None), None)
    return Verdict("green") if missing is None else Verdict("unjudged", missing.get("message", ""))
