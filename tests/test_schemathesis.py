import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from secrets import token_hex

import pytest

from tests.service import SAMPLE, Service, running, settings_for

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "positive_data_acceptance",
    "unsupported_method",
    "allow_header_conformance",
)


HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
CONFIG = """
# The same cases in every run: none made of earlier answers.
[phases.fuzzing]
extra-data-sources.responses = false
error-feedback.enabled = false

[phases.coverage]
extra-data-sources.responses = false

# Each report of a batch is refused by itself.
[[operations]]
include-path = "/api/resources/batch"
checks.negative_data_rejection.expected-statuses = ["207", "400", "405", "413", "415", "422"]

# Who is made up is nobody, and too often so is told to wait.
[[operations]]
include-path = "/api/login"
checks.negative_data_rejection.expected-statuses = ["400", "401", "403", "405", "413", "415", "422", "429"]
checks.positive_data_acceptance.expected-statuses = ["401", "403", "429"]
"""


def schemathesis(service: Service, folder: Path, *options: str, checks: Sequence[str] = CHECKS) -> None:
    """Runs it as its users do, always with the same cases; fails with what it has to complain about."""
    (folder / "schemathesis.toml").write_text(CONFIG)
    fixed = ["--generation-deterministic", "--workers=1", "--no-color", "--phases=examples,coverage,fuzzing"]
    command = ["run", f"{service.url}/openapi.json", *fixed, f"--checks={','.join(checks)}", *options]
    program = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
    run = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " ERROR " not in service.log


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_operation_does_what_the_document_says(sqlite: Service, tmp_path: Path) -> None:
    sqlite.post(SAMPLE)
    schemathesis(sqlite, tmp_path, "--max-examples=50")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_document_holds_on_mysql_too(new_url: Callable[[str], str], tmp_path: Path) -> None:
    with running(settings_for(new_url("mysql"), tmp_path, SECURITY_JWT_SECRET=token_hex(32))) as service:
        service.post(SAMPLE)
        # Which values are at a limit no engine has a say in: the others are the test's above.
        schemathesis(service, tmp_path, "--max-examples=12", "--phases=examples,fuzzing")
