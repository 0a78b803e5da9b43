import httpx
import pytest

from tests.service import Service, report

LISTS = ("/api/hosts?host_name={}", "/api/containers?host_name={}")


def listed(service: Service, path: str, name: str, *known: str) -> httpx.Response:
    headers = [("If-None-Match", tag) for tag in known]
    return service.client.get(path.format(name), headers=headers)


@pytest.mark.parametrize("path", LISTS)
def test_unchanged_list_costs_no_body(service: Service, path: str) -> None:
    service.post(report("same", "box"))
    first = listed(service, path, "same")
    again = listed(service, path, "same", first.headers["etag"])
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["x-total-count"] == "1"


@pytest.mark.parametrize("path", LISTS)
def test_new_report_changes_the_tag(service: Service, path: str) -> None:
    service.post(report("changing", "box"))
    tag = listed(service, path, "changing").headers["etag"]
    service.post(report("changing", "box"))
    again = listed(service, path, "changing", tag)
    assert again.status_code == 200
    assert again.headers["etag"] != tag


@pytest.mark.parametrize(
    ("known", "status"),
    [
        (["W/{}"], 304),
        (["*"], 304),
        (['"other", {}'], 304),
        (['W/"other" ,W/{},"third"'], 304),
        (['"other"', "{}"], 304),
        (['"other"'], 200),
        (["{}x"], 200),
        ([""], 200),
        ([","], 200),
        (["\x80\xff"], 200),
    ],
    ids=str,
)
def test_tag_may_be_weak_any_or_one_of_several(sqlite: Service, known: list[str], status: int) -> None:
    sqlite.post(report("tags"))
    tag = listed(sqlite, LISTS[0], "tags").headers["etag"]
    headers = [(b"If-None-Match", one.format(tag).encode("latin-1")) for one in known]
    assert sqlite.client.get(LISTS[0].format("tags"), headers=headers).status_code == status


def test_tag_is_of_the_page_and_its_order(sqlite: Service) -> None:
    for name in ("page-1", "page-2"):
        sqlite.post(report(name))
    asked: list[dict[str, str]] = [{}, {"limit": "1"}, {"sort": "-host_name"}, {"sort": "-host_name", "limit": "1"}]
    tags = {sqlite.client.get("/api/hosts", params={"q": "page-", **more}).headers["etag"] for more in asked}
    assert len(tags) == 4


def test_unchanged_page_still_leads_to_the_next(sqlite: Service) -> None:
    for name in ("next-1", "next-2"):
        sqlite.post(report(name))
    first = sqlite.client.get("/api/hosts?q=next-&limit=1")
    again = sqlite.client.get("/api/hosts?q=next-&limit=1", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.links) == (304, first.links)
