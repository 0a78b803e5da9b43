import base64
import contextlib
import json
import random
from collections.abc import Callable, Iterator
from typing import Any, get_args

import httpx
import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from database.hosts import SORTS
from database.pages import decode, encode
from model.envelope import Failure
from model.queries import ContainerSort, HostSort
from routers.answers import _next
from routers.middleware import _rooted
from tests.service import Service, report

FAR = "/api/hosts", "/api/containers"


def pages(service: Service, path: str, between: Callable[[], object] = lambda: None, **asked: object) -> Iterator[Any]:
    """Follows the links of a list to its end."""
    answer = service.client.get(path, params=dict(asked))  # type: ignore[arg-type]  # texts and numbers
    while True:
        assert answer.status_code == 200, answer.text
        yield answer.json()["data"]
        if "next" not in answer.links:
            return
        between()
        answer = service.client.get(answer.links["next"]["url"])


def walk(service: Service, path: str, between: Callable[[], object] = lambda: None, **asked: object) -> list[Any]:
    return [row for page in pages(service, path, between, **asked) for row in page]


@pytest.fixture(scope="module")
def crowd(service: Service) -> Service:
    """Hosts with equal and unknown metrics, and containers of few names: every sort has ties."""
    for number in range(11):
        metrics = {"cpu_percentage": (None, 1, 2.5)[number % 3], "memory_usage": (None, 0.1)[number % 2]}
        boxes = [{"container_name": name, "cluster_name": "crowd", **metrics} for name in ("a", "b", "b")[: number % 4]]
        service.post(report(f"crowd-{number:02}", *boxes, **metrics))
    return service


@pytest.mark.parametrize("limit", [1, 3, 11])
@pytest.mark.parametrize("sort", get_args(HostSort))
def test_links_lead_through_all_hosts_in_every_order(crowd: Service, sort: str, limit: int) -> None:
    whole = crowd.data("/api/hosts", q="crowd-", sort=sort)
    assert len(whole) == 11
    assert walk(crowd, "/api/hosts", q="crowd-", sort=sort, limit=limit) == whole


@pytest.mark.parametrize("limit", [1, 4])
@pytest.mark.parametrize("sort", get_args(ContainerSort))
def test_links_lead_through_all_containers_in_every_order(crowd: Service, sort: str, limit: int) -> None:
    whole = crowd.data("/api/containers", cluster_name="crowd", sort=sort)
    walked = walk(crowd, "/api/containers", cluster_name="crowd", sort=sort, limit=limit)
    assert len(whole) == 15
    assert sorted(row["id"] for row in walked) == sorted(row["id"] for row in whole)


def test_a_hosts_own_containers_are_paged(service: Service) -> None:
    host_id = service.post(report("own pages", *"abcde")).json()["data"]["host_id"]
    walked = walk(service, f"/api/hosts/{host_id}/containers", limit=2)
    assert [row["container_name"] for row in walked] == list("abcde")


def test_link_is_relative_and_keeps_what_was_asked(sqlite: Service) -> None:
    for number in range(3):
        sqlite.post(report(f"링크 &=%+{number}"))
    asked = {"q": "링크 &=%+", "sort": "-host_name", "limit": "1"}
    answer = sqlite.client.get("/api/hosts/", params=asked, headers={"Host": "evil.example"})
    link = httpx.URL(answer.links["next"]["url"])
    assert (link.is_relative_url, link.path) == (True, "/api/hosts")
    assert {**dict(link.params), **asked, "cursor": link.params["cursor"]} == dict(link.params)


def test_every_page_tells_the_same_total_and_the_last_has_no_link(crowd: Service) -> None:
    link, totals, messages = "/api/hosts?q=crowd-&limit=5", [], []
    while link:
        answer = crowd.client.get(link)
        totals.append(answer.headers["x-total-count"])
        messages.append(answer.json()["resultMessage"])
        link = answer.links.get("next", {}).get("url", "")
    assert totals == ["11"] * 3
    assert messages == ["host_count: 5 of 11", "host_count: 5 of 11", "host_count: 1 of 11"]


def test_total_that_fits_the_page_has_no_empty_page_behind_it(crowd: Service) -> None:
    assert [len(page) for page in pages(crowd, "/api/hosts", q="crowd-", limit=11)] == [11]


def test_equal_names_across_a_page_edge_come_once_each_while_the_host_reports_again(service: Service) -> None:
    again = report("edge", "a", *["web"] * 5, "z")

    def post() -> None:
        service.post(again)

    post()
    for limit in (2, 3):
        walked = walk(service, "/api/containers", post, host_name="edge", sort="container_name", limit=limit)
        assert [row["container_name"] for row in walked] == ["a", *["web"] * 5, "z"]


@pytest.mark.parametrize("sort", ["host_name", "-host_name", "id", "-id"])
def test_each_host_comes_once_while_reports_come_in(service: Service, sort: str) -> None:
    chance = random.Random(f"hosts {sort}")
    names = [f"moving {sort}-{number:02}" for number in range(12)]

    def reports() -> None:
        for name in chance.sample(names, 2):
            service.post(report(name, *["box"] * chance.randrange(3), cpu_percentage=chance.random()))

    for name in names:
        service.post(report(name))
    for limit in (2, 5):
        walked = [
            row["host_name"]
            for row in walk(service, "/api/hosts", reports, q=f"moving {sort}-", sort=sort, limit=limit)
        ]
        assert walked == sorted(names, reverse=sort.startswith("-"))


@pytest.mark.parametrize("sort", ["host_name", "-host_name", "container_name", "-container_name"])
def test_each_container_comes_once_while_reports_come_in(service: Service, sort: str) -> None:
    chance = random.Random(f"containers {sort}")
    boxes = {f"carrier {sort}-{number}": [f"box{chance.randrange(4)}" for _ in range(6)] for number in range(4)}

    def reports() -> None:
        for name in chance.sample(sorted(boxes), 2):
            shown = [{"container_name": box, "cluster_name": f"moving {sort}"} for box in boxes[name]]
            service.post(report(name, *chance.sample(shown, len(shown))))

    while len(service.data("/api/containers", cluster_name=f"moving {sort}")) < 24:
        reports()
    for limit in (4, 7):
        walked = walk(service, "/api/containers", reports, cluster_name=f"moving {sort}", sort=sort, limit=limit)
        expected = [(host, box) for host, names in boxes.items() for box in names]
        assert sorted((row["host_name"], row["container_name"]) for row in walked) == sorted(expected)


def test_new_and_deleted_hosts_disturb_no_other_row(service: Service) -> None:
    ids = [service.post(report(f"steady-{number}")).json()["data"]["host_id"] for number in range(6)]
    first, *rest = pages(
        service,
        "/api/hosts",
        lambda: (service.client.delete(f"/api/hosts/{ids[1]}"), service.post(report("steady-0 new"))),
        q="steady-",
        limit=2,
    )
    assert [row["host_name"] for row in first] == ["steady-0", "steady-1"]
    assert [row["host_name"] for page in rest for row in page] == [f"steady-{number}" for number in range(2, 6)]


def forged(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


FORGED = {
    "garbage": "garbage",
    "one letter": "A",
    "not JSON": base64.urlsafe_b64encode(b"{{{").decode().rstrip("="),
    "not UTF-8": base64.urlsafe_b64encode(b"\xff\xfe").decode().rstrip("="),
    "deep": base64.urlsafe_b64encode(b"[" * 3000).decode().rstrip("="),
    "another list": forged("cpu_percentage", [1.5, "host", "box"], 1),
    "another sort": forged("-cpu_percentage", [1.5, 1], 1),
    "too few": forged("cpu_percentage", [1.5], 1),
    "no list": forged("cpu_percentage", 5, 1),
    "text for a number": forged("cpu_percentage", ["x", 1], 1),
    "null": forged("cpu_percentage", [None, 1], 1),
    "nested": forged("cpu_percentage", [[1], {}], 1),
    "not a number": forged("cpu_percentage", [float("nan"), 1], 1),
    "infinite": forged("cpu_percentage", [float("inf"), 1], 1),
    "huge metric": forged("cpu_percentage", [10**400, 1], 1),
    "huge id": forged("cpu_percentage", [1.5, 2**63], 1),
    "fractional id": forged("cpu_percentage", [1.5, 1.5], 1),
    "none given": forged("cpu_percentage", [1.5, 1], 0),
    "given backwards": forged("cpu_percentage", [1.5, 1], -1),
    "more given than a report holds": forged("cpu_percentage", [1.5, 1], 10**9),
    "more given than fits": forged("cpu_percentage", [1.5, 1], 2**63),
}


@pytest.mark.parametrize("cursor", FORGED.values(), ids=FORGED)
def test_cursor_that_is_none_of_this_list_is_refused(service: Service, cursor: str) -> None:
    answer = service.client.get("/api/hosts", params={"sort": "cpu_percentage", "cursor": cursor})
    assert (answer.status_code, answer.json()["resultCode"]) == (422, "VALIDATION")


@pytest.mark.parametrize(
    ("sort", "values"),
    [("host_name", ["\ud800"]), ("host_name", [1]), ("last_seen", ["yesterday", 1]), ("last_seen", [0, 1])],
    ids=str,
)
def test_cursor_with_a_value_no_row_has_is_refused(service: Service, sort: str, values: list[object]) -> None:
    answer = service.client.get("/api/hosts", params={"sort": sort, "cursor": forged(sort, values, 1)})
    assert (answer.status_code, answer.json()["resultCode"]) == (422, "VALIDATION")


@pytest.mark.parametrize("cursor", ["", "a b", "é", "a" * 4097, "..", "a=b"])
def test_cursor_of_wrong_letters_is_refused(sqlite: Service, cursor: str) -> None:
    assert [sqlite.client.get(path, params={"cursor": cursor}).status_code for path in FAR] == [422, 422]


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)


@given(sort=st.sampled_from(sorted(SORTS)), parts=st.lists(JSON, max_size=4) | JSON)
def test_whatever_a_cursor_holds_is_read_or_refused(sort: str, parts: object) -> None:
    text = base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")
    with contextlib.suppress(Failure):  # the one exception that is an answer
        _, many = decode(text, sort, [SORTS[sort]])
        assert 0 < many <= 2000


@given(metric=st.floats(-1e9, 1e9), host_id=st.integers(1, 2**63 - 1), many=st.integers(1, 2000))
def test_cursor_holds_every_metric_exactly(metric: float, host_id: int, many: int) -> None:
    keys = [SORTS["cpu_percentage"], SORTS["id"]]
    cursor = encode("cpu_percentage", (metric, host_id), many)
    assert decode(cursor, "cpu_percentage", keys) == ([metric, host_id], many)


def test_a_link_keeps_the_root_path_that_a_proxy_takes_off() -> None:
    scope = {"type": "http", "path": "/x/api/hosts", "root_path": "/x", "query_string": b"limit=1", "headers": []}
    _rooted(scope)
    assert scope["path"] == "/api/hosts"
    assert _next(Request(scope), "c") == "/x/api/hosts?limit=1&cursor=c"
