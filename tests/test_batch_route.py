import json
from typing import Any

import pytest

from model.envelope import Code, Failure
from tests.intake import containers_of, host_of, refused, rows, stored, unwritten
from tests.service import Service, report

MIB = 1 << 20
PATH = "/api/resources/batch"
BAD: list[Any] = [None, 1, "x", [], {}, {"host": {}}, report("\0"), report("bad", cpu_percentage=True)]


def post(service: Service, *reports: Any, **headers: str) -> Any:  # noqa: ANN401 - JSON and an answer
    """Posts a batch."""
    return service.post({"reports": list(reports)}, PATH, **headers)


def keyed(host: str, key: object, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A report of a batch with a key."""
    return {**report(host, "c", **fields), "idempotency_key": key}


def codes(results: list[dict[str, Any]]) -> list[str]:
    return [result["resultCode"] for result in results]


def test_a_batch_answers_for_each_report_in_order(service: Service) -> None:
    names = [f"batch-{number}" for number in range(20)]
    answer = post(service, *(report(name, *["c"] * number) for number, name in enumerate(names)))
    results = stored(answer)["results"]
    assert answer.json()["resultMessage"] == "report_count: 20"
    for number, (name, result) in enumerate(zip(names, results, strict=True)):
        assert result == {
            "resultCode": "0",
            "message": f"container_count: {number}",
            "host_id": host_of(service, name)["id"],
            "containers_count": number,
            "replayed": False,
        }


def test_each_report_is_accepted_or_refused_by_itself(service: Service) -> None:
    answer = post(service, report("partial-1", "c"), *BAD, report("partial-2", "c"))
    results = refused(answer, 207, "PARTIAL")["results"]
    assert codes(results) == ["0", *["VALIDATION"] * len(BAD), "0"]
    assert [containers_of(service, name)[0]["host_id"] for name in ("partial-1", "partial-2")] == [
        results[0]["host_id"],
        results[-1]["host_id"],
    ]
    for result in results[1:-1]:
        assert (result["host_id"], result["containers_count"], result["replayed"]) == (None, None, False)
        assert result["message"]


def test_a_refused_report_of_a_batch_leaves_nothing_behind(sqlite: Service) -> None:
    with unwritten(sqlite):
        results = refused(post(sqlite, *BAD), 207, "PARTIAL")["results"]
    assert codes(results) == ["VALIDATION"] * len(BAD)


def test_an_empty_batch_is_all_stored(sqlite: Service) -> None:
    with unwritten(sqlite):
        assert stored(post(sqlite)) == {"results": []}


def test_five_hundred_reports_are_taken_and_one_more_is_not(service: Service) -> None:
    reports = [report(f"five-hundred-{number}") for number in range(500)]
    assert codes(stored(post(service, *reports))["results"]) == ["0"] * 500
    with unwritten(service):
        [error] = refused(post(service, *reports, report("five-hundred-500")), 422, "VALIDATION")["errors"]
    assert error["loc"] == ["reports"]


@pytest.mark.parametrize(
    "body", [{}, {"reports": None}, {"reports": {}}, {"reports": "x"}, [report("no-batch")], None, 1]
)
def test_what_is_no_batch_is_refused_as_a_whole(sqlite: Service, body: object) -> None:
    with unwritten(sqlite):
        refused(sqlite.client.post(PATH, content=json.dumps(body)), 422, "VALIDATION")


def test_two_mebibytes_are_taken_and_one_byte_more_is_not(sqlite: Service) -> None:
    body = json.dumps({"reports": [report("two-mebibytes")]}).encode()
    assert stored(sqlite.client.post(PATH, content=body.ljust(2 * MIB)))["results"][0]["resultCode"] == "0"
    refused(sqlite.client.post(PATH, content=body.ljust(2 * MIB + 1)), 413, "TOO_LARGE")


def test_reports_of_one_host_keep_their_order(service: Service) -> None:
    results = stored(post(service, *(report("ordered", f"c{cpu}", cpu_percentage=cpu) for cpu in range(50))))["results"]
    assert len({result["host_id"] for result in results}) == 1
    assert host_of(service, "ordered")["cpu_percentage"] == 49
    assert [one["container_name"] for one in containers_of(service, "ordered")] == ["c49"]


def test_a_backlog_in_one_batch_ends_with_its_youngest_report(service: Service) -> None:
    ages = (0, 30, 10, 20)
    backlog = [{**report("ages", f"c{age_s}", cpu_percentage=age_s), "age_s": age_s} for age_s in ages]
    results = stored(post(service, *backlog))["results"]
    assert host_of(service, "ages")["cpu_percentage"] == 0
    assert [one["container_name"] for one in containers_of(service, "ages")] == ["c0"]
    count = "SELECT COUNT(*) FROM reports WHERE host_id = :id"
    assert service.sql(count, id=results[0]["host_id"]) == [(4,)]


def test_a_key_of_a_report_in_a_batch_makes_a_repeat_of_it(service: Service) -> None:
    one, two = keyed("keyed-1", "k"), keyed("keyed-2", "k")
    first = stored(post(service, one, two))["results"]
    with unwritten(service):
        again = stored(post(service, two, one))["results"]
    assert [result["replayed"] for result in (*first, *again)] == [False, False, True, True]
    assert [result["host_id"] for result in again] == [result["host_id"] for result in reversed(first)]


def test_a_key_names_the_same_report_in_a_batch_and_alone(service: Service) -> None:
    stored(service.post(report("alone", "c"), Idempotency_Key="k"))
    with unwritten(service):
        [result] = stored(post(service, keyed("alone", "k")))["results"]
    assert result["replayed"]


def test_one_key_twice_in_a_batch_is_written_once(service: Service) -> None:
    before = rows(service)
    results = stored(post(service, *[keyed("twins", "k")] * 2))["results"]
    assert sorted(result["replayed"] for result in results) == [False, True]
    assert rows(service)[1] == before[1] + 1


def test_a_key_used_with_other_content_is_refused_alone(service: Service) -> None:
    batch = [keyed("other", "k", cpu_percentage=1), keyed("other", "k", cpu_percentage=2), keyed("other", "l")]
    results = refused(post(service, *batch), 207, "PARTIAL")["results"]
    assert codes(results) == ["0", "KEY_MISMATCH", "0"]


@pytest.mark.parametrize("key", ["", "a b", "\x7f", "\u00e9", "x" * 256, 1, True, ["k"]])
def test_a_bad_key_refuses_its_report_alone(sqlite: Service, key: object) -> None:
    results = refused(post(sqlite, keyed("bad-key", key), report("good")), 207, "PARTIAL")["results"]
    assert codes(results) == ["VALIDATION", "0"]
    assert sqlite.data("/api/hosts", host_name="bad-key") == []


@pytest.mark.parametrize("key", [None, "!", "~" * 255])
def test_any_visible_ascii_is_a_key_and_null_is_none(sqlite: Service, key: str | None) -> None:
    before = rows(sqlite)[1]
    for _ in range(2):
        stored(post(sqlite, keyed("good-key", key)))
    assert rows(sqlite)[1] == before + (2 if key is None else 1)


@pytest.mark.parametrize("code", [Code.OVERLOADED, Code.DB_UNAVAILABLE, Code.COMMIT_UNKNOWN, Code.STORAGE_FULL])
def test_what_may_be_sent_again_says_so_in_its_place(
    sqlite: Service, monkeypatch: pytest.MonkeyPatch, code: Code
) -> None:
    writer = sqlite.state["writer"]
    submit = writer.submit

    def failing(report_: Any, key: str | None) -> Any:  # noqa: ANN401 - a future
        if report_.host.host_name == "unlucky":
            raise Failure(code, "try again")
        return submit(report_, key)

    monkeypatch.setattr(writer, "submit", failing)
    results = refused(post(sqlite, report("lucky"), report("unlucky")), 207, "PARTIAL")["results"]
    assert codes(results) == ["0", code]
    assert results[1]["message"] == "try again"
