"""Takes one defence after the other out of the server and tells which of the tests that are named for it stay green.

`tests/defence_table.py` says what is taken out for which row of the threat table (T1, F22, ...) and what must turn red.
As the mutants of `tests/mutation.py` each runs in a process forked from one that has loaded the libraries and nothing
of ours. But what changes is a copy of the whole tree: these defences also stand in pages, scripts and nginx's settings,
and tests start servers of their own.
"""

import gc
import sys
from collections.abc import Iterable
from importlib import import_module

from tests.defence_runs import Judged, Verdict, judge
from tests.defence_table import TABLE, Entry
from tests.mutation_plan import LIBRARIES

# How often a test may fail on a tree with every defence before it counts as one that shows nothing: a machine is busy.
TRIES = 3


def spoiled(entries: Iterable[Entry]) -> dict[str, Verdict]:
    """The tests that are red on a tree with every defence, and so show nothing, or were not judged there."""
    left: dict[str, dict[str, Verdict]] = {}
    for entry in entries:
        left.setdefault(entry.engine, {}).update(dict.fromkeys(entry.tests, Verdict("unjudged")))
    for _ in range(TRIES):
        whole = [Entry("-", (), tuple(tests), engine) for engine, tests in left.items() if tests]
        left = {one.entry.engine: _not_green(one) for one in judge(whole)}
    return {test: verdict for tests in left.values() for test, verdict in tests.items()}


def _not_green(judged: Judged) -> dict[str, Verdict]:
    return {test: verdict for test, verdict in judged.verdicts.items() if verdict.kind != "green"}


def _row(row: str) -> tuple[str, int]:
    return row[0], int(row[1:])


def table(judged: Iterable[Judged]) -> list[str]:
    """Row by row how many tests there are and what became of them: a test of several entries is to be red for each."""
    rows: dict[str, dict[str, set[str]]] = {}
    for one in judged:
        for test, verdict in one.verdicts.items():
            rows.setdefault(one.entry.row, {}).setdefault(test.partition("[")[0], set()).add(verdict.kind)
    lines = ["row   tests  red  still green  not judged"]
    for row in sorted(rows, key=_row):
        kinds = rows[row].values()
        red = sum(found == {"red"} for found in kinds)
        green, none = (sum(kind in found for found in kinds) for kind in ("green", "unjudged"))
        lines.append(f"{row:4} {len(kinds):6} {red:4} {green:12} {none:11}")
    return lines


def _tell(judged: Judged, *, reasons: bool) -> None:
    entry, verdicts = judged.entry, judged.verdicts
    red = sum(verdict.kind == "red" for verdict in verdicts.values())
    _say(f"{entry.row:4} {entry.changes[0].path}: {red} of {len(verdicts)} red, {judged.seconds:.0f} s")
    for test, (kind, why) in verdicts.items():
        if kind != "red" or reasons:
            _say(f"     {'red' if kind == 'red' else kind.upper()} {test}: {' '.join(why.split())[:200]}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Judges the rows that are named, or all; 1 if a test is not red. `--why` tells each failure."""
    for library in LIBRARIES:
        import_module(library)
    gc.freeze()
    rows = [argument for argument in arguments if not argument.startswith("-")]
    if unknown := set(rows) - {entry.row for entry in TABLE}:
        sys.exit(f"no such row: {' '.join(sorted(unknown))}")
    entries = [entry for entry in TABLE if not rows or entry.row in rows]
    useless = spoiled(entries)
    for test, (_, why) in useless.items():
        _say(f"UNJUDGED {test}, not green although nothing was taken out: {' '.join(why.split())[:200]}")
    every = []
    for judged in judge(entries):
        known = {test: Verdict("unjudged") if test in useless else verdict for test, verdict in judged.verdicts.items()}
        every.append(judged._replace(verdicts=known))
        _tell(every[-1], reasons="--why" in arguments)
    _say("\n".join(table(every)))
    return int(any(_not_red(one) for one in every))


def _not_red(judged: Judged) -> list[str]:
    return [test for test, verdict in judged.verdicts.items() if verdict.kind != "red"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
