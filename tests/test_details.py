"""What newer agents tell besides: accepted, stored and given back, and nothing that others have to send."""

from typing import Any

import jsonschema_rs
import pytest
from pydantic import TypeAdapter, ValidationError

from model.fields import Count, ExitCode, Total
from model.times import EngineTime
from tests.intake import containers_of, host_of, refused, stored, unwritten
from tests.service import Service, report

HOST = {
    "os": "Debian GNU/Linux 12 (bookworm)",
    "kernel": "6.1.0-29-amd64",
    "uptime_s": 2**53 - 1,
    "load1": 0.1 + 0.2,
    "disk_usage": 1e-7,
    "disk_total": 98.765,
    "network_received": 2**53 - 1,
    "network_sent": 0,
}
CONTAINER = {
    "container_id": "3f4e0dd1a2b3",
    "image": "ghcr.io/o'brien/web:1.2\\3",
    "restart_count": 2**31 - 1,
    "exit_code": 2**32 - 1,
    "oom_killed": True,
    "health": "unhealthy",
}
STARTED = {"started_at": "2026-11-26T11:40:59.800585283Z"}
SHOWN = {**CONTAINER, "started_at": "2026-11-26T11:40:59.800585Z"}
WORDS = ["it's", 'a "b"', "back\\slash", "서버 🐳", "%s ? :x $1 `", "', 1); --"]
HOST_NULLS, CONTAINER_NULLS = dict.fromkeys(HOST), dict.fromkeys(SHOWN)


def details_of(found: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in names}


def test_what_is_told_comes_back(service: Service) -> None:
    stored(service.post(report("told", {"container_name": "c", **CONTAINER, **STARTED}, "plain", **HOST)))
    assert details_of(host_of(service, "told"), HOST) == HOST
    full, plain = containers_of(service, "told")
    assert details_of(full, SHOWN) == SHOWN
    assert details_of(plain, SHOWN) == CONTAINER_NULLS
    host_id = host_of(service, "told")["id"]
    assert service.data(f"/api/hosts/{host_id}")["os"] == HOST["os"]
    assert service.data(f"/api/hosts/{host_id}/containers")[0]["image"] == CONTAINER["image"]
    columns = ", ".join(HOST)
    assert service.sql(f"SELECT {columns} FROM reports WHERE host_id = {host_id}") == [tuple(HOST.values())]


def test_what_is_not_told_is_null(service: Service) -> None:
    """Also when an older agent takes over: the state is that of the newest report."""
    stored(service.post(report("silent", {"container_name": "c", **CONTAINER}, **HOST)))
    stored(service.post(report("silent", "c")))
    assert details_of(host_of(service, "silent"), HOST) == HOST_NULLS
    [container] = containers_of(service, "silent")
    assert details_of(container, SHOWN) == CONTAINER_NULLS


def test_empty_words_are_nothing(service: Service) -> None:
    words = dict.fromkeys(("container_id", "image", "health"), " ")
    nothing = {**words, "restart_count": None, "exit_code": None, "oom_killed": None, "started_at": ""}
    stored(service.post(report("blank", {"container_name": "c", **nothing}, os="", kernel=" ", load1=None)))
    assert details_of(host_of(service, "blank"), HOST) == HOST_NULLS
    assert details_of(containers_of(service, "blank")[0], SHOWN) == CONTAINER_NULLS


@pytest.mark.parametrize("name", ["os", "kernel"])
@pytest.mark.parametrize("text", WORDS)
def test_a_hosts_words_arrive_as_they_are(service: Service, name: str, text: str) -> None:
    stored(service.post(report("words", "c", **{name: text})))
    assert host_of(service, "words")[name] == text


@pytest.mark.parametrize("name", ["container_id", "image", "health"])
@pytest.mark.parametrize("text", WORDS)
def test_a_containers_words_arrive_as_they_are(service: Service, name: str, text: str) -> None:
    stored(service.post(report("words", {"container_name": text, name: text})))
    [container] = containers_of(service, "words")
    assert (container["container_name"], container[name]) == (text, text)


@pytest.mark.parametrize("code", [-(2**31), -1, 0, 137, 2**32 - 1, None])
def test_an_exit_code_is_of_32_bits_with_or_without_a_sign(service: Service, code: int | None) -> None:
    stored(service.post(report("ended", {"container_name": "c", "exit_code": code})))
    assert containers_of(service, "ended")[0]["exit_code"] == code


@pytest.mark.parametrize(
    ("kind", "lowest", "highest"), [(Count, 0, 2**31 - 1), (Total, 0, 2**53 - 1), (ExitCode, -(2**31), 2**32 - 1)]
)
def test_the_document_and_the_rule_have_the_same_bounds(kind: Any, lowest: int, highest: int) -> None:  # noqa: ANN401 - a type
    document, rule = TypeAdapter(kind).json_schema(), TypeAdapter(kind)
    for value in (lowest, highest):
        assert jsonschema_rs.is_valid(document, value)
        assert rule.validate_python(value) == value
    for value in (lowest - 1, highest + 1):
        assert not jsonschema_rs.is_valid(document, value)
        with pytest.raises(ValidationError):
            rule.validate_python(value)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("2026-11-26T11:40:59Z", "2026-11-26T11:40:59.000000Z"),
        ("2026-11-26T20:40:59.8+09:00", "2026-11-26T11:40:59.800000Z"),
        ("2026-11-26 11:40:59.123456789", "2026-11-26T11:40:59.123456Z"),
        ("2026-11-26T11:40:59,999999999Z", "2026-11-26T11:40:59.999999Z"),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_a_start_is_a_moment(service: Service, sent: str, shown: str | None) -> None:
    stored(service.post(report("started", {"container_name": "c", "started_at": sent})))
    assert containers_of(service, "started")[0]["started_at"] == shown


@pytest.mark.parametrize(
    ("sent", "good"),
    [
        (None, True),
        ("", True),
        ("2026-11-26T11:40:59Z", True),
        ("2026-11-26T23:59:59.800585283Z", True),
        ("2026-13-01T00:00:00Z", False),
        ("2026-11-26T24:00:00Z", False),
        ("at noon", False),
        (7, False),
    ],
)
def test_the_document_says_what_a_start_is(sent: object, good: bool) -> None:  # noqa: FBT001 - a case
    document = TypeAdapter(EngineTime).json_schema()
    assert jsonschema_rs.is_valid(document, sent) is good
    if good:
        TypeAdapter(EngineTime).validate_python(sent)
    else:
        with pytest.raises(ValidationError):
            TypeAdapter(EngineTime).validate_python(sent)


@pytest.mark.parametrize("text", ["yesterday", "1999-12-31T23:59:59Z"])
def test_a_start_that_is_none_is_called_so(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(EngineTime).validate_python(text)
    assert caught.value.errors()[0]["type"] == "time"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("os", "a\0b"),
        ("kernel", "k" * 256),
        ("uptime_s", -1),
        ("uptime_s", 2**53),
        ("load1", True),
        ("disk_usage", "much"),
        ("disk_total", 1e10),
        ("network_received", 1.5),
        ("network_sent", "-1"),
    ],
)
def test_a_wrong_detail_of_a_host_is_refused(service: Service, name: str, value: object) -> None:
    with unwritten(service):
        [error] = refused(service.post(report("wrong", "c", **{name: value})), 422, "VALIDATION")["errors"]
    assert error["loc"] == ["host", name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("container_id", 7),
        ("image", "a\u202eb"),
        ("restart_count", -1),
        ("exit_code", 2**32),
        ("exit_code", -(2**31) - 1),
        ("oom_killed", 1),
        ("oom_killed", "true"),
        ("health", []),
        ("started_at", "yesterday"),
        ("started_at", "1999-12-31T23:59:59Z"),
        ("started_at", 1_764_000_000),
    ],
)
def test_a_wrong_detail_of_a_container_is_refused(service: Service, name: str, value: object) -> None:
    with unwritten(service):
        sent = report("wrong", {"container_name": "c", name: value})
        [error] = refused(service.post(sent), 422, "VALIDATION")["errors"]
    assert error["loc"] == ["containers", 0, name]


def test_reports_with_and_without_details_share_a_batch(service: Service) -> None:
    reports = [report(f"mixed-{n}", {"container_name": "c", **(CONTAINER if n % 2 else {})}) for n in range(6)]
    assert service.post({"reports": reports}, "/api/resources/batch").status_code == 200
    images = [containers_of(service, f"mixed-{number}")[0]["image"] for number in range(6)]
    assert images == [None, CONTAINER["image"]] * 3


def test_details_belong_to_a_keyed_reports_content(service: Service) -> None:
    sent = report("keyed-details", {"container_name": "c", **CONTAINER}, **HOST)
    stored(service.post(sent, Idempotency_Key="k"))
    again = service.post(sent, Idempotency_Key="k")
    assert again.headers["Idempotent-Replayed"] == "true"
    sent["host"]["os"] = "another"
    refused(service.post(sent, Idempotency_Key="k"), 422, "KEY_MISMATCH")
