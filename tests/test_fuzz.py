import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.envelopes import envelope
from tests.fuzzing import FIXED, reports, values
from tests.service import SAMPLE, Service

pytestmark = pytest.mark.slow

INTAKES = ("/api/resources", "/monitor_info", "/api/resources/batch")
every_intake = pytest.mark.parametrize("path", INTAKES)
SAMPLE_BYTES = json.dumps(SAMPLE).encode()
# Reports and containers are written in one transaction: a report with fewer rows than it says was half-written.
HALF = """SELECT COUNT(*) FROM reports r WHERE r.containers_count <> (SELECT COUNT(*) FROM containers c
          WHERE c.host_id = r.host_id AND c.sampled_at = r.sampled_at)"""
ORPHANS = "SELECT COUNT(*) FROM hosts h WHERE NOT EXISTS (SELECT 1 FROM reports r WHERE r.host_id = h.id)"


def sent(service: Service, path: str, body: bytes, **headers: str) -> dict[str, Any]:
    """Posts bytes; whatever they are, the answer is a documented envelope and no 5xx."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = service.client.post(path, content=body, headers=named)
    assert answer.status_code < 500
    return envelope(answer, ("POST", path))


def rows(service: Service) -> list[tuple[Any, ...]]:
    return service.sql(
        "SELECT (SELECT COUNT(*) FROM hosts), (SELECT COUNT(*) FROM reports), (SELECT COUNT(*) FROM containers)"
    )


@every_intake
@FIXED
@given(body=st.binary(max_size=200))
def test_any_bytes_get_an_envelope(sqlite: Service, path: str, body: bytes) -> None:
    assert sent(sqlite, path, body)["success"] is False


@every_intake
@FIXED
@given(at=st.integers(0, len(SAMPLE_BYTES)), cut=st.integers(0, 9), new=st.binary(max_size=9))
def test_damaged_report_gets_an_envelope(sqlite: Service, path: str, at: int, cut: int, new: bytes) -> None:
    sent(sqlite, path, SAMPLE_BYTES[:at] + new + SAMPLE_BYTES[at + cut :])


@every_intake
@FIXED
@given(body=st.binary(max_size=100), encoding=st.sampled_from(["gzip", "identity", "br", "gzip, gzip", "GZIP"]))
def test_any_bytes_in_any_encoding_get_an_envelope(sqlite: Service, path: str, body: bytes, encoding: str) -> None:
    assert sent(sqlite, path, body, content_encoding=encoding)["success"] is False


@every_intake
@FIXED
@given(kind=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=60))
def test_any_content_type_gets_an_envelope(sqlite: Service, path: str, kind: str) -> None:
    sent(sqlite, path, SAMPLE_BYTES, content_type=kind.strip())


@every_intake
@settings(FIXED, max_examples=150)
@given(body=values)
def test_any_json_gets_an_envelope(sqlite: Service, path: str, body: object) -> None:
    assert sent(sqlite, path, json.dumps(body).encode())["success"] is False


@FIXED
@given(
    key=st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=300).map(
        lambda key: key.strip(" \u00a0")
    )
)
def test_any_key_gets_an_envelope(sqlite: Service, key: str) -> None:
    answer = sqlite.client.post("/api/resources", json=SAMPLE, headers=[(b"idempotency-key", key.encode("latin-1"))])
    good = 1 <= len(key) <= 255 and all("!" <= letter <= "~" for letter in key)
    assert envelope(answer, ("POST", "/api/resources"))["resultCode"] in (
        ("0", "KEY_MISMATCH") if good else ("BAD_REQUEST",)
    )


@pytest.mark.parametrize("path", INTAKES[:2])
def test_near_valid_report_is_stored_whole_or_not_at_all(service: Service, path: str) -> None:
    @settings(FIXED, max_examples=150)
    @given(report=reports())
    def check(report: dict[str, Any]) -> None:
        before = rows(service)
        answer = sent(service, path, json.dumps(report).encode())
        if not answer["success"]:
            assert rows(service) == before
        else:
            count = answer["data"]["containers_count"]
            assert count == len(report.get("containers") or ())
            assert len(service.data(f"/api/hosts/{answer['data']['host_id']}/containers")) == count

    check()
    assert service.sql(HALF) == service.sql(ORPHANS) == [(0,)]


def test_near_valid_reports_of_a_batch_are_judged_one_by_one(service: Service) -> None:
    @settings(FIXED, max_examples=40)
    @given(several=st.lists(reports() | values, max_size=12))
    def check(several: list[Any]) -> None:
        before = rows(service)[0][1]
        answer = sent(service, "/api/resources/batch", json.dumps({"reports": several}).encode())
        stored = [result["resultCode"] == "0" for result in answer["data"]["results"]]
        assert len(stored) == len(several)
        assert answer["success"] is all(stored)
        assert rows(service)[0][1] == before + sum(stored)

    check()
    assert service.sql(HALF) == service.sql(ORPHANS) == [(0,)]


@FIXED
@given(
    query=st.dictionaries(
        st.sampled_from(["limit", "cursor", "q", "sort", "host_id", "status", "x"]), st.text(max_size=30)
    )
)
@pytest.mark.parametrize("path", ["/api/hosts", "/api/containers"])
def test_any_query_gets_an_envelope(sqlite: Service, path: str, query: dict[str, str]) -> None:
    answer = sqlite.client.get(path, params={name: text.encode(errors="replace") for name, text in query.items()})
    assert answer.status_code in (200, 400, 422)
    envelope(answer, ("GET", path))
