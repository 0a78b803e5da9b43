import re
from collections import Counter

import pytest

from tests.defence_runs import ROOT, without
from tests.defence_table import TABLE, Change

DEFINED = re.compile(r"^def (test_\w+)", re.MULTILINE)
# A test that is named after a row of the threat table: test_t06_..., test_f32_t29_...
NAMED = re.compile(r"::test_([tf])0*(\d+)_")


def defined() -> set[str]:
    """Every test there is, as `module::name`."""
    modules = ROOT.glob("tests/test_*.py")
    return {f"{one.stem}::{name}" for one in modules for name in DEFINED.findall(one.read_text(encoding="utf-8"))}


def row_of(test: str) -> str | None:
    found = NAMED.search(test)
    return f"{found[1].upper()}{found[2]}" if found else None


CHANGES = [pytest.param(change, id=f"{entry.row}-{change.path}") for entry in TABLE for change in entry.changes]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_to_be_taken_out_stands_there_once(change: Change) -> None:
    assert (ROOT / change.path).read_text(encoding="utf-8").count(change.old) == 1
    assert change.old != change.new


def test_what_is_left_is_still_python() -> None:
    """Code that cannot be imported would turn any test red."""
    for entry in TABLE:
        for path in {change.path for change in entry.changes if change.path.endswith(".py")}:
            compile(without(entry, path), path, "exec")


def test_every_test_of_a_row_has_a_defence_that_turns_it_red() -> None:
    shown = Counter(test.partition("[")[0] for entry in TABLE for test in entry.tests)
    there = defined()
    assert [test for test in shown if test not in there] == []
    assert [test for test in sorted(there) if row_of(test) and test not in shown] == []
    assert [test for entry in TABLE for test in entry.tests if row_of(test) != entry.row] == []
