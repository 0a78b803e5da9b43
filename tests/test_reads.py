from typing import Any, get_args

import httpx
import pytest

from database.rows import CONTAINER_DETAILS, HOST_DETAILS
from model.queries import ContainerSort, HostSort
from tests.service import SAMPLE, Service, report

ENVELOPE = {"success", "resultCode", "resultMessage", "data"}
LOWEST = float("-inf")


def one_host(service: Service, name: str) -> Any:  # noqa: ANN401 - JSON
    [host] = service.data("/api/hosts", host_name=name)
    return host


def names(rows: list[dict[str, Any]], noun: str = "host") -> list[str]:
    return [row[f"{noun}_name"] for row in rows]


def refused(answer: httpx.Response, *statuses: int) -> bool:
    body = answer.json()
    return answer.status_code in statuses and body["success"] is False and body.keys() == ENVELOPE


def test_host_has_the_owners_columns_and_its_state(service: Service) -> None:
    service.post({**SAMPLE, "host": {**SAMPLE["host"], "host_name": "columns"}})
    host = one_host(service, "columns")
    owners = {**SAMPLE["host"], "host_name": "columns", "get_datetime": "2025-06-23T03:02:50"}
    own = {"status": "online", "containers_count": 2, "containers_running": 1, "tags": []}
    assert {**host, **owners, **own} == host
    assert host.keys() == {*owners, *own, "id", "last_seen", "sampled_at", "resolution", *HOST_DETAILS}
    assert service.data(f"/api/hosts/{host['id']}") == host


def test_container_has_the_owners_columns_and_its_host(service: Service) -> None:
    host_id = service.post({**SAMPLE, "host": {**SAMPLE["host"], "host_name": "boxes"}}).json()["data"]["host_id"]
    first, second = service.data(f"/api/hosts/{host_id}/containers")
    owners = {**SAMPLE["containers"][0], "get_datetime": "2025-06-23T03:02:47", "host_id": host_id}
    assert {**second, **owners, "host_name": "boxes"} == second
    assert second.keys() == {*owners, "host_name", "id", "sampled_at", "resolution", *CONTAINER_DETAILS}
    assert service.data("/api/containers", host_name="boxes") == [first, second]


def test_what_was_not_reported_is_null(service: Service) -> None:
    service.post(report("unknown metrics", "box"))
    host, [box] = one_host(service, "unknown metrics"), service.data("/api/containers", host_name="unknown metrics")
    metrics = ("cpu_percentage", "memory_usage", "memory_percentage")
    assert {host[name] for name in (*metrics, "cpu_cores", "cpu_threads")} == {None}
    assert {box[name] for name in metrics} == {None}


def test_current_containers_are_those_of_the_newest_report(service: Service) -> None:
    host_id = [service.post(report("newest", *boxes)).json() for boxes in (("a", "b"), ("b", "c"))][1]["data"][
        "host_id"
    ]
    assert names(service.data(f"/api/hosts/{host_id}/containers"), "container") == ["b", "c"]
    assert names(service.data("/api/containers", host_name="newest"), "container") == ["b", "c"]
    service.post(report("newest"))
    assert service.data("/api/containers", host_name="newest") == []
    assert one_host(service, "newest")["containers_count"] == 0


def test_late_report_never_replaces_a_newer_one(service: Service) -> None:
    service.post(report("late", "new", cpu_percentage=2))
    service.post({**report("late", "old", cpu_percentage=1), "age_s": 60})
    assert one_host(service, "late")["cpu_percentage"] == 2
    assert names(service.data("/api/containers", host_name="late"), "container") == ["new"]


def test_several_containers_of_one_name_are_all_listed(service: Service) -> None:
    service.post(report("twins", "web", "web", "db"))
    assert names(service.data("/api/containers", host_name="twins"), "container") == ["db", "web", "web"]


FLEET: list[dict[str, Any]] = [
    {"cpu_percentage": 5, "memory_usage": 1.5, "memory_percentage": None, "boxes": (1, None, 7)},
    {"cpu_percentage": None, "memory_usage": 1.5, "memory_percentage": 50, "boxes": ()},
    {"cpu_percentage": 5, "memory_usage": None, "memory_percentage": 50.5, "boxes": (1, 0.1, None, 1e9)},
    {"cpu_percentage": -1, "memory_usage": 0, "memory_percentage": 50, "boxes": (-3,)},
    {"cpu_percentage": None, "memory_usage": 0.1, "memory_percentage": None, "boxes": (2, 2)},
]


@pytest.fixture(scope="module")
def fleet(service: Service) -> Service:
    """A few hosts with unknown and equal values, reported in no order."""
    for number in (3, 0, 4, 1, 2):
        host = dict(FLEET[number])
        boxes = [
            {
                "container_name": f"box{place % 2}",
                "status": ("running", "exited", "Up 3 hours")[place % 3],
                "cluster_name": "fleet",
                "node_name": f"node{place % 2}",
                "engine_type": ("docker", "podman")[place % 2],
                "cpu_percentage": value,
                "memory_usage": value,
                "memory_percentage": value,
            }
            for place, value in enumerate(host.pop("boxes"))
        ]
        service.post(report(f"fleet-{number}", *boxes, **host))
    return service


def ordered(rows: list[dict[str, Any]], sort: str, *then: str) -> list[dict[str, Any]]:
    """The rows as they should stand: unknown below everything, what is equal in the order of `then` both ways."""
    column = sort.removeprefix("-")
    for name in reversed(then):
        rows = sorted(rows, key=lambda row: row[name])
    return sorted(rows, key=lambda row: LOWEST if row[column] is None else row[column], reverse=sort.startswith("-"))


@pytest.mark.parametrize("sort", get_args(HostSort))
def test_hosts_are_sorted_by_every_column_both_ways(fleet: Service, sort: str) -> None:
    rows = fleet.data("/api/hosts", q="fleet-", sort=sort)
    assert len(rows) == len(FLEET)
    assert rows == ordered(rows, sort, "id")


@pytest.mark.parametrize("sort", get_args(ContainerSort))
def test_containers_are_sorted_by_every_column_both_ways(fleet: Service, sort: str) -> None:
    rows = fleet.data("/api/containers", cluster_name="fleet", sort=sort)
    then = [name for name in ("host_name", "container_name") if name != sort.removeprefix("-")]
    assert len(rows) == sum(len(host["boxes"]) for host in FLEET)
    assert rows == ordered(rows, sort, *then)


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"host_name": "fleet-3"}, "3"),
        ({"node_name": "node1"}, "024"),
        ({"engine_type": "podman"}, "024"),
        ({"cluster_name": "fleet"}, "0234"),
        ({"cluster_name": "Fleet"}, ""),
        ({"cluster_name": "fleet", "engine_type": "podman", "host_name": "fleet-4"}, "4"),
        ({"status": "online"}, "01234"),
        ({"status": "offline"}, ""),
    ],
)
def test_hosts_are_filtered(fleet: Service, asked: dict[str, str], numbers: str) -> None:
    found = fleet.data("/api/hosts", q="FLEET-", **asked)
    assert names(found) == [f"fleet-{number}" for number in numbers]


@pytest.mark.parametrize(
    ("asked", "values"),
    [
        ({"host_name": "fleet-0"}, [1, 7, None]),
        ({"status": "exited"}, [None, 0.1, 2]),
        ({"status": "Up 3 hours", "host_name": "fleet-0"}, [7]),
        ({"status": "up 3 hours"}, []),
        ({"node_name": "node1"}, [None, 0.1, 1e9, 2]),
        ({"engine_type": "podman", "host_name": "fleet-2"}, [0.1, 1e9]),
        ({"q": "OX1", "host_name": "fleet-4"}, [2]),
    ],
)
def test_containers_are_filtered(fleet: Service, asked: dict[str, str], values: list[float | None]) -> None:
    found = [row["cpu_percentage"] for row in fleet.data("/api/containers", cluster_name="fleet", **asked)]
    assert sorted(found, key=str) == sorted(values, key=str)


def test_host_id_filters_both_lists(fleet: Service) -> None:
    host_id = one_host(fleet, "fleet-2")["id"]
    assert names(fleet.data("/api/hosts", host_id=host_id)) == ["fleet-2"]
    assert set(names(fleet.data("/api/containers", host_id=host_id))) == {"fleet-2"}
    assert fleet.data(f"/api/hosts/{host_id}/containers", host_id=host_id + 1) == []


@pytest.mark.parametrize(
    ("name", "part", "other"),
    [
        ("q-WEB-server", "web-S", "web_s"),
        ("q-Café-ÉTÉ", "café-été", "cafe"),
        ("q-서버-가나", "서버", "서비"),
        ("q-a%b", "A%B", "a%%"),
        ("q-a_c", "_", "a_d"),
        ("q-it's", "t'S", "''"),
        ('q-say "x"', '"X', '""'),
        ("q-back\\slash", "k\\s", "\\\\"),
        ("q-😀", "😀", "😁"),
    ],
)
def test_q_finds_a_part_of_the_name_and_takes_no_letter_for_more(
    service: Service, name: str, part: str, other: str
) -> None:
    service.post(report(name, name))
    for path, noun in (("/api/hosts", "host"), ("/api/containers", "container")):
        found = {search: names(service.data(path, q=search), noun) for search in (part, f"q-{other}")}
        assert found == {part: [row for row in found[part] if part.lower() in row.lower()], f"q-{other}": []}
        assert name in found[part]


def test_names_that_differ_in_case_or_accent_stay_apart(service: Service) -> None:
    for name in ("apart", "Apart", "âpart"):
        service.post(report(name))
    assert names(service.data("/api/hosts", host_name="Apart")) == ["Apart"]
    assert names(service.data("/api/hosts", q="APART")) == ["Apart", "apart"]


LISTS = ("/api/hosts", "/api/containers", "/api/hosts/1/containers")


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "asked",
    [
        *({"limit": limit} for limit in ("0", "-1", "10001", "1e99", "ten", "", "1.5", "9" * 400)),
        *({"sort": sort} for sort in ("", "name", "--host_name", "host_name;", "deleted_at")),
        *({"host_id": number} for number in ("0", "-1", str(2**63), "x")),
        *({"q": text} for text in ("\x00", "a\u202eb", "x" * 256)),
        {"hostname": "misspelt"},
        {"LIMIT": "1"},
    ],
    ids=str,
)
def test_wrong_or_unknown_parameter_is_refused(sqlite: Service, path: str, asked: dict[str, str]) -> None:
    answer = sqlite.client.get(path, params=asked)
    assert refused(answer, 422)
    assert answer.json()["resultCode"] == "VALIDATION"
    assert answer.json()["data"]["errors"][0]["loc"] == ["query", next(iter(asked))]


def test_a_hosts_status_is_one_of_two(sqlite: Service) -> None:
    assert refused(sqlite.client.get("/api/hosts", params={"status": "running"}), 422)


IDS = (
    "0",
    "-1",
    str(2**63 - 1),
    str(2**63),
    str(2**64),
    "9" * 5000,
    "abc",
    "1.5",
    "1e3",
    "0x1",
    "%00",
    "%20",
    "\u0661",
    "'",
)


@pytest.mark.parametrize("host_id", IDS, ids=lambda text: text[:20])
def test_id_of_no_host_is_an_envelope_on_every_route(service: Service, host_id: str) -> None:
    for method, path in (("GET", ""), ("GET", "/containers"), ("DELETE", "")):
        assert refused(service.client.request(method, f"/api/hosts/{host_id}{path}"), 404, 422)


def test_list_tells_how_many_there_are(service: Service) -> None:
    for name in ("total-1", "total-2", "total-3"):
        service.post(report(name))
    whole = service.client.get("/api/hosts", params={"q": "total-"})
    part = service.client.get("/api/hosts", params={"q": "total-", "limit": 2})
    none = service.client.get("/api/containers", params={"host_name": "total-1"})
    assert [one.headers["x-total-count"] for one in (whole, part, none)] == ["3", "3", "0"]
    messages = [one.json()["resultMessage"] for one in (whole, part, none)]
    assert messages == ["host_count: 3", "host_count: 2 of 3", "container_count: 0"]


def test_containers_are_cut_at_a_thousand_and_it_says_so(service: Service) -> None:
    host_id = service.post(report("many", *(f"box{number}" for number in range(1200)))).json()["data"]["host_id"]
    answer = service.client.get(f"/api/hosts/{host_id}/containers")
    assert answer.json()["resultMessage"] == "container_count: 1000 of 1200"
    assert (len(answer.json()["data"]), answer.headers["x-total-count"]) == (1000, "1200")
    assert len(service.data(f"/api/hosts/{host_id}/containers", limit=10_000)) == 1200


@pytest.mark.parametrize("path", ["/api/hosts?q=slash", "/api/containers?q=slash", "/health/live", "/config"])
def test_trailing_slash_is_accepted_without_a_redirect(sqlite: Service, path: str) -> None:
    sqlite.post(report("slash", "slash"))
    route, _, query = path.partition("?")
    straight, slashed = sqlite.client.get(path), sqlite.client.get(f"{route}/?{query}")
    assert (slashed.status_code, slashed.content) == (200, straight.content)
