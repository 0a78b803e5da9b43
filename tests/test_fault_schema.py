"""Thousands of requests made from the OpenAPI document; the other tests make some dozens of each operation."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault_table import note
from tests.fleet import ACKS
from tests.programs import MAIN, program
from tests.service import SAMPLE
from tests.test_schemathesis import CHECKS, CONFIG, HOOKS

pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(ACKS < 300_000, reason="some dozen cases of each operation run with the other tests"),
]
CASES = 2_000
MORE = """
# A link takes the host of whichever report of a batch, also of one that was refused and so has none.
[phases.stateful]
checks.positive_data_acceptance.enabled = false
"""
COMMAND = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"


def test_thousands_of_good_and_bad_requests_of_each_operation_get_what_the_document_says(
    new_url: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG + MORE)
    with program(MAIN, new_url("sqlite"), tmp_path) as one:
        one.ready().post(SAMPLE)
        fixed = ["--generation-deterministic", "--workers=1", "--no-color", "--mode=all", f"--max-examples={CASES}"]
        run = subprocess.run(
            [sys.executable, "-c", COMMAND, "run", f"{one.url}/openapi.json", f"--checks={','.join(CHECKS)}", *fixed],
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert " ERROR " not in one.log
    cases = re.search(r"(\d+) generated, \1 passed", run.stdout)
    note("requests made from the OpenAPI document", "sqlite", cases=cases and cases[1])
