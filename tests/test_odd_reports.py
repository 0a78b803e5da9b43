from typing import Any

import pytest

from model.schemas import Report
from services.oddities import oddities
from tests.service import report

EARLIEST, LATEST = "2025-06-23 03:02:50", "2025-06-23 03:22:50"
FULL = {"cpu_percentage": 100, "memory_percentage": 100}


def odd(body: dict[str, Any]) -> list[str]:
    return oddities(Report.model_validate(body), EARLIEST, LATEST)


def percentages(host: dict[str, Any], *containers: dict[str, Any]) -> bool:
    """Whether a report's percentages are odd."""
    named = [{"container_name": str(number), **one} for number, one in enumerate(containers)]
    return odd(report("h", *named, **host)) == ["percentage_out_of_range"]


@pytest.mark.parametrize("body", [report("h"), {"host": {"host_name": "h"}}, report("h", "a", "b")])
def test_a_plain_report_is_not_odd(body: dict[str, Any]) -> None:
    assert odd(body) == []


def test_all_that_is_odd_is_named() -> None:
    body = report("h", "a", "a", cpu_percentage=-1, get_datetime="2025-06-23 00:00:00")
    assert odd(body) == ["duplicate_containers", "percentage_out_of_range", "clock_skew"]


@pytest.mark.parametrize(
    ("at", "skewed"),
    [
        (EARLIEST, False),
        (LATEST, False),
        ("2025-06-23 03:02:49", True),
        ("2025-06-23 03:22:51", True),
    ],
)
def test_a_clock_may_be_off_so_far(at: str, skewed: bool) -> None:  # noqa: FBT001 - a case
    assert odd(report("h", get_datetime=at)) == ["clock_skew"] * skewed


@pytest.mark.parametrize("name", FULL)
@pytest.mark.parametrize(("value", "out"), [(-0.1, True), (0, False), (100, False), (100.1, True)])
def test_a_host_has_from_0_to_100_percent(name: str, value: float, out: bool) -> None:  # noqa: FBT001 - a case
    assert percentages({name: value}) is out


@pytest.mark.parametrize(("value", "out"), [(-0.1, True), (0, False), (100, False), (100.1, True)])
def test_a_container_has_from_0_to_100_percent_of_the_memory(value: float, out: bool) -> None:  # noqa: FBT001 - a case
    assert percentages({}, {"memory_percentage": value}) is out


@pytest.mark.parametrize(
    ("host", "most"),
    [({"cpu_threads": 8, "cpu_cores": 4}, 800), ({"cpu_cores": 4}, 400), ({}, 409_600), ({"cpu_threads": 0}, 409_600)],
)
def test_a_container_has_100_percent_of_each_thread_at_most(host: dict[str, int], most: float) -> None:
    assert not percentages(host, {"cpu_percentage": most})
    assert percentages(host, {"cpu_percentage": most + 0.1})
    assert percentages(host, {"cpu_percentage": -0.1})


def test_every_container_is_looked_at() -> None:
    assert percentages({}, FULL, {}, {"memory_percentage": 101})
    assert percentages({}, {"memory_percentage": 101}, FULL)
