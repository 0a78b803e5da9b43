"""Changes the intake's core one expression at a time and tells which changes no test notices (docs/mutation.md).

The changes are mutmut's. Its own loop swaps functions inside a loaded program, so that it reaches neither what runs at
import (patterns, statements, models) nor, surely, what other threads run: here each mutant is the source of its module
in a process of its own, forked from one that has loaded the libraries and nothing of ours.
"""

import gc
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import libcst as cst
import pytest
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal, operator_string

from tests.mutation_plan import LIBRARIES, OURS, PLAN, Pass, prepared

ROOT = Path(__file__).resolve().parent.parent
EXPLAINED = ROOT / "docs" / "mutation.md"
PROCESSES = 2
TIMEOUT_S = 90
CONTEXT = 24
# Documentation, types and what only the machine that reads it would miss.
SKIPPED = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom)
SKIPPED_ARGUMENTS = {"description", "examples"}


class Mutant(NamedTuple):
    """A module with one change; `change` names it without its line, so that edits elsewhere leave the name alone."""

    path: str
    line: int
    change: str
    source: str

    @property
    def name(self) -> str:
        return f"`{self.path}` {self.change}"


class Finder(cst.CSTVisitor):
    """Collects every change of a module."""

    METADATA_DEPENDENCIES = (PositionProvider, ByteSpanPositionProvider)

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, slice, cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, SKIPPED) or _is_documentation(node):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                self.found += [
                    (*self._place(node), node, change) for change in _kept(operator, node, list(operator(node)))
                ]
        return True

    def _place(self, node: cst.CSTNode) -> tuple[int, slice]:
        line = self.get_metadata(PositionProvider, node).start.line
        span = self.get_metadata(ByteSpanPositionProvider, node)
        return line, slice(span.start, span.start + span.length)


def _kept(operator: object, node: cst.CSTNode, changes: list[cst.CSTNode]) -> list[cst.CSTNode]:
    """Of a text's three changes the first; of a call's arguments each is taken away, but not also set to None."""
    if operator is operator_string:
        return changes[:1]
    if operator is not operator_arg_removal or not isinstance(node, cst.Call):
        return changes
    removals = changes[-len(node.args) :] if len(node.args) > 1 else changes
    return [change for arg, change in zip(node.args, removals, strict=False) if not _is_documentation(arg)]


def _code(node: cst.CSTNode) -> str:
    text: str = cst.Module([]).code_for_node(node)
    return text


def _is_documentation(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.Arg):
        return node.keyword is not None and node.keyword.value in SKIPPED_ARGUMENTS
    return isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString | cst.ConcatenatedString)


def mutants(path: str) -> Iterator[Mutant]:
    """Every mutant of a module that is still Python."""
    original = (ROOT / path).read_bytes()
    wrapper = MetadataWrapper(cst.parse_module(original))
    finder = Finder()
    wrapper.visit(finder)
    for line, place, before, after in finder.found:
        source = _replaced(original, place, before, after) or _code(wrapper.module.deep_replace(before, after))
        try:
            compile(source, path, "exec")
        except SyntaxError:
            continue
        yield Mutant(path, line, _change(original.decode(), source), source)


def _replaced(original: bytes, place: slice, before: cst.CSTNode, after: cst.CSTNode) -> str | None:
    """The module with the change, the quick way: not for a node of several indented lines."""
    # A node's text has the brackets around it, its place has not.
    head, found, tail = _code(before).partition(original[place].decode())
    text = _code(after)
    if not found or not text.startswith(head) or not text.endswith(tail):
        return None
    inner = text[len(head) : len(text) - len(tail)]
    return (original[: place.start] + inner.encode() + original[place.stop :]).decode()


def _change(before: str, after: str) -> str:
    """The two texts, cut to where they differ and a little around."""
    start = _shared(before, after)
    end = _shared(before[start:][::-1], after[start:][::-1])
    first = max(0, start - CONTEXT)
    cut = [" ".join(text[first : len(text) - max(0, end - CONTEXT)].split()) for text in (before, after)]
    return f"`{cut[0]}` → `{cut[1]}`"


def _shared(one: str, other: str) -> int:
    """How many letters both begin with."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _child(mutant: Mutant, tests: Pass, home: Path) -> NoReturn:
    """Runs the tests on the mutant and ends the process: 0 if they all pass."""
    status = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os.setsid()
        os.environ.update(tests.environ)
        _plant(mutant)
        status = int(pytest.main([*tests.arguments, f"--basetemp={home}"]))
    finally:
        os._exit(status)


def _plant(mutant: Mutant) -> None:
    """From now on the mutant is what an import of its module finds."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    target, original = str(ROOT / mutant.path), SourceFileLoader.get_code

    def get_code(self: SourceFileLoader, fullname: str) -> Any:  # noqa: ANN401 - code
        if self.path == target:
            return compile(mutant.source, target, "exec")
        return original(self, fullname)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]


def survivors(all_: list[Mutant], tests: Pass) -> list[Mutant]:
    """Those on which every test passes."""
    waiting, running, found = list(reversed(all_)), list[Running](), list[Mutant]()
    with tempfile.TemporaryDirectory() as work:
        while waiting or running:
            while waiting and len(running) < PROCESSES:
                running.append(Running.start(waiting.pop(), tests, Path(work, str(len(waiting)))))
            found += [one.mutant for one in running if one.poll() == 0]
            running = [one for one in running if one.status is None]
            time.sleep(0.02)
    return found


@dataclass
class Running:
    """The process of a mutant; `status` as `os.waitpid` gives it."""

    mutant: Mutant
    pid: int
    home: Path
    deadline: float
    status: int | None = None

    @classmethod
    def start(cls, mutant: Mutant, tests: Pass, home: Path) -> "Running":
        """Begins the tests; their files are below `home`."""
        pid = os.fork()
        if not pid:
            _child(mutant, tests, home)
        return cls(mutant, pid, home, time.monotonic() + TIMEOUT_S)

    def poll(self) -> int | None:
        """Looks whether it has ended, or whether its time is up: then it counts as noticed."""
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        late = time.monotonic() > self.deadline
        if not (ended or late):
            return None
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if not ended:
            _say(f"  out of time: {self.mutant.line}: {self.mutant.name}")
            _, status = os.waitpid(self.pid, 0)
        shutil.rmtree(self.home, ignore_errors=True)
        self.status = status
        return status


def judge(path: str, explained: str) -> list[Mutant]:
    """Runs one module's mutants through its passes; gives the survivors that nobody has explained."""
    every = list(mutants(path))
    unchanged = Mutant(path, 0, "", (ROOT / path).read_text(encoding="utf-8"))
    left, began = every, time.monotonic()
    for tests in PLAN[path]:
        if not survivors([unchanged], tests):
            sys.exit(f"{path}: the tests fail without any change: {' '.join(tests.arguments)}")
        left = survivors(left, tests)
    known = [mutant for mutant in left if mutant.name in explained]
    took = time.monotonic() - began
    _say(f"{path}: {len(every)} mutants, {len(every) - len(left)} killed, {len(known)} explained, {took:.0f} s")
    fresh = [mutant for mutant in left if mutant.name not in explained]
    for mutant in fresh:
        _say(f"  {mutant.line}: {mutant.name}")
    return fresh


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(paths: list[str]) -> int:
    """Judges the modules that are named, or all; 1 if a survivor is not explained."""
    for library in LIBRARIES:
        import_module(library)
    explained = EXPLAINED.read_text(encoding="utf-8") if EXPLAINED.exists() else ""
    gc.freeze()
    with prepared(paths):
        fresh = [mutant for path in paths for mutant in judge(path, explained)]
    return int(bool(fresh))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PLAN)))
