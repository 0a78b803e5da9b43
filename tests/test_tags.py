"""The words by which operators group hosts, and hosts that are given another name."""

import httpx
import pytest

from model.fields import MAX_TAGS
from tests.console import manage
from tests.intake import containers_of, host_of, refused
from tests.service import Service, report
from tests.test_manage import url_of

pytestmark = pytest.mark.history


def stored(service: Service, name: str, *shown: str) -> int:
    host_id: int = service.post(report(name, *shown)).json()["data"]["host_id"]
    return host_id


def put(service: Service, host_id: int, *tags: object, **headers: str) -> httpx.Response:
    return service.client.put(f"/api/hosts/{host_id}/tags", json={"tags": tags}, headers=headers)


def test_a_host_has_the_tags_that_it_was_given_last(service: Service) -> None:
    host_id = stored(service, "tagged", "web")
    assert host_of(service, "tagged")["tags"] == []
    for given, kept in ((["b", " 서울 😀 ", "b", "B"], ["B", "b", "서울 😀"]), (["c"], ["c"]), ([], [])):
        answer = put(service, host_id, *given)
        assert (answer.status_code, answer.json()["data"]) == (200, {"tags": kept})
        assert host_of(service, "tagged")["tags"] == kept == service.data(f"/api/hosts/{host_id}")["tags"]


def test_lists_are_filtered_by_tags_and_several_mean_all_of_them(service: Service) -> None:
    ids = [stored(service, f"filter-{number}", f"box{number}") for number in range(3)]
    for host_id, given in zip(ids, (["x"], ["x", "y"], ["Y"]), strict=True):
        put(service, host_id, *given)
    for asked, found in ((["x"], ids[:2]), (["x", "y"], ids[1:2]), (["y"], ids[1:2]), (["x", "none"], [])):
        assert [host["id"] for host in service.data("/api/hosts", tag=asked, q="filter-")] == found
        assert [box["host_id"] for box in service.data("/api/containers", tag=asked)] == found
        of_host = service.data(f"/api/hosts/{ids[1]}/containers", tag=asked)
        assert [box["host_id"] for box in of_host] == [one for one in found if one == ids[1]]


def test_each_host_of_a_long_page_has_its_own_tags(service: Service) -> None:
    service.post({"reports": [report(f"many-{number:03}") for number in range(120)]}, "/api/resources/batch")
    chosen = service.data("/api/hosts", q="many-")[7:110:50]
    for host in chosen:
        put(service, host["id"], host["host_name"], "all")
    found = {host["host_name"]: host["tags"] for host in service.data("/api/hosts", q="many-")}
    assert {name: tags for name, tags in found.items() if tags} == {
        host["host_name"]: ["all", host["host_name"]] for host in chosen
    }


def test_a_page_goes_on_with_the_same_filter(service: Service) -> None:
    for number in range(3):
        put(service, stored(service, f"paged-{number}", "box"), "paged")
    for path in ("/api/hosts", "/api/containers"):
        first = service.client.get(path, params={"tag": "paged", "limit": 2})
        second = service.client.get(first.links["next"]["url"])
        assert [len(answer.json()["data"]) for answer in (first, second)] == [2, 1]
        assert first.headers["x-total-count"] == "3"


def test_a_change_of_tags_changes_the_etag(service: Service) -> None:
    host_id = stored(service, "etag")
    before = service.client.get("/api/hosts?host_name=etag").headers["etag"]
    put(service, host_id, "new")
    again = service.client.get("/api/hosts?host_name=etag", headers={"If-None-Match": before})
    assert again.status_code == 200
    assert again.headers["etag"] != before


@pytest.mark.parametrize("tag", ["", "  ", "x" * 65, "a\nb", "a\0", "a\u202eb", 5, None, "x\x7f"])
def test_what_is_no_tag_is_refused(service: Service, tag: object) -> None:
    host_id = stored(service, "strict")
    put(service, host_id, "kept")
    refused(put(service, host_id, "good", tag), 422, "VALIDATION")
    assert host_of(service, "strict")["tags"] == ["kept"]


def test_a_host_has_fifty_tags_at_most(service: Service) -> None:
    host_id = stored(service, "fifty")
    most = [f"{'x' * 62}{number:02}" for number in range(MAX_TAGS)]
    assert put(service, host_id, *most).json()["data"]["tags"] == most
    refused(put(service, host_id, *most, "y"), 422, "VALIDATION")
    done = manage(url_of(service), "host", "tag", "fifty", "+y")
    assert (done.status, done.words) == (1, f"Error: a host has {MAX_TAGS} tags at most")


def test_other_bodies_are_refused(sqlite: Service) -> None:
    path = f"/api/hosts/{stored(sqlite, 'bodies')}/tags"
    refused(sqlite.client.put(path, content=b"{"), 400, "BAD_JSON")
    for body in (b"[]", b"{}", b'{"tags": "x"}', b'{"tags": [], "more": 1}'):
        refused(sqlite.client.put(path, content=body), 422, "VALIDATION")
    refused(sqlite.client.put(path, content=b" " * 70_000), 413, "TOO_LARGE")
    refused(sqlite.client.put(path, data={"tags": "x"}), 415, "UNSUPPORTED")


def test_nobody_gives_tags_to_a_host_that_is_not_there(service: Service) -> None:
    host_id = stored(service, "forgotten")
    service.client.delete(f"/api/hosts/{host_id}")
    for absent in (host_id, 10**15):
        refused(put(service, absent, "x"), 404, "NOT_FOUND")


def test_no_web_page_gives_tags(sqlite: Service) -> None:
    host_id = stored(sqlite, "safe")
    refused(put(sqlite, host_id, "x", Origin="https://evil.example"), 403, "FORBIDDEN")
    assert host_of(sqlite, "safe")["tags"] == []


def test_the_command_gives_and_takes_tags(service: Service) -> None:
    stored(service, "by command")
    for given, said in (
        ([], "no tags"),
        (["+web", "+-x", "+a b"], "-x\na b\nweb"),
        (["-a b", "--x", "+A"], "A\nweb"),
    ):
        done = manage(url_of(service), "host", "tag", "by command", *given)
        assert (done.status, done.words) == (0, said)
    assert host_of(service, "by command")["tags"] == ["A", "web"]
    assert manage(url_of(service), "host", "tag", "by command", "web").status == 2
    assert manage(url_of(service), "host", "tag", "by command", "+").status == 2
    assert manage(url_of(service), "host", "tag", "nobody", "+x").words == "Error: no host of that name"


# Another name


def test_a_renamed_host_keeps_its_id_and_its_past(service: Service) -> None:
    host_id = stored(service, "web-1", "box")
    done = manage(url_of(service), "host", "rename", "web-1", " web-01 ")
    assert done == (0, f"host {host_id} is renamed; a report under its old name makes a new host")
    assert host_of(service, "web-01")["id"] == host_id == stored(service, "web-01", "box")
    assert [box["host_name"] for box in containers_of(service, "web-01")] == ["web-01"]
    assert len(service.data("/api/history", host_id=host_id, step="raw")["points"]) == 2


def test_a_server_that_remembers_the_old_name_writes_to_a_new_host(service: Service) -> None:
    """Nothing is lost, and nothing more of the old name comes to the renamed host."""
    host_id = stored(service, "remembered", "box")
    assert manage(url_of(service), "host", "rename", "remembered", "renamed").status == 0
    new = [stored(service, "remembered", "box") for _ in range(2)]
    assert set(new) == {new[0]} != {host_id}
    assert service.sql("SELECT COUNT(*) FROM reports WHERE host_id = :id", id=host_id) == [(1,)]
    assert service.sql("SELECT COUNT(*) FROM reports WHERE host_id = :id", id=new[0]) == [(2,)]


def test_two_names_that_change_places_do_not_mix(service: Service) -> None:
    first, second = stored(service, "left"), stored(service, "right")
    for names in (("left", "between"), ("right", "left"), ("between", "right")):
        assert manage(url_of(service), "host", "rename", *names).status == 0
    assert (stored(service, "right"), stored(service, "left")) == (first, second)


def test_a_name_that_is_taken_or_wrong_is_refused(service: Service) -> None:
    stored(service, "one")
    stored(service, "other")
    done = manage(url_of(service), "host", "rename", "one", "other")
    assert (done.status, done.words) == (1, "Error: there is a host of that name: merge the two")
    assert manage(url_of(service), "host", "rename", "nobody", "new").words == "Error: no host of that name"
    for wrong in ("", " ", "x" * 256, "a\x1fb"):
        assert manage(url_of(service), "host", "rename", "one", wrong).status == 2
    told = manage(url_of(service), "host", "rename", "one", "a\x1fb").words
    assert told.endswith("should have no control or bidirectional-override characters")
    assert len(service.data("/api/hosts", host_name="one")) == 1
