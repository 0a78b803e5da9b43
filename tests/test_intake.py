from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.intake import INTAKES, containers_of, host_of, refused, stored, unwritten
from tests.service import SAMPLE, Service, report

SEOUL = ZoneInfo("Asia/Seoul")
HOST = SAMPLE["host"]
FLAT = {name: value for name, value in HOST.items() if name != "host_name"}


def sample(name: str) -> dict[str, Any]:
    return {**SAMPLE, "host": {**HOST, "host_name": name}}


@pytest.mark.parametrize("path", INTAKES)
def test_the_sample_gives_exactly_the_documented_envelope(service: Service, path: str) -> None:
    answer = service.post(sample(f"sample{path}"), path)
    body = answer.json()
    host_id, timestamp = body["data"]["host_id"], body["data"]["timestamp"]
    assert answer.status_code == 200
    assert body == {
        "success": True,
        "resultCode": "0",
        "resultMessage": "container_count: 2",
        "data": {"host_id": host_id, "containers_count": 2, "timestamp": timestamp},
    }
    assert isinstance(host_id, int)
    assert abs((datetime.now(SEOUL).replace(tzinfo=None) - datetime.fromisoformat(timestamp)).total_seconds()) < 30


@pytest.mark.parametrize("path", INTAKES)
def test_twice_is_one_updated_host_two_more_rows_and_each_container_once(service: Service, path: str) -> None:
    name = f"twice{path}"
    first = stored(service.post(sample(name), path))
    again = {**sample(name), "host": {**HOST, "host_name": name, "cpu_percentage": 77.5}}
    assert stored(service.post(again, path))["host_id"] == first["host_id"]
    count = "SELECT COUNT(*) FROM containers WHERE host_id = :id"
    assert service.sql(count, id=first["host_id"]) == [(4,)]
    assert host_of(service, name)["cpu_percentage"] == 77.5
    assert [one["container_name"] for one in containers_of(service, name)] == ["nginx", "tomcat3"]


def test_every_value_is_returned_as_it_was_sent(service: Service) -> None:
    stored(service.post(sample("as-sent")))
    host = host_of(service, "as-sent")
    assert {name: host[name] for name in HOST} == {
        **HOST,
        "host_name": "as-sent",
        "get_datetime": "2025-06-23T03:02:50",
    }
    shown = containers_of(service, "as-sent")[1]
    sent = {**SAMPLE["containers"][0], "get_datetime": "2025-06-23T03:02:47", "host_name": "as-sent"}
    assert {name: shown[name] for name in sent} == sent


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("nested node", {"host": {**FLAT, "node_name": "nested node"}}),
        ("flat node", {**FLAT, "node_name": "flat node"}),
        ("flat host", {**FLAT, "host_name": "flat host", "node_name": "other"}),
        ("null host", {"host": {**FLAT, "host_name": None, "node_name": "null host"}}),
        ("with containers", {**FLAT, "node_name": "with containers", "containers": SAMPLE["containers"]}),
    ],
)
def test_every_legacy_form_is_a_host_of_that_name(sqlite: Service, form: str, body: dict[str, Any]) -> None:
    data = stored(sqlite.post(body, "/monitor_info"))
    assert data["containers_count"] == len(body.get("containers", ()))
    host = host_of(sqlite, form)
    assert (host["id"], host["cpu_percentage"], host["cpu_threads"]) == (data["host_id"], 3.9, 32)


@pytest.mark.parametrize(
    "body", [{"host": {"node_name": "x"}}, {"node_name": "x"}, {"host_name": "x"}, {"host": {}}, {"host": None}, {}]
)
def test_only_the_legacy_intake_takes_legacy_forms(sqlite: Service, body: dict[str, Any]) -> None:
    with unwritten(sqlite):
        errors = refused(sqlite.post(body), 422, "VALIDATION")["errors"]
    assert errors[0]["loc"][0] == "host"


@pytest.mark.parametrize("body", [{"host": {}}, {"host": None, "node_name": "x"}, {}, {"containers": []}])
def test_a_legacy_report_needs_a_name_too(sqlite: Service, body: dict[str, Any]) -> None:
    with unwritten(sqlite):
        refused(sqlite.post(body, "/monitor_info"), 422, "VALIDATION")


@pytest.mark.parametrize("path", INTAKES)
@pytest.mark.parametrize("containers", [{}, {"containers": None}, {"containers": []}])
def test_missing_null_and_empty_containers_mean_none(sqlite: Service, path: str, containers: dict[str, Any]) -> None:
    answer = sqlite.post({"host": {"host_name": "empty"}, **containers}, path)
    assert stored(answer)["containers_count"] == 0
    assert answer.json()["resultMessage"] == "container_count: 0"
    assert host_of(sqlite, "empty")["containers_count"] == 0


def test_what_a_container_leaves_out_has_its_default(service: Service) -> None:
    stored(service.post(report("defaults", {"container_name": "bare"})))
    [bare] = containers_of(service, "defaults")
    words = ("engine_type", "status", "cluster_name", "node_name")
    assert [bare[name] for name in words] == ["docker", "unknown", "defaults", "defaults"]
    assert [bare[name] for name in ("cpu_percentage", "memory_usage", "memory_percentage")] == [None] * 3


def test_null_is_stored_as_null_and_a_later_report_may_forget_a_value(service: Service) -> None:
    metrics = ("cpu_percentage", "memory_usage", "memory_percentage")
    counts = ("cpu_cores", "cpu_threads")
    for value in (1, None):
        fields: dict[str, Any] = dict.fromkeys((*metrics, *counts), value)
        container = {"container_name": "c", "cluster_name": None, "engine_type": None, **dict.fromkeys(metrics, value)}
        stored(service.post(report("nulls", container, get_datetime=None, **fields)))
    host, [container] = host_of(service, "nulls"), containers_of(service, "nulls")
    assert [host[name] for name in (*metrics, *counts)] == [None] * 5
    assert [container[name] for name in metrics] == [None] * 3
    assert (container["cluster_name"], container["engine_type"]) == ("nulls", "docker")


def test_two_thousand_containers_are_taken_and_duplicate_names_kept(service: Service) -> None:
    names = [f"c{number % 1999}" for number in range(2000)]
    assert stored(service.post(report("crowd", *names)))["containers_count"] == 2000
    shown = service.data("/api/containers", host_name="crowd", limit=10_000)
    assert sorted(one["container_name"] for one in shown) == sorted(names)


def test_one_container_more_is_refused(sqlite: Service) -> None:
    with unwritten(sqlite):
        [error] = refused(sqlite.post(report("crowd", *["c"] * 2001)), 422, "VALIDATION")["errors"]
    assert error["loc"] == ["containers"]


@pytest.mark.parametrize("path", INTAKES)
def test_unknown_fields_are_ignored(sqlite: Service, path: str) -> None:
    container = {"container_name": "c", "labels": {"tag": [1, None]}}
    body = {**report("unknown", container, swap="6.1"), "version": 3, "node_name": "not-this"}
    assert stored(sqlite.post(body, path))["containers_count"] == 1
    assert host_of(sqlite, "unknown")["containers_count"] == 1


@pytest.mark.parametrize("path", INTAKES)
def test_of_duplicate_keys_the_last_wins(sqlite: Service, path: str) -> None:
    host = '"host": {"host_name": "first", "cpu_percentage": 1, "host_name": "last", "cpu_percentage": 2}'
    containers = '"containers": [{"container_name": "a", "container_name": "b"}]'
    body = f'{{"host": {{"host_name": "no"}}, "containers": [], {host}, {containers}}}'
    stored(sqlite.client.post(path, content=body))
    assert host_of(sqlite, "last")["cpu_percentage"] == 2
    assert [one["container_name"] for one in containers_of(sqlite, "last")] == ["b"]
    assert sqlite.data("/api/hosts", host_name="first") == sqlite.data("/api/hosts", host_name="no") == []


def test_a_refusal_names_the_fields_and_never_what_was_sent(sqlite: Service) -> None:
    container = {"container_name": "\x07secret-text", "cpu_percentage": "secret-text"}
    with unwritten(sqlite):
        answer = sqlite.post(report("names-fields", container, cpu_cores="secret-text"))
    errors = refused(answer, 422, "VALIDATION")["errors"]
    assert [error["loc"] for error in errors] == [
        ["host", "cpu_cores"],
        ["containers", 0, "container_name"],
        ["containers", 0, "cpu_percentage"],
    ]
    assert all(error.keys() == {"loc", "type", "message"} for error in errors)
    assert "secret-text" not in answer.text


def test_a_refusal_tells_ten_errors_at_most(sqlite: Service) -> None:
    container = dict.fromkeys(("container_name", "status", "engine_type", "cpu_percentage", "memory_usage"), True)
    host = dict.fromkeys(("cpu_percentage", "cpu_cores", "cpu_threads", "memory_usage", "memory_percentage"), True)
    body = {"host": host, "containers": [container] * 2000, "age_s": -1}
    assert len(refused(sqlite.post(body), 422, "VALIDATION")["errors"]) == 10
