"""Every operation, with valid and wrong input, by whoever may and may not: what no scope covers is never answered."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from services.access import covers, needed
from tests.guarded import bearer, guarding
from tests.service import SAMPLE, settings_for
from tests.test_schemathesis import schemathesis

pytestmark = [pytest.mark.security, pytest.mark.slow, pytest.mark.timeout(300)]
# Whether good input is accepted is a question of the scope here, so that it is not asked.
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
REQUEST = re.compile(r" request method=(\S+) route=(\S+) status=(\d+) ")
OPTIONS = {
    None: (),
    "ingest": ("--host", SAMPLE["host"]["host_name"]),
    "read": (),
    "admin": (),
}


@pytest.mark.parametrize("scope", OPTIONS)
def test_t3_no_scope_sees_or_does_what_is_another_ones(
    scope: str | None, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    settings = settings_for(new_url("sqlite"), tmp_path, SECURITY_MODE="enforce", LOGGING_LEVEL="DEBUG")
    with guarding(settings) as guard:
        guard.service.post(SAMPLE, **guard.ingest(SAMPLE["host"]["host_name"]))
        header = bearer(guard.token("--scope", scope, *OPTIONS[scope])) if scope else {}
        given = [f"--header={name}: {value}" for name, value in header.items()]
        guard.service.client.get("/health/live", headers={"X-Request-ID": "begins"})
        schemathesis(guard.service, tmp_path, "--max-examples=12", "--phases=examples,fuzzing", *given, checks=CHECKS)
        found = REQUEST.findall(guard.service.log.partition(" request_id=begins")[2])
    asked = [(needed(method, route, page=False), route, int(status)) for method, route, status in found]
    assert len(asked) > 150
    forbidden = [one for one in asked if not covers(scope or "nobody", one[0])]
    assert [one for one in forbidden if one[2] < 400] == []
    allowed = {route for need, route, status in asked if need != "nothing" and status < 300}
    assert bool(allowed) is (scope is not None)
