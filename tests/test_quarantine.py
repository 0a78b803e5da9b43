"""Reports that were refused for what they are: kept, looked at, replayed."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from database import quarantine
from database.writer import Writer
from model.envelope import Code, unavailable
from services import jobs
from services.quarantine import WAITING, Quarantine, fitting, name_in
from tests.guarded import Guarded, bearer, guarding, id_of
from tests.intake import host_of, refused, stored, until
from tests.schema_engine import Target
from tests.service import Service, report, settings_for
from utils.utils import moment

pytestmark = pytest.mark.security
PATH = "/api/agents/quarantine"


@pytest.fixture
def observing(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> Iterator[Guarded]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "KEEP_EVERY_S", 0.1)
        with guarding(settings_for(new_url(engine), tmp_path, SECURITY_MODE="observe")) as one:
            yield one


def kept(service: Service, count: int) -> list[dict[str, Any]]:
    """What is in quarantine, once so many are."""
    until(lambda: len(service.data(PATH)) == count)
    found: list[dict[str, Any]] = service.data(PATH)
    return found


def test_a_report_that_breaks_a_rule_is_kept_with_the_reason(observing: Guarded) -> None:
    service, body = observing.service, report("broken", cpu_percentage="much")
    refused(service.post(body), 422, "VALIDATION")
    [one] = kept(service, 1)
    assert (one["host_name"], one["path"], one["code"], one["whole"]) == (
        "broken",
        "/api/resources",
        "VALIDATION",
        True,
    )
    assert "host.cpu_percentage" in one["message"]
    assert json.loads(service.data(f"{PATH}/{one['id']}")["body"]) == body


def test_a_token_in_the_place_of_a_name_is_not_listed(observing: Guarded) -> None:
    text = observing.token("--scope", "read")
    refused(observing.service.post(report(text, cpu_percentage="much")), 422, "VALIDATION")
    [one] = kept(observing.service, 1)
    assert one["host_name"] == f"rms_{id_of(text)}_[hidden]"


def test_a_token_in_the_place_of_another_hosts_name_is_not_listed(guard: Guarded) -> None:
    text = guard.token("--scope", "read")
    refused(guard.service.post(report(text), **guard.ingest("its-own")), 403, "FORBIDDEN")
    until(lambda: f"rms_{id_of(text)}_[hidden]" in guard.get(PATH, guard.admin).text)
    assert text not in guard.get(PATH, guard.admin).text


def test_of_a_batch_the_refused_ones_are_kept(observing: Guarded) -> None:
    batch = {"reports": [report("good"), report(""), report("good-too"), {"host": 5}]}
    observing.service.post(batch, "/api/resources/batch")
    found = kept(observing.service, 2)
    assert [one["host_name"] for one in found] == [None, ""]
    assert {one["path"] for one in found} == {"/api/resources/batch"}


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[]", b'{"host": {"host_name": 5}}', b"null", b'"\\ud800"'])
def test_whatever_was_sent_is_kept(observing: Guarded, body: bytes) -> None:
    for path in ("/api/resources", "/monitor_info"):
        observing.service.client.post(path, content=body)
    found = kept(observing.service, 2)
    assert [one["host_name"] for one in found] == [None, None]
    assert observing.service.data(f"{PATH}/{found[0]['id']}")["body"] == body.decode(errors="replace")


def test_what_an_agent_sends_again_is_not_kept(observing: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Writer, "submit", _overloaded)
    refused(observing.service.post(report("later")), 503, "OVERLOADED")
    monkeypatch.undo()
    observing.service.post(report("now", cpu_percentage="much"))
    assert [one["host_name"] for one in kept(observing.service, 1)] == ["now"]


def _overloaded(*_: object) -> None:
    raise unavailable("full", Code.OVERLOADED)


def test_while_no_token_is_asked_for_nothing_is_kept(service: Service) -> None:
    refused(service.post(report("off", cpu_percentage="much")), 422, "VALIDATION")
    assert service.state["quarantine"].take() == []


def test_a_body_that_is_large_is_told_but_not_kept(observing: Guarded) -> None:
    body = report("large", *[{"container_name": "c" * 200} for _ in range(400)], cpu_percentage="much")
    refused(observing.service.post(body), 422, "VALIDATION")
    [one] = kept(observing.service, 1)
    assert one["size"] > 65_535
    assert not one["whole"]
    assert observing.service.data(f"{PATH}/{one['id']}")["body"] is None
    refused(observing.service.post({}, f"{PATH}/{one['id']}/replay"), 422, "VALIDATION")


def test_a_report_for_another_host_is_stored_when_an_admin_says_so(guard: Guarded) -> None:
    service, admin = guard.service, bearer(guard.admin)
    wrong = guard.token("--scope", "ingest", "--host", "replayed-other")
    refused(service.post(report("replayed", "web"), **bearer(wrong)), 403, "FORBIDDEN")
    until(lambda: any(one["host_name"] == "replayed" for one in guard.get(PATH, guard.admin).json()["data"]))
    [one] = [one for one in guard.get(PATH, guard.admin).json()["data"] if one["host_name"] == "replayed"]
    assert (one["token_id"], one["code"]) == (id_of(wrong), "FORBIDDEN")
    answer = service.post({}, f"{PATH}/{one['id']}/replay", **admin)
    assert stored(answer)["containers_count"] == 1
    assert "idempotent-replayed" not in answer.headers
    refused(service.post({}, f"{PATH}/{one['id']}/replay", **admin), 422, "VALIDATION")
    assert guard.get(f"{PATH}/{one['id']}", guard.admin).json()["data"]["replayed_at"]
    until(lambda: "host=replayed replayed=False ok=True" in service.log and "host=replayed ok=False" in service.log)
    assert service.sql("SELECT COUNT(*) FROM containers WHERE container_name = 'web'") == [(1,)]


def test_the_next_try_of_an_agent_is_a_repeat_of_the_replay(guard: Guarded) -> None:
    """Each try tells another age."""
    service, path = guard.service, forbidden(guard, "kept-on", "its-own")
    assert "idempotent-replayed" not in stored_by(service, path, guard).headers
    answer = service.post(tried("kept-on", 9.5), Idempotency_Key="its-own", **guard.ingest("kept-on"))
    assert answer.headers["idempotent-replayed"] == "true"
    assert reports_of(service, "kept-on") == 1


def test_the_replay_of_what_an_agent_brought_in_meanwhile_is_a_repeat(guard: Guarded) -> None:
    service, path = guard.service, forbidden(guard, "brought-in", "its-own")
    stored(service.post(tried("brought-in", 9.5), Idempotency_Key="its-own", **guard.ingest("brought-in")))
    assert stored_by(service, path, guard).headers["idempotent-replayed"] == "true"
    assert reports_of(service, "brought-in") == 1
    until(lambda: "host=brought-in replayed=True ok=True" in service.log)


def test_a_replay_is_refused_when_its_key_is_long_forgotten(guard: Guarded) -> None:
    service, path = guard.service, forbidden(guard, "forgotten", "its-own")
    stored_by(service, path, guard)
    service.sql("UPDATE reports SET report_key = NULL")
    answer = service.post({}, path, **bearer(guard.admin))
    refused(answer, 422, "VALIDATION")
    assert answer.json()["resultMessage"].startswith("it was stored already, at 20")
    assert reports_of(service, "forgotten") == 1


def forbidden(guard: Guarded, host: str, key: str) -> str:
    """Where a report is replayed that an agent sent with another's token."""
    wrong = guard.ingest(f"{host}-other")
    refused(guard.service.post(tried(host, 1.5), Idempotency_Key=key, **wrong), 403, "FORBIDDEN")
    row = "SELECT id FROM quarantine WHERE host_name = :host"
    until(lambda: bool(guard.service.sql(row, host=host)))
    return f"{PATH}/{guard.service.sql(row, host=host)[0][0]}/replay"


def tried(host: str, age_s: float) -> dict[str, Any]:
    return {**report(host, "app"), "age_s": age_s}


def stored_by(service: Service, path: str, guard: Guarded) -> httpx.Response:
    answer = service.post({}, path, **bearer(guard.admin))
    stored(answer)
    return answer


def reports_of(service: Service, host: str) -> int:
    counted = "SELECT COUNT(*) FROM reports JOIN hosts ON hosts.id = host_id WHERE host_name = :host"
    [(count,)] = service.sql(counted, host=host)
    assert isinstance(count, int)
    return count


def test_a_report_of_a_batch_has_its_key_in_quarantine_too(observing: Guarded) -> None:
    items = [{**report(name), "idempotency_key": key} for name, key in (("", "a-key"), ("\n", "x" * 256), ("", 5))]
    observing.service.post({"reports": items}, "/api/resources/batch")
    assert [one["idempotency_key"] for one in kept(observing.service, 3)] == [None, None, "a-key"]


def test_a_key_that_is_another_reports_is_not_used_again(observing: Guarded) -> None:
    service = observing.service
    stored(service.post(report("twice", "one"), Idempotency_Key="used"))
    for name in ("two", "three"):
        refused(service.post(report("twice", name), Idempotency_Key="used"), 422, "KEY_MISMATCH")
    for one in kept(service, 2):
        assert "idempotent-replayed" not in stored_by(service, f"{PATH}/{one['id']}/replay", observing).headers
    assert reports_of(service, "twice") == 3


def test_what_is_sent_again_is_kept_once(observing: Guarded) -> None:
    service = observing.service
    for age_s in range(3):
        wrong = {**report("again", cpu_percentage="much"), "age_s": age_s}
        refused(service.post(wrong, Idempotency_Key="same"), 422, "VALIDATION")
        until(lambda: not service.state["quarantine"]._waiting)
    for key in ("same", "other"):
        service.post(report("again-too", cpu_percentage="much"), Idempotency_Key=key)
    found = kept(service, 3)
    assert [(one["host_name"], one["idempotency_key"]) for one in found] == [
        ("again-too", "other"),
        ("again-too", "same"),
        ("again", "same"),
    ]


def test_of_one_turn_too_it_is_kept_once(store: Target) -> None:
    same = replace(refused_report("host"), idempotency_key="same")
    with store.engine.begin() as connection:
        quarantine.keep(connection, [same, same, refused_report("host"), refused_report("host")])
        quarantine.keep(connection, [same])
        assert [one.idempotency_key for one in quarantine.listed(connection)] == [None, None, "same"]


def test_it_is_kept_after_all_when_the_database_failed(observing: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    service = observing.service
    monkeypatch.setattr(quarantine, "keep", _failing)
    service.post(report("in-vain", cpu_percentage="much"))
    until(lambda: "job_failed job=quarantine" in service.log)
    monkeypatch.undo()
    assert [one["host_name"] for one in kept(service, 1)] == ["in-vain"]


def _failing(*_: object, **__: object) -> None:
    raise OperationalError("INSERT", {}, Exception("gone"))


def test_it_is_stored_at_the_time_at_which_it_came(observing: Guarded) -> None:
    service = observing.service
    service.sql(
        "INSERT INTO quarantine (received_at, path, host_name, address, code, message, size, body)"
        " VALUES (:at, '/api/resources', 'late', '::1', 'VALIDATION', 'words', 9, :body)",
        at=moment(service.state["database"].clock.now()) - timedelta(hours=1),
        body=json.dumps({**report("late", "web"), "age_s": 600}).encode(),
    )
    [one] = kept(service, 1)
    stored(service.post({}, f"{PATH}/{one['id']}/replay"))
    seen, sampled = (datetime.fromisoformat(host_of(service, "late")[name]) for name in ("last_seen", "sampled_at"))
    age = seen - sampled
    assert timedelta(seconds=4_199) < age < timedelta(seconds=4_260)


def test_what_is_wrong_is_refused_again(observing: Guarded) -> None:
    observing.service.post(report("wrong", cpu_percentage="much"))
    [one] = kept(observing.service, 1)
    refused(observing.service.post({}, f"{PATH}/{one['id']}/replay"), 422, "VALIDATION")
    assert observing.service.data(PATH)[0]["replayed_at"] is None
    assert len(observing.service.data(PATH)) == 1


def test_only_the_last_ones_stay(observing: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "KEPT", 3)
    for number in range(5):
        observing.service.post(report(f"many-{number}", cpu_percentage="much"))
        until(lambda number=number: f"many-{number}" in observing.service.client.get(PATH).text)  # type: ignore[misc]
    assert [one["host_name"] for one in observing.service.data(PATH)] == ["many-4", "many-3", "many-2"]


def test_unknown_ids_are_not_found(observing: Guarded) -> None:
    for method, path in (("GET", "404"), ("POST", "404/replay")):
        refused(observing.service.client.request(method, f"{PATH}/{path}"), 404, "NOT_FOUND")


def test_it_is_for_admins(guard: Guarded) -> None:
    reader = guard.token("--scope", "read")
    for path in (PATH, f"{PATH}/1"):
        refused(guard.get(path, reader), 403, "FORBIDDEN")
    refused(guard.service.post({}, f"{PATH}/1/replay", **bearer(reader)), 403, "FORBIDDEN")


def test_no_header_of_an_agent_is_kept(observing: Guarded) -> None:
    observing.service.post(report("header", cpu_percentage="much"), X_Secret="canary-header", Cookie="canary-cookie")
    kept(observing.service, 1)
    assert "canary-" not in str(observing.service.sql("SELECT * FROM quarantine"))


def test_of_a_flood_the_last_ones_wait() -> None:
    waiting = Quarantine()
    for number in range(WAITING + 5):
        waiting.put(refused_report(f"host-{number}"))
    taken = waiting.take()
    assert (len(taken), taken[-1].host_name) == (WAITING, f"host-{WAITING + 4}")
    assert waiting.take() == []


def test_a_flood_tells_in_the_log_how_many_it_dropped(observing: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Quarantine, "take", lambda _: [])
    batch = {"reports": [report(f"flood-{number}", cpu_percentage="much") for number in range(WAITING + 7)]}
    observing.service.post(batch, "/api/resources/batch")
    refused_reports: Quarantine = observing.service.state["quarantine"]
    until(lambda: told(observing.service) + refused_reports.dropped == 7 > refused_reports.dropped)


def told(service: Service) -> int:
    """How many dropped reports the log tells of: of one flood they may be two lines, the second a minute later."""
    return sum(int(number) for number in re.findall(r"WARNING - quarantine_dropped reports=(\d+)", service.log))


def test_what_is_dropped_is_counted_once() -> None:
    waiting = Quarantine()
    for number in range(WAITING + 2):
        waiting.put(refused_report(f"host-{number}"))
    waiting.put_back([refused_report("back")] * 3)
    assert (waiting.take_dropped(), waiting.take_dropped()) == (5, 0)


def test_what_is_put_back_waits_before_what_came_meanwhile() -> None:
    waiting = Quarantine()
    for number in range(WAITING):
        waiting.put(refused_report(f"host-{number}"))
    taken = waiting.take()
    waiting.put(refused_report("meanwhile"))
    waiting.put_back(taken)
    names = [one.host_name for one in waiting.take()]
    assert names == [*(f"host-{number}" for number in range(1, WAITING)), "meanwhile"]


def refused_report(name: str) -> quarantine.Refused:
    return quarantine.Refused(moment(0), "/api/resources", name, "::1", None, "VALIDATION", "words", 2, b"{}")


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"host": {"host_name": "a"}}', "a"),
        (b'{"node_name": "b"}', "b"),
        (b'{"host": {"host_name": "a\\u0007\\nb"}}', "ab"),
        (b'{"host": {"host_name": "' + b"x" * 300 + b'"}}', "x" * 255),
        (b'{"host": []}', None),
        (b"[1]", None),
        (b"{", None),
    ],
)
def test_whose_report_it_seems_to_be(body: bytes, name: str | None) -> None:
    assert name_in(body) == name


def test_half_a_body_is_none() -> None:
    assert fitting(b"x" * 65_535) == b"x" * 65_535
    assert fitting(b"x" * 65_536) is None
