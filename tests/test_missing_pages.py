"""What an address gets that leads to nothing: a browser a page that says so, everything else the envelope."""

import re

import pytest

from tests.envelopes import envelope
from tests.guarded import Guarded, bearer
from tests.intake import refused
from tests.raw import answers, connect, received
from tests.service import Service

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Language": "ko"}
NOWHERE = ["/nosuch", "/hosts", "/static/nosuch", "/<script>ran()</script>", "/hosts/abc", "/hosts/-1/containers/web"]


@pytest.mark.parametrize("path", NOWHERE)
def test_a_browser_gets_a_page_without_what_it_asked_for(sqlite: Service, path: str) -> None:
    answer = sqlite.client.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert answer.headers["content-security-policy"] == sqlite.client.get("/events").headers["content-security-policy"]
    assert "호스트의 번호" in answer.text if path.startswith("/hosts/") else "해당하는 페이지가 없습니다" in answer.text
    assert '<a href="/">전체 현황으로</a>' in answer.text
    assert not re.search(r"nosuch|ran\(|abc", answer.text)
    assert "Accept" in answer.headers["vary"].split(", ")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html;q=0.5, application/json", "text/csv"])
@pytest.mark.parametrize("path", NOWHERE)
def test_programs_get_the_envelope(sqlite: Service, path: str, accept: str) -> None:
    answer = sqlite.client.get(path, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["vary"].split(", ")[0]) == (404, "Accept")
    assert envelope(answer)["resultCode"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/api/nosuch"), ("GET", "/api/hosts/404404"), ("POST", "/nosuch")]
)
def test_below_api_and_for_other_methods_it_is_the_envelope_in_a_browser_too(
    sqlite: Service, method: str, path: str
) -> None:
    assert envelope(sqlite.client.request(method, path, headers=BROWSER))["resultCode"] == "NOT_FOUND"


@pytest.mark.parametrize("target", ["/hosts/1/containers/%E0%A4", "/%ff", "/events?q=%ff"])
def test_an_address_that_is_not_utf8_is_a_page_in_a_browser(sqlite: Service, target: str) -> None:
    for accept, kind in (("text/html", "text/html"), ("*/*", "application/json")):
        with connect(sqlite) as connection:
            connection.sendall(
                f"GET {target} HTTP/1.1\r\nHost: h\r\nAccept: {accept}\r\nConnection: close\r\n\r\n".encode()
            )
            [answer] = answers(received(connection))
        assert answer.status == 400
        assert answer.headers["content-type"].startswith(kind)


def test_who_is_not_signed_in_is_told_that_there_is_no_page_and_nothing_else(guard: Guarded) -> None:
    client = guard.service.client
    assert client.get("/nosuch", headers=BROWSER).status_code == 404
    for path in ("/nosuch", "/api/nosuch", "/api/hosts", "/config"):
        refused(client.get(path), 401, "UNAUTHORIZED")
    for path in ("/api/nosuch", "/api/hosts", "/config", "/api/login"):
        refused(client.get(path, headers=BROWSER), 401, "UNAUTHORIZED")
    refused(client.delete("/nosuch", headers=BROWSER), 401, "UNAUTHORIZED")
    refused(client.get("/nosuch", headers=bearer(guard.admin)), 404, "NOT_FOUND")
