import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import routing

from model.envelope import STATUS, Code, failed, ok
from routers import resources
from tests.envelopes import Operation, envelope, operations
from tests.logs import Reader
from tests.people import PASSWORD, person
from tests.service import SAMPLE, Service, report
from tests.test_manage import url_of

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
PAGES = ("/docs", "/redoc", "/openapi.json", "/favicon.ico")
UNKNOWN = (
    "/nothing",
    "/api",
    "/api/",
    "/api/hosts/1/nothing",
    "/API/hosts",
    "/api//hosts",
    "/static/none.js",
    "/docs-assets",
)
# Where nothing is given: the one host there is, and what there is not.
IDS = {"host_id": 1, "token_id": "0123456789ab", "refused_id": 404}
# What bodies are good, where they are no reports.
BODIES = {
    "/api/resources/batch": {"reports": [SAMPLE]},
    "/api/hosts/{host_id}/tags": {"tags": ["x"]},
    "/api/tokens": {"name": "wall", "scope": "read"},
    "/api/tokens/{token_id}/rotate": {"overlap_hours": 1},
    "/api/login": {"user": "envelope", "password": PASSWORD},
}
# What takes a cookie and no body.
BODYLESS = ("/api/login/refresh", "/api/login/logout")
# What cannot be asked without saying of which host.
WITH_HOST = ("/api/history",)
PATHS = sorted({path for _, path in operations()})
every_operation = pytest.mark.parametrize("operation", operations(), ids=" ".join)
reads = pytest.mark.parametrize("operation", [one for one in operations() if one[0] == "GET"], ids=" ".join)
intakes = pytest.mark.parametrize("operation", [one for one in operations() if one[0] == "POST"], ids=" ".join)


@pytest.fixture
def call(sqlite: Service) -> Callable[..., httpx.Response]:
    """Calls an operation on the path's first existing host, or on a token that there is not."""

    def called(operation: Operation, id_: object = None, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        method, path = operation
        if path in WITH_HOST:
            options["params"] = {"host_id": 1, **options.get("params", {})}
        return sqlite.client.request(method, at(path, id_), **options)

    return called


def at(path: str, id_: object = None) -> str:
    """A path with an id in its place."""
    return path.format_map({name: given if id_ is None else id_ for name, given in IDS.items()})


def is_unknown(path: str) -> bool:
    return "token_id" in path or "refused_id" in path


@pytest.fixture(autouse=True, scope="module")
def _host(sqlite: Service) -> None:
    assert sqlite.post(SAMPLE).json()["data"]["host_id"] == 1
    person(url_of(sqlite), "envelope")


@pytest.fixture
def exploding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every handler breaks, with words that nobody outside may read."""

    async def explode(*_: object, **__: object) -> None:
        raise RuntimeError("secret words\nSELECT * FROM /etc/passwd")

    monkeypatch.setattr(routing, "run_endpoint_function", explode)
    monkeypatch.setattr(resources, "read", explode)


@every_operation
def test_good_input_gets_the_documented_envelope(call: Callable[..., httpx.Response], operation: Operation) -> None:
    method, path = operation
    unknown = is_unknown(path) or method == "DELETE"
    good = 404 if unknown else 403 if path in BODYLESS else 200  # it comes from no page
    body = {"json": BODIES.get(path, SAMPLE)} if method in ("POST", "PUT") else {}
    answer = call(operation, 404 if path == "/api/hosts/{host_id}" and unknown else None, **body)
    assert answer.status_code == good
    envelope(answer, operation)


@intakes
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b"5", b'{"host":{},"reports":5}'])
def test_missing_or_bad_body_is_refused(call: Callable[..., httpx.Response], operation: Operation, body: bytes) -> None:
    answer = call(operation, content=body)
    nothing_needed = (body == b"{}" and operation[1].endswith("/rotate")) or operation[1].endswith("/replay")
    codes = {"NOT_FOUND"} if nothing_needed else {"BAD_JSON", "VALIDATION"}
    codes = {"0", "FORBIDDEN"} if operation[1] in BODYLESS else codes
    assert envelope(answer, operation)["resultCode"] in codes


@reads
def test_bad_parameters_are_refused_where_there_are_any(
    call: Callable[..., httpx.Response], operation: Operation
) -> None:
    answer = call(operation, params={"limit": "many", "nonsense": "\x00"})
    strict = operation[1].startswith("/api/")  # whoever watches the service may add what it likes
    assert envelope(answer, operation)["resultCode"] == ("VALIDATION" if strict else "0")


@pytest.mark.parametrize("path", ["hosts", "hosts/1/containers", "containers", "events", "history", "diff"])
def test_what_is_asked_twice_is_refused(sqlite: Service, path: str) -> None:
    answer = sqlite.client.get(f"/api/{path}", params=[("host_id", "1"), ("host_id", "2")])
    assert (answer.status_code, answer.json()["resultMessage"]) == (422, "host_id: is there more than once")


@pytest.mark.parametrize("operation", [one for one in operations() if "{" in one[1]], ids=" ".join)
@pytest.mark.parametrize(
    "host_id", ["0", "-1", "x", "1.5", "9223372036854775808", "9" * 500, "%00", "404", "%EF%BC%91"]
)
def test_bad_host_id_is_refused(call: Callable[..., httpx.Response], operation: Operation, host_id: str) -> None:
    options: dict[str, Any] = {"json": BODIES[operation[1]]} if operation[1] in BODIES else {}
    assert envelope(call(operation, host_id, **options), operation)["resultCode"] in ("VALIDATION", "NOT_FOUND")


@every_operation
@pytest.mark.usefixtures("exploding")
def test_bug_is_an_envelope_that_tells_nothing(call: Callable[..., httpx.Response], operation: Operation) -> None:
    answer = call(operation, json=BODIES.get(operation[1], SAMPLE))
    found = envelope(answer, operation)
    assert (answer.status_code, found["data"]) == (500, None)
    assert "secret" not in answer.text


@pytest.mark.usefixtures("exploding")
@pytest.mark.parametrize("path", PAGES)
def test_bug_on_a_page_is_an_envelope_too(sqlite: Service, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite.app, "openapi", lambda: 1 / 0)
    assert envelope(sqlite.client.get(path))["resultCode"] == "INTERNAL"


@pytest.mark.usefixtures("exploding")
def test_traceback_of_a_bug_is_in_the_log_alone_below_its_line(sqlite: Service) -> None:
    log = Reader(sqlite)
    sqlite.client.get("/api/hosts", headers={"x-request-id": "find-me"})
    sqlite.client.get("/health/live")
    lines = log.until("route=/health/live")
    first = next(number for number, line in enumerate(lines) if " ERROR - bug method=GET path=/api/hosts " in line)
    assert "find-me" in lines[first]
    below = [line for line in lines if line.startswith("| ")]
    assert "| RuntimeError: secret words" in below
    assert all(line.startswith("| ") or re.match(r"\d{4}-\d\d-\d\d ", line) for line in lines)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", [*PATHS, *PAGES])
def test_other_methods_get_405_with_every_method_that_works(sqlite: Service, path: str, method: str) -> None:
    answer = sqlite.client.request(method, at(path, 404))
    works = {one for one, documented in operations() if documented == path} or {"GET"}
    works |= {"HEAD"} if path in ("/health", "/health/live", "/openapi.json") else set()
    if method not in works:
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == works
        if method != "HEAD":
            assert envelope(answer)["resultCode"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", UNKNOWN)
def test_unknown_path_is_not_found(sqlite: Service, path: str, method: str) -> None:
    answer = sqlite.client.request(method, path)
    assert answer.status_code in (404, 405)
    if method != "HEAD":
        assert envelope(answer)["resultCode"] in ("NOT_FOUND", "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize("path", PATHS)
def test_trailing_slash_is_accepted_and_nothing_redirects(sqlite: Service, path: str) -> None:
    method = next(one for one in ("POST", "GET", "PUT", "DELETE") if (one, path) in operations())
    options: dict[str, Any] = {"params": {"host_id": 1}} if path in WITH_HOST else {}
    if method in ("POST", "PUT"):
        options["json"] = BODIES.get(path, SAMPLE)
    answer = sqlite.client.request(method, at(path).rstrip("/") + "/", **options)
    assert answer.status_code == (404 if is_unknown(path) else 403 if path in BODYLESS else 200)


@pytest.mark.parametrize("path", ["/health", "/health/live"])
def test_head_of_health_is_the_same_without_a_body(sqlite: Service, path: str) -> None:
    assert sqlite.client.head(path).status_code == sqlite.client.get(path).status_code == 200
    assert sqlite.client.head(path).content == b""


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 64])
def test_good_request_id_comes_back(sqlite: Service, given: str) -> None:
    for path in ("/health/live", "/nothing", "/api/hosts?limit=0"):
        assert sqlite.client.get(path, headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a;b", 'a"', "é", "<script>"])
def test_other_request_id_is_replaced(sqlite: Service, given: str) -> None:
    answer = sqlite.client.get("/health/live", headers=[(b"x-request-id", given.encode())])
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


def test_two_request_ids_are_none(sqlite: Service) -> None:
    answer = sqlite.client.get("/health/live", headers=[("x-request-id", "a"), ("x-request-id", "b")])
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


def test_request_ids_of_our_own_differ(sqlite: Service) -> None:
    assert len({sqlite.client.get("/health/live").headers["x-request-id"] for _ in range(20)}) == 20


def test_refusal_never_echoes_what_was_sent(sqlite: Service) -> None:
    answer = sqlite.post(report("echo", cpu_percentage="CANARY-VALUE", get_datetime="CANARY-TIME"))
    assert answer.status_code == 422
    assert "CANARY" not in answer.text


def test_errors_name_every_wrong_field_and_are_at_most_ten(sqlite: Service) -> None:
    wrong: dict[str, Any] = dict.fromkeys(("cpu_percentage", "cpu_cores", "memory_usage", "get_datetime"), "wrong")
    errors = envelope(sqlite.post(report("many", **wrong)))["data"]["errors"]
    assert [error["loc"] for error in errors] == [["host", name] for name in wrong]
    flat = {"reports": [{"host": {}, "containers": 5, "age_s": -1}] * 50}
    results = envelope(sqlite.post(flat, "/api/resources/batch"))["data"]["results"]
    assert {result["resultCode"] for result in results} == {"VALIDATION"}
    limits = {"limit": "x", **{f"misspelt-{number}": "1" for number in range(30)}}
    assert len(envelope(sqlite.client.get("/api/hosts", params=limits))["data"]["errors"]) == 10


def test_every_code_has_a_status_and_a_place_in_the_table() -> None:
    table = Code.__doc__ or ""
    assert STATUS.keys() == set(Code)
    assert [code for code in Code if not re.search(rf"\b{code}\b", table) or str(STATUS[code]) not in table] == []


def test_message_is_cut_for_a_person() -> None:
    assert len(ok(None, "x" * 9999)) < 600 > len(failed(Code.INTERNAL, "x" * 9999))
