from typing import Any

import pytest
from fastapi import routing

from tests.service import SAMPLE, Service

ORIGIN = {"Origin": "https://page.example"}
SAME = ("content-type", "retry-after", "idempotent-replayed", "x-content-type-options", "connection")
BODIES: dict[str, Any] = {"good": SAMPLE, "wrong field": {"host": {}}, "no object": [], "batch": {"reports": [SAMPLE]}}
every_intake = pytest.mark.parametrize("path", ["/api/resources", "/monitor_info", "/api/resources/batch"])


@every_intake
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_agent_is_answered_as_a_web_page_is(sqlite: Service, path: str, body: object) -> None:
    agent, page = (sqlite.client.post(path, json=body, headers=headers) for headers in ({}, ORIGIN))
    assert agent.status_code == page.status_code
    assert {**agent.json(), "data": None} == {**page.json(), "data": None}
    assert [agent.headers.get(name) for name in SAME] == [page.headers.get(name) for name in SAME]


@every_intake
def test_an_agents_report_meets_none_of_fastapis_routing(
    sqlite: Service, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(**_: object) -> None:
        raise AssertionError("a report went through FastAPI's routing")

    monkeypatch.setattr(routing, "run_endpoint_function", unreachable)
    answers = [
        sqlite.client.post(path, json=BODIES["batch" if "batch" in path else "good"], headers=headers).status_code
        for headers in ({}, ORIGIN)
    ]
    assert answers == [200, 500]
