import pytest

from tests.raw import answers, connect, received
from tests.service import SAMPLE, Service

pytestmark = pytest.mark.security

NOTHING = "default-src 'none'; frame-ancestors 'none'"
ANSWERS = {
    "json": ("GET", "/api/hosts", {}),
    "csv": ("GET", "/api/hosts", {"Accept": "text/csv"}),
    "ndjson": ("GET", "/api/hosts", {"Accept": "application/x-ndjson"}),
    "document": ("GET", "/openapi.json", {}),
    "asset": ("GET", "/static/docs.js", {}),
    "picture": ("GET", "/favicon.ico", {}),
    "no such route": ("GET", "/nothing", {}),
    "wrong method": ("PATCH", "/api/hosts", {}),
    "head": ("HEAD", "/health", {}),
    "preflight": ("OPTIONS", "/api/hosts", {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}),
    "report": ("POST", "/api/resources", {}),
    "report of a page": ("POST", "/api/resources", {"Origin": "https://a.example"}),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_t06_what_is_no_page_may_do_nothing_in_a_browser(sqlite: Service, name: str) -> None:
    method, path, headers = ANSWERS[name]
    body = SAMPLE if method == "POST" else None
    answer = sqlite.client.request(method, path, headers=headers, json=body)
    assert answer.headers.get_list("content-security-policy") == [NOTHING]
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
    assert answer.headers.get_list("referrer-policy") == ["no-referrer"]
    assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/nothing"])
def test_t06_pages_carry_the_other_headers_too(sqlite: Service, path: str) -> None:
    answer = sqlite.client.get(path, headers={"Accept": "text/html"})
    assert len(answer.headers.get_list("content-security-policy")) == 1
    assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
    assert answer.headers.get_list("referrer-policy") == ["no-referrer"]
    assert "server" not in answer.headers


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 9000])
def test_t06_what_is_no_request_is_answered_with_the_same_headers(sqlite: Service, raw: bytes) -> None:
    with connect(sqlite) as connection:
        connection.sendall(raw)
        [answer] = answers(received(connection))
    assert answer.status >= 400
    assert answer.headers["content-security-policy"] == NOTHING
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "server" not in answer.headers
