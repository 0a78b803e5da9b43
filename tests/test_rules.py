import json
import time
from datetime import date
from typing import Any
from unittest.mock import Mock
from zoneinfo import ZoneInfo

import jsonschema_rs
import pytest
from pydantic import TypeAdapter, ValidationError

from model.fields import Age, Count, Metric, Name, Word
from model.times import AgentTime, local_time

ZONE = {"zone": ZoneInfo("Asia/Seoul")}
RULES: dict[str, Any] = {
    "name": Name,
    "word": Word,
    "metric": Metric,
    "count": Count,
    "age": Age,
    "time": AgentTime,
}
ADAPTERS = {name: TypeAdapter[Any](rule) for name, rule in RULES.items()}
CONTROLS = "\0\x01\t\n\r\x1f\x7f\x80\x9f\u2028\u2029\u202a\u202e\u2066\u2069"
LETTERS = " !~AXZaxz09\xa0é서😀\u2027\u202f\u2065\u206a\U0010ffff"

# What stands for itself, what stands for something else, and what is refused; as JSON.
KEPT: dict[str, list[str]] = {
    "name": ['"a"', '"x y"', f'"{"x" * 255}"', f'"{"😀" * 255}"', *(json.dumps(f"a{one}b") for one in LETTERS)],
    "word": ['""', '"a"', f'"{"x" * 255}"', *(json.dumps(f"a{one}b") for one in LETTERS)],
    "metric": ["null", "0", "1.5", "-1.5", "1e9", "-1e9", "999999999.9999999", "1e-300"],
    "count": ["null", "0", "1", "2147483647"],
    "age": ["0", "0.001", "604800"],
    "time": [],
}
READ: dict[str, dict[str, Any]] = {
    "name": {'" a "': "a", '"\\t\\n\\r a\\t\\n\\r "': "a", f'" {"x" * 255} "': "x" * 255},
    "word": {'" "': "", '" a "': "a"},
    "metric": {
        **{f'"{text}"': float(text) for text in ("0", "+1", "-1", "1.", ".5", "1.5", " 1 ", "123456789.5", "1e-5")},
        **{f'"{text}"': float(text) for text in ("1E8", "9.9e8", "1e+8", "1e08", "1e008", "1E9", "1.0e+009", "1e-300")},
        **{f'"{text}"': float(text) for text in ("1000000000", "1000000000.", "-1000000000.000", "999999999")},
        f'"{"9" * 9}.{"9" * 30}"': 1e9,
        f'".{"1" * 30}e-123"': float(f".{'1' * 30}e-123"),
        f'"1.{"5" * 30}e8"': float(f"1.{'5' * 30}e8"),
        f'"1000000000.{"0" * 30}"': 1e9,
        f'"1.{"0" * 30}e9"': 1e9,
    },
    "count": {
        '"0"': 0,
        '"+1"': 1,
        '" 2147483647 "': 2**31 - 1,
        '"0000000001"': 1,
        '"16.0"': 16,
        f'"1.{"0" * 10}"': 1,
        "16.0": 16,
        "-0.0": 0,
    },
    "age": {'"1.5"': 1.5},
    "time": {
        '"2025-06-23 03:02:50"': "2025-06-23 03:02:50",
        '" 2025-06-23T19:29:59.999 "': "2025-06-23 19:29:59",
        '"2025-06-23 23:59:59,5"': "2025-06-23 23:59:59",
        '"2025-06-23 03:02:50z"': "2025-06-23 12:02:50",
        '"2025-06-23 03:02:50Z"': "2025-06-23 12:02:50",
        '"2025-06-23 03:02:50-05:30"': "2025-06-23 17:32:50",
        '"2025-06-23 03:02:50+0900"': "2025-06-23 03:02:50",
        '"2025-06-23 03:02:50+09"': "2025-06-23 03:02:50",
        '"2025-06-23 03:02:50+23:59"': "2025-06-22 12:03:50",
        '"2025-06-23 03:02:50-19:00"': "2025-06-24 07:02:50",
        '"2000-01-01 00:00:00"': "2000-01-01 00:00:00",
        '"2100-01-01 00:00:00"': "2100-01-01 00:00:00",
        '"2099-12-31T15:00:00Z"': "2100-01-01 00:00:00",
    },
}
NO_TEXTS = ["null", "1", "true", "[]", "{}", f'"{"x" * 256}"', *(json.dumps(f"a{one}b") for one in CONTROLS)]
NO_NUMBERS = [
    "true",
    "false",
    '""',
    '" "',
    '"x"',
    '"1_0"',
    '"0x10"',
    '"\u0661"',
    '"nan"',
    '"inf"',
    "NaN",
    "Infinity",
    "[]",
]
REFUSED: dict[str, list[str]] = {
    "name": [*NO_TEXTS, '""', '" "', '"\\t"', '"\\u2028"'],
    "word": NO_TEXTS,
    "metric": [
        *NO_NUMBERS,
        "1000000000.1",
        "-1000000000.1",
        *(
            f'"{text}"'
            for text in ("1000000001", "1000000000.1", "1e10", "2e9", "1.1e9", "9e9", "10e8", "1e+10", "1e0009")
        ),
        *(f'"{text}"' for text in ("1e-1234", "1 0", "--1", "1e", "e5", ".", "1.5.5", "1,5", "1e0008", "1x", "x1")),
        f'"1.{"1" * 31}"',
        f'".{"1" * 31}"',
        f'"1.{"1" * 31}e8"',
        f'"1000000000.{"0" * 31}"',
        f'"1.{"0" * 31}e9"',
    ],
    "count": [
        *NO_NUMBERS,
        *("-1", "0.5", "1.5", "2147483648", "1e400", "18446744073709551616"),
        *(f'"{text}"' for text in ("-1", "1.5", "2147483648", "1e3", "00000000000000001", "1.00000000000", "x1", "1x")),
    ],
    "age": ["null", "true", "false", "-0.001", "604800.001", "NaN", "Infinity", '"x"'],
    "time": [
        *("null", "1", "true", '""', '"now"', '"2025-06-23"', '"20250623030250"', '"2025-06-23 3:02:50"'),
        *(f'"2025-06-23 {at}"' for at in ("24:00:00", "30:00:00", "03:60:00", "03:02:60", "03:02:50.", "03:02:50 KST")),
        *(f'"2025-06-23 03:02:50{zone}"' for zone in ("+24:00", "+30", "+09:60", "+9", "ZZ", "+09:00:00", "+09:")),
        *(f'"{day} 00:00:00"' for day in ("2025-02-29", "2025-00-01", "2025-13-01", "1999-12-31", "25-06-23")),
        *('"2100-01-01 00:00:01"', '"1999-12-31T14:59:59Z"', '"2100-01-01 00:00:00Z"', '"x2025-06-23 03:02:50"'),
        *('"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"', '"2025-06-23x03:02:50"'),
    ],
}
SHOWN = {
    "metric": "should be a finite number, or a numeric string, of at most 1e9 in absolute value",
    "count": "should be a whole number from 0 to 2147483647",
    "time": "should be YYYY-MM-DD HH:MM:SS or ISO 8601, from 2000-01-01 to 2100-01-01",
}
Case = tuple[str, str]


def cases(table: dict[str, Any]) -> list[Case]:
    return [(rule, value) for rule, values in table.items() for value in values]


def read(rule: str, value: str) -> Any:  # noqa: ANN401 - whatever the rule gives
    return ADAPTERS[rule].validate_json(value, context=ZONE)


def told(rule: str, value: str) -> tuple[str, str]:
    """The name of the rule that a value breaks, and its words."""
    with pytest.raises(ValidationError) as caught:
        read(rule, value)
    [error] = caught.value.errors()
    return error["type"], error["msg"]


@pytest.mark.parametrize(("rule", "value"), cases(KEPT), ids=ascii)
def test_a_good_value_is_kept(rule: str, value: str) -> None:
    kept = read(rule, value)
    assert kept == json.loads(value)
    assert not isinstance(kept, bool)


@pytest.mark.parametrize(("rule", "value"), cases(READ), ids=ascii)
def test_a_value_is_read_as_it_is_meant(rule: str, value: str) -> None:
    meant = READ[rule][value]
    assert (read(rule, value), type(read(rule, value))) == (meant, type(meant))


@pytest.mark.parametrize(("rule", "value"), cases(REFUSED), ids=ascii)
def test_a_bad_value_is_refused(rule: str, value: str) -> None:
    told(rule, value)


@pytest.mark.parametrize("rule", SHOWN)
def test_a_refusal_says_what_would_be_right(rule: str) -> None:
    assert told(rule, '"x"') == ("time" if rule == "time" else "number", SHOWN[rule])


def test_an_age_is_no_boolean() -> None:
    assert told("age", "true") == ("number", "should be a number, not a boolean")


def test_an_agents_time_without_a_zone_is_the_machines() -> None:
    assert ADAPTERS["time"].validate_json('"2025-06-23 03:02:50"') == "2025-06-23 03:02:50"


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system sets its zone elsewhere")
def test_an_offset_is_converted_whatever_the_machines_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        try:
            assert read("time", '"2025-06-24T04:05:06Z"') == "2025-06-24 13:05:06"
        finally:
            patch.undo()
            time.tzset()


def rejected_by_document(rule: str, value: str) -> bool:
    """Whether the API's document refuses a value."""
    return not jsonschema_rs.is_valid(ADAPTERS[rule].json_schema(), json.loads(value))


@pytest.mark.parametrize(("rule", "value"), cases(KEPT), ids=ascii)
def test_the_document_allows_what_is_kept(rule: str, value: str) -> None:
    assert not rejected_by_document(rule, value)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("name", '" a "'),
        ("word", '" a "'),
        ("word", '" "'),
        *(("metric", value) for value in READ["metric"] if " " not in value),
        ("count", '"16"'),
        *(("time", f'"{value}"') for value in ("2025-06-23 03:02:50", "2025-12-28T23:59:59.123456789+14:59")),
        ("time", '"2099-01-01 00:00:00Z"'),
    ],
    ids=ascii,
)
def test_the_document_allows_what_is_read(rule: str, value: str) -> None:
    assert not rejected_by_document(rule, value)
    read(rule, value)


@pytest.mark.parametrize(
    ("rule", "value"), [case for case in cases(REFUSED) if "N" not in case[1] and "I" not in case[1]], ids=ascii
)
def test_the_document_refuses_what_is_refused(rule: str, value: str) -> None:
    assert rejected_by_document(rule, value)


def test_of_all_days_those_are_taken_that_exist() -> None:
    days = {f"{year}-{month:02}-{day:02}" for year in (2000, 2023, 2024) for month in range(14) for day in range(33)}
    assert {day for day in days if _takes(f"{day} 03:02:50")} == {day for day in days if _exists(day)}


def _takes(time: str) -> bool:
    try:
        return bool(ADAPTERS["time"].validate_json(json.dumps(time), context=ZONE) == time)
    except ValidationError:
        return False


def _exists(day: str) -> bool:
    try:
        return bool(date.fromisoformat(day))
    except ValueError:
        return False


def test_the_time_that_agents_send_never_meets_python(monkeypatch: pytest.MonkeyPatch) -> None:
    python = Mock(side_effect=local_time)
    monkeypatch.setattr("model.times.local_time", python)
    for day in ("2026-01-31", "2026-02-28", "2026-04-30", "2024-02-29", "2026-12-31"):
        assert _takes(f"{day} 23:59:59")
    assert [call.args[0] for call in python.mock_calls] == ["2024-02-29 23:59:59"]
