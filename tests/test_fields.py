import json
import math
from typing import Any

import pytest

from tests.intake import INTAKES, containers_of, host_of, refused, stored, unwritten
from tests.service import Service, report

METRICS = ("cpu_percentage", "memory_usage", "memory_percentage")
COUNTS = ("cpu_cores", "cpu_threads")
# As JSON text: what some of these say no JSON library would write.
NO_NUMBERS = [
    '""',
    '"x"',
    '"nan"',
    '"inf"',
    '"1_0"',
    '"0x10"',
    '"1,5"',
    '"\\u0663"',
    "true",
    "false",
    "[]",
    "{}",
    "[1]",
]
NO_METRICS = [
    *NO_NUMBERS,
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    '"1e400"',
    "1000000001",
    "-1e10",
    '"1e10"',
    "1" * 4000,
]
NO_COUNTS = [
    *NO_NUMBERS,
    "-1",
    '"-1"',
    "1.5",
    '"1.5"',
    "NaN",
    "Infinity",
    "1e400",
    "2147483648",
    '"2147483648"',
    f"{2**63}",
]


def post(service: Service, host: str, place: str, name: str, value: str) -> Any:  # noqa: ANN401 - an answer
    """Posts a report that holds one value, given as JSON text, in a field of its host, a container or itself."""
    fields = {"host": "", "container": "", "report": ""}
    fields[place] = f', "{name}": {value}'
    containers = f'[{{"container_name": "c"{fields["container"]}}}]'
    body = f'{{"host": {{"host_name": "{host}"{fields["host"]}}}, "containers": {containers}{fields["report"]}}}'
    return service.client.post("/api/resources", content=body)


@pytest.mark.parametrize("place", ["host", "container"])
@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("3.9", 3.9),
        ('"3.9"', 3.9),
        ('" -3 "', -3.0),
        ('".5"', 0.5),
        ('"3.900000E+001"', 39.0),
        ("4", 4.0),
        ("0", 0.0),
        ("-12.5", -12.5),
        ("1e9", 1e9),
        ("-1e9", -1e9),
        ('"1000000000"', 1e9),
        ("6400.25", 6400.25),
    ],
)
def test_numbers_and_numeric_strings_are_metrics(
    sqlite: Service, place: str, name: str, value: str, meant: float
) -> None:
    host = f"{place}-{name}"
    stored(post(sqlite, host, place, name, value))
    [container] = containers_of(sqlite, host)
    shown = host_of(sqlite, host) if place == "host" else container
    assert shown[name] == meant


@pytest.mark.parametrize("value", NO_METRICS, ids=lambda value: value[:12])
@pytest.mark.parametrize("place", ["host", "container"])
def test_what_is_no_metric_is_refused_and_nothing_is_written(sqlite: Service, place: str, value: str) -> None:
    for name in METRICS:
        with unwritten(sqlite):
            [error] = refused(post(sqlite, "no-metric", place, name, value), 422, "VALIDATION")["errors"]
        assert error["loc"][-1] == name


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("16", 16),
        ("4.0", 4),
        ('"16"', 16),
        ('"16.0"', 16),
        ("0", 0),
        ("-0.0", 0),
        ("2147483647", 2**31 - 1),
        ("1e3", 1000),
    ],
)
def test_whole_numbers_are_counts(sqlite: Service, name: str, value: str, meant: int) -> None:
    stored(post(sqlite, f"count-{name}", "host", name, value))
    assert host_of(sqlite, f"count-{name}")[name] == meant


@pytest.mark.parametrize("value", NO_COUNTS)
@pytest.mark.parametrize("name", COUNTS)
def test_what_is_no_count_is_refused_and_nothing_is_written(sqlite: Service, name: str, value: str) -> None:
    with unwritten(sqlite):
        [error] = refused(post(sqlite, "no-count", "host", name, value), 422, "VALIDATION")["errors"]
    assert error["loc"] == ["host", name]


@pytest.mark.parametrize("path", INTAKES)
@pytest.mark.parametrize("name", ["cpu_cores", "cpu_percentage", "unknown"])
def test_a_number_of_five_thousand_digits_is_refused(sqlite: Service, path: str, name: str) -> None:
    body = f'{{"host": {{"host_name": "long", "{name}": {"1" * 5000}}}}}'
    with unwritten(sqlite):
        refused(sqlite.client.post(path, content=body), 422, "VALIDATION")


def test_metrics_come_back_exactly(service: Service) -> None:
    exact = (0.1 + 0.2, 1 / 3, 5e-324, 2.2250738585072014e-308, 999_999_999.9999999, -1e-7, 123456789.12345679)
    for number, value in enumerate(exact):
        name = f"exact-{number}"
        stored(service.post(report(name, {"container_name": "c", "cpu_percentage": value}, cpu_percentage=value)))
        [container] = containers_of(service, name)
        assert (container["cpu_percentage"], host_of(service, name)["cpu_percentage"]) == (value, value)


def test_the_negative_zero_is_stored_as_zero(service: Service) -> None:
    stored(post(service, "zero", "host", "cpu_percentage", "-0.0"))
    stored(post(service, "zero-container", "container", "memory_usage", '"-0"'))
    [container] = containers_of(service, "zero-container")
    for value in (host_of(service, "zero")["cpu_percentage"], container["memory_usage"]):
        assert math.copysign(1, value) == 1


def test_the_largest_counts_are_stored_on_every_engine(service: Service) -> None:
    stored(service.post(report("largest", cpu_cores=2**31 - 1, cpu_threads=2**31 - 1)))
    assert host_of(service, "largest")["cpu_threads"] == 2**31 - 1


@pytest.mark.parametrize("name", ["host_name", "container_name", "cluster_name", "node_name", "engine_type", "status"])
@pytest.mark.parametrize("value", ["1", "true", "[]", "{}", '["x"]', "1.5"])
def test_a_text_is_a_text(sqlite: Service, name: str, value: str) -> None:
    host, container = {"host_name": '"t"', name: value}, {"container_name": '"c"', name: value}
    texts = [", ".join(f'"{field}": {text}' for field, text in one.items()) for one in (host, container)]
    with unwritten(sqlite):
        body = f'{{"host": {{{texts[0]}}}, "containers": [{{{texts[1]}}}]}}'
        refused(sqlite.client.post("/api/resources", content=body), 422, "VALIDATION")


@pytest.mark.parametrize("value", ["null", "-1", "604800.5", "1e9", "NaN", "Infinity", "true", '"x"', "[]"])
def test_an_age_that_is_no_number_from_zero_to_a_week_is_refused(sqlite: Service, value: str) -> None:
    with unwritten(sqlite):
        [error] = refused(post(sqlite, "aged", "report", "age_s", value), 422, "VALIDATION")["errors"]
    assert error["loc"] == ["age_s"]


@pytest.mark.parametrize("name", ["host_name", "container_name"])
def test_a_name_is_required(sqlite: Service, name: str) -> None:
    for value in ({}, {name: None}):
        body: dict[str, Any] = {"host": value} if name == "host_name" else {**report("named"), "containers": [value]}
        with unwritten(sqlite):
            [error] = refused(sqlite.client.post("/api/resources", content=json.dumps(body)), 422, "VALIDATION")[
                "errors"
            ]
        assert error["loc"][-1] == name
