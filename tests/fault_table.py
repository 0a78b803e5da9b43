"""The table of the fault tests: each notes a line while it runs, `python -m tests.fault_table FILE` prints them."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.fleet import Verdict

COLUMNS = ("fault", "engine", "acknowledged", "missing", "duplicates", "partial", "figures")


def note(fault: str, engine: str, verdict: Verdict | None = None, **figures: object) -> None:
    """Notes what a fault did; `figures` are what else was promised and measured, named with their units."""
    path = os.environ.get("FAULT_TABLE")
    if path is None:
        return
    counts = vars(verdict) if verdict else {}
    shown = ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in figures.items())
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"fault": fault, "engine": engine, **counts, "figures": shown}) + "\n")


def _short(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def table(lines: Sequence[str]) -> str:
    """The noted lines as a Markdown table, by fault and engine."""
    rows = sorted((json.loads(line) for line in lines), key=lambda row: (row["fault"], row["engine"]))
    cells = [[str(row.get(column, "")) for column in COLUMNS] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(COLUMNS), ["---"] * len(COLUMNS), *cells])


def main() -> None:
    """Prints the table of the file named."""
    path = Path(sys.argv[1])
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    sys.stdout.write(f"{table(lines)}\n")


if __name__ == "__main__":
    main()
