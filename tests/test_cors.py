from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import routing

from tests.envelopes import envelope
from tests.service import SAMPLE, Service, running, settings_for

PAGE = "https://grafana.example.com"
OTHERS = [
    "https://grafana.example.com.evil.example",
    "https://evil.grafana.example.com",
    "http://grafana.example.com",
    "https://grafana.example.com:8443",
    "HTTPS://GRAFANA.EXAMPLE.COM",
    "null",
    "*",
]
ERRORS = {"/nothing": 404, "/api/hosts?limit=0": 422, "/api/hosts/404": 404}
ALLOW = "access-control-allow-origin"


@pytest.fixture(scope="module")
def listed(new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that lists one origin, two methods and one header, and allows credentials."""
    environ = {
        "CORS_ALLOW_ORIGINS": PAGE,
        "CORS_ALLOW_METHODS": "GET, POST",
        "CORS_ALLOW_HEADERS": "X-Agent",
        "CORS_ALLOW_CREDENTIALS": "true",
    }
    with running(settings_for(new_url("sqlite"), tmp_path_factory.mktemp("cors"), **environ)) as service:
        yield service


def preflight(service: Service, origin: str, method: str = "POST", headers: str = "content-type") -> httpx.Response:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return service.client.options("/api/resources", headers={"Origin": origin, **asked})


def test_every_origin_may_read_by_default_and_none_with_credentials(sqlite: Service) -> None:
    answer = sqlite.client.get("/api/hosts", headers={"Origin": PAGE, "Cookie": "a=b"})
    assert answer.headers[ALLOW] == "*"
    assert "access-control-allow-credentials" not in answer.headers


def test_answers_without_an_origin_need_no_permission(sqlite: Service) -> None:
    assert ALLOW not in sqlite.client.get("/api/hosts").headers


def test_page_may_read_the_headers_of_ours(sqlite: Service) -> None:
    shown = sqlite.client.get("/api/hosts", headers={"Origin": PAGE}).headers["access-control-expose-headers"]
    assert {"Link", "X-Total-Count", "X-Request-ID", "ETag", "Retry-After"} <= set(shown.split(", "))


@pytest.mark.parametrize("path", ERRORS)
def test_refusals_carry_the_permission_too(sqlite: Service, path: str) -> None:
    answer = sqlite.client.get(path, headers={"Origin": PAGE})
    assert (answer.status_code, answer.headers[ALLOW]) == (ERRORS[path], "*")
    envelope(answer)


def test_refused_reports_carry_the_permission_too(sqlite: Service) -> None:
    for options in ({"content": b"{"}, {"content": b" " * 2_000_000}, {"data": {"form": "yes"}}):
        answer = sqlite.client.post("/api/resources", headers={"Origin": PAGE}, **options)
        assert answer.status_code in (400, 413, 415)
        assert answer.headers[ALLOW] == "*"


def test_bugs_carry_the_permission_too(sqlite: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def explode(**_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(routing, "run_endpoint_function", explode)
    answer = sqlite.client.get("/api/hosts", headers={"Origin": PAGE})
    assert (answer.headers[ALLOW], envelope(answer)["resultCode"]) == ("*", "INTERNAL")


def test_preflight_is_204_without_a_body(sqlite: Service) -> None:
    answer = preflight(sqlite, PAGE)
    assert (answer.status_code, answer.content, answer.headers[ALLOW]) == (204, b"", "*")
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["x-request-id"]
    assert "content-type" not in answer.headers


def test_listed_origin_may_read_and_send_credentials(listed: Service) -> None:
    answer = listed.client.get("/api/hosts", headers={"Origin": PAGE})
    assert answer.headers[ALLOW] == PAGE
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("origin", OTHERS)
def test_any_other_origin_gets_no_permission(listed: Service, origin: str) -> None:
    assert ALLOW not in listed.client.get("/api/hosts", headers={"Origin": origin}).headers
    answer = preflight(listed, origin)
    assert ALLOW not in answer.headers
    assert envelope(answer)["resultCode"] == "BAD_REQUEST"


def test_listed_origin_passes_the_preflight(listed: Service) -> None:
    answer = preflight(listed, PAGE, headers="X-Agent, Content-Type")
    assert (answer.status_code, answer.headers[ALLOW]) == (204, PAGE)


@pytest.mark.parametrize(("method", "header"), [("DELETE", "x-agent"), ("POST", "authorization")])
def test_unlisted_method_or_header_fails_the_preflight(listed: Service, method: str, header: str) -> None:
    assert envelope(preflight(listed, PAGE, method, header))["resultCode"] == "BAD_REQUEST"


def test_agents_without_an_origin_report_whatever_the_list(listed: Service) -> None:
    assert listed.post(SAMPLE).status_code == 200


def test_credentials_for_every_origin_are_off_and_the_log_says_so(
    new_url: Callable[[str], str], tmp_path: Path
) -> None:
    environ = {"CORS_ALLOW_ORIGINS": "*", "CORS_ALLOW_CREDENTIALS": "true"}
    with running(settings_for(new_url("sqlite"), tmp_path, **environ)) as service:
        answer = service.client.get("/api/hosts", headers={"Origin": PAGE, "Cookie": "a=b"})
        assert answer.headers[ALLOW] == "*"
        assert "access-control-allow-credentials" not in answer.headers
    assert "[cors] allow_credentials is off" in service.log
