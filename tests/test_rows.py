from ast import literal_eval
from typing import Any

import pytest

from database.rows import (
    HOST_COLUMNS,
    HOST_DETAILS,
    REPORT_BYTES,
    ROW_BYTES,
    Prepared,
    Row,
    byte_count,
    key_of,
    prepare,
)
from model.schemas import Report
from tests.service import report

RECEIVED = 1_750_000_000_000_000
NOW = "2025-06-15 15:06:40"
AGENTS = "2025-06-23 03:02:47"


class Rows:
    """A dialect whose text can be read back."""

    def finish(self, rows: list[Row]) -> str:
        return repr(rows)


def prepared(body: dict[str, Any], key: str | None = None, now: str = NOW) -> Prepared:
    return prepare(Report.model_validate(body), key=key, received_at=RECEIVED, now_local=now, dialect=Rows())


def rows_of(made: Prepared) -> list[Row]:
    rows: list[Row] = literal_eval(made.containers)
    return rows


def test_a_container_that_says_all_is_stored_as_sent() -> None:
    full = dict(zip(("engine_type", "cluster_name", "node_name", "container_name", "status"), "abcde", strict=True))
    metrics = {"cpu_percentage": 1.5, "memory_usage": 2.5, "memory_percentage": 3.5, "get_datetime": AGENTS}
    made = prepared(report("h", {**full, **metrics}))
    assert rows_of(made) == [("a", "b", "c", "d", "e", 1.5, 2.5, 3.5, AGENTS)]


def test_what_a_container_leaves_out_is_filled_in() -> None:
    made = prepared(report("h", {"container_name": "c"}))
    assert rows_of(made) == [("docker", "h", "h", "c", "unknown", None, None, None, NOW)]


def test_a_host_is_stored_as_sent() -> None:
    host = {"cpu_percentage": 1.5, "cpu_cores": 2, "cpu_threads": 4, "memory_usage": 2.5, "memory_percentage": 3.5}
    nothing = (None,) * len(HOST_DETAILS)
    assert prepared(report("h", **host, get_datetime=AGENTS)).host == (1.5, 2, 4, 2.5, 3.5, AGENTS, *nothing)
    assert prepared(report("h")).host == (None, None, None, None, None, NOW, *nothing)
    details = dict(zip(HOST_DETAILS, ("os", "kernel", 3, 0.5, 1.5, 2.5, 7, 8), strict=True))
    assert prepared(report("h", **details)).host[len(HOST_COLUMNS) :] == tuple(details.values())


def test_a_report_is_detailed_if_one_of_its_containers_is() -> None:
    plain, told = {"container_name": "a"}, {"container_name": "b", "exit_code": None}
    assert [prepared(report("h", *some)).detailed for some in ([plain], [plain, told], [])] == [False, True, False]
    rows = rows_of(prepared(report("h", plain, {**told, "image": "i"})))
    assert [row[9:] for row in rows] == [(None,) * 7, (None, "i", None, None, None, None, None)]


@pytest.mark.parametrize("name", ["cpu_percentage", "memory_usage", "memory_percentage"])
def test_negative_zero_is_zero(name: str) -> None:
    made = prepared(report("h", {"container_name": "c", name: -0.0}, **{name: -0.0}))
    assert "-0.0" not in repr((made.host, made.containers))
    assert 0.0 in made.host
    assert 0.0 in rows_of(made)[0]


def test_a_time_left_out_in_one_place_is_filled_in_there_alone() -> None:
    times = [{"container_name": "a", "get_datetime": AGENTS}, {"container_name": "b"}]
    made = prepared(report("h", *times, get_datetime=AGENTS))
    assert [made.host[5], *(row[-1] for row in rows_of(made))] == [AGENTS, AGENTS, NOW]
    assert prepared(report("h", times[0])).host[5] == NOW


def test_a_time_alone_may_be_left_out() -> None:
    container = dict.fromkeys(("cpu_percentage", "memory_usage", "memory_percentage"), 1.5)
    assert prepared(report("h", cpu_cores=2, memory_percentage=1.5)).host[5] == NOW
    made = prepared(report("h", {"container_name": "c", **container}, get_datetime=AGENTS))
    assert rows_of(made)[0][-1] == NOW


def test_containers_are_counted_and_those_that_run() -> None:
    states = ("running", "exited", "running", "Running", "")
    made = prepared(report("h", *({"container_name": "c", "status": status} for status in states)))
    assert (made.containers_count, made.running) == (5, 2)
    assert (prepared(report("h")).containers_count, prepared({"host": {"host_name": "h"}}).running) == (0, 0)


def test_a_report_weighs_its_rows_and_what_stands_around_them() -> None:
    assert prepared(report("h")).size == REPORT_BYTES + len("[]")
    made = prepared(report("서버", "a", "b"))
    assert made.size == REPORT_BYTES + 2 * ROW_BYTES + len(made.containers.encode())


def test_bytes_are_counted_not_letters() -> None:
    assert (byte_count("abc"), byte_count("서버")) == (3, 6)


@pytest.mark.parametrize(("age_s", "micros"), [(0, 0), (1.5, 1_500_000), (604_800, 604_800_000_000)])
def test_a_report_was_sampled_its_age_before_it_was_received(age_s: float, micros: int) -> None:
    made = prepared({**report("h"), "age_s": age_s})
    assert (made.received_at, made.sampled_at) == (RECEIVED, RECEIVED - micros)


def test_a_key_names_a_report_of_one_host() -> None:
    made = prepared(report("h"), "k")
    assert made.host_name == "h"
    assert made.report_key == key_of("h", "k")
    assert len({made.report_key, key_of("g", "k"), key_of("h", "l"), key_of("hk", ""), key_of("", "hk")}) == 5
    assert {len(made.report_key or b""), len(made.content_hash)} == {16}


def test_a_keys_bytes_never_change() -> None:
    """A key that was stored before an update is a repeat after it."""
    assert key_of("서버", "k").hex() == "3b478e9179c88f04abb59da10502468c"
    assert (
        prepared(report("h", {"container_name": "c", "cpu_percentage": 0.1}), "k").content_hash.hex()
        == "7ca78cd92d344a1f1e3794119de199ff"
    )


def test_without_a_key_equal_reports_are_told_apart() -> None:
    one, other = prepared(report("h", "c")), prepared(report("h", "c"))
    assert (one.report_key, other.report_key) == (None, None)
    assert one.content_hash != other.content_hash
    assert len(one.content_hash) == 16


def test_a_repeat_is_the_same_whenever_it_comes() -> None:
    body = report("h", "a")
    assert prepared(body, "k").content_hash == prepared(body, "k", "2025-06-15 15:06:41").content_hash


@pytest.mark.parametrize("other", [report("h", "a", "b"), report("h", "b"), report("h", "a", cpu_cores=1)])
def test_other_content_is_another_report(other: dict[str, Any]) -> None:
    assert prepared(report("h", "a"), "k").content_hash != prepared(other, "k").content_hash


def test_a_new_report_has_no_id_and_is_not_written() -> None:
    made = prepared(report("h"))
    assert (made.host_id, made.maybe_stored, made.awaited) == (0, False, False)
