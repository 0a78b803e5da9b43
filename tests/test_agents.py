"""How the agents report, as the server notes it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services import agents, jobs
from services.agents import Agents, Sign, clock_of
from tests.guarded import Guarded, bearer, guarding, id_of
from tests.intake import refused, until
from tests.service import Service, report, running, settings_for
from utils.utils import SECOND, micros

pytestmark = pytest.mark.security
NOON = datetime(2026, 11, 23, 12)  # noqa: DTZ001 - UTC, as everything here


@pytest.fixture
def noting() -> Iterator[None]:
    """What is heard is noted at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "USED_EVERY_S", 0.1)
        yield


@pytest.fixture
def observing(noting: None, engine: str, new_url: Callable[[str], str], tmp_path: Path) -> Iterator[Guarded]:
    del noting
    with guarding(settings_for(new_url(engine), tmp_path, SECURITY_MODE="observe")) as one:
        yield one


def agent_of(service: Service, host: str, **wanted: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The agent of a host, once it is noted with these figures."""
    found: list[dict[str, Any]] = []

    def noted() -> bool:
        found[:] = service.data("/api/agents", host_name=host)
        return bool(found) and wanted.items() <= found[0].items()

    until(noted)
    return found[0]


def test_who_reports_from_where_and_with_what(observing: Guarded) -> None:
    service, text = observing.service, observing.token("--scope", "ingest", "--host", "new")
    service.post(report("new"), **bearer(text), User_Agent="resource-monitor-agent/1.0.0")
    service.post(report("old"), User_Agent="curl/8")
    new, old = agent_of(service, "new"), agent_of(service, "old")
    assert (new["address"], new["agent"], new["token_id"]) == ("127.0.0.1", "resource-monitor-agent/1.0.0", id_of(text))
    assert (old["agent"], old["token_id"]) == ("curl/8", None)
    assert [one["host_name"] for one in service.data("/api/agents", with_token="false")] == ["old"]
    assert [one["host_name"] for one in service.data("/api/agents", with_token="true")] == ["new"]
    assert [one["host_name"] for one in service.data("/api/agents", q="NE")] == ["new"]


@pytest.mark.parametrize(
    "options",
    [
        ("--scope", "read"),
        ("--scope", "admin"),
        ("--scope", "ingest", "--host", "another"),
        ("--scope", "ingest", "--hosts", "another-*"),
    ],
)
@pytest.mark.parametrize("path", ["/api/resources", "/api/resources/batch"])
def test_a_token_that_would_be_refused_is_as_good_as_none(
    observing: Guarded, path: str, options: tuple[str, ...]
) -> None:
    service, one = observing.service, report("mistaken")
    body = {"reports": [one]} if path.endswith("batch") else one
    assert service.post(body, path, **bearer(observing.token(*options))).status_code == 200
    assert agent_of(service, "mistaken")["token_id"] is None
    assert [one["host_name"] for one in service.data("/api/agents", with_token="false")] == ["mistaken"]


def test_a_first_host_counts_with_its_token_and_the_next_one_without(observing: Guarded) -> None:
    service, text = observing.service, observing.token("--scope", "ingest", "--first-host")
    for name in ("the-first", "the-next"):
        service.post(report(name), **bearer(text))
    assert agent_of(service, "the-first")["token_id"] == id_of(text)
    assert agent_of(service, "the-next")["token_id"] is None


def test_reports_repeats_and_refusals_are_counted(observing: Guarded) -> None:
    service = observing.service
    for key in ("a", "b", "b", "b"):
        service.post(report("counted"), Idempotency_Key=key)
    batch = {"reports": [report("counted"), {**report("counted"), "idempotency_key": "b"}]}
    service.post(batch, "/api/resources/batch")
    agent_of(service, "counted", reports=3, repeats=3, refused=0, last_refusal=None)
    other = report("counted", "changed")
    refused(service.post(other, Idempotency_Key="b"), 422, "KEY_MISMATCH")
    one = agent_of(service, "counted", reports=3, refused=1, last_refusal="KEY_MISMATCH")
    assert one["refused_at"]
    service.post(report("counted"))
    agent_of(service, "counted", reports=4, last_refusal="KEY_MISMATCH")


def test_t2_a_token_for_another_host_spoils_nobodys_figures(guard: Guarded) -> None:
    guard.service.post(report("spoiled"), **guard.ingest("spoiled"))
    refused(guard.service.post(report("spoiled"), **guard.ingest("spoiler")), 403, "FORBIDDEN")
    assert guard.service.state["agents"]._hosts["spoiled"].refused == 0


def test_pages_go_on_where_the_last_one_ended(observing: Guarded) -> None:
    service = observing.service
    service.post({"reports": [report(f"paged-{number}") for number in range(5)]}, "/api/resources/batch")
    until(lambda: len(service.data("/api/agents")) == 5)
    seen, path = [], "/api/agents?limit=2"
    while path:
        answer = service.client.get(path)
        assert answer.headers["x-total-count"] == "5"
        seen += [one["host_name"] for one in answer.json()["data"]]
        path = answer.links["next"]["url"] if "next" in answer.links else ""
    assert seen == [f"paged-{number}" for number in range(5)]


def test_t2_a_host_that_reports_from_another_address_is_told(
    noting: None, engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    """Also across a restart, and while no token is asked for."""
    del noting
    url = new_url(engine)
    for address in ("10.0.0.1", "127.0.0.1"):
        with running(settings_for(url, tmp_path)) as service:
            if address != "127.0.0.1":
                host_id = service.post(report("moved")).json()["data"]["host_id"]
                agent_of(service, "moved")
                service.sql("UPDATE agents SET address = :address", address=address)
            else:
                service.post(report("moved"))
                line = f"security - WARNING - host_moved host_id={host_id} was=10.0.0.1 now=127.0.0.1"
                until(lambda service=service, line=line: line in service.log)  # type: ignore[misc]


def test_t2_a_steady_address_is_nothing_to_tell(observing: Guarded) -> None:
    for number in range(1, 4):
        observing.service.post(report("steady"))
        agent_of(observing.service, "steady", reports=number)
    assert "host_moved" not in observing.service.log


def test_a_deleted_host_has_no_agent_any_more(observing: Guarded) -> None:
    service = observing.service
    host_id = service.post(report("gone")).json()["data"]["host_id"]
    agent_of(service, "gone")
    assert service.client.delete(f"/api/hosts/{host_id}").status_code == 204
    assert service.data("/api/agents", host_name="gone") == []
    until(lambda: service.sql("SELECT COUNT(*) FROM agents WHERE host_id = :id", id=host_id) == [(0,)])


def test_the_list_is_for_admins(guard: Guarded) -> None:
    refused(guard.get("/api/agents", guard.token("--scope", "read")), 403, "FORBIDDEN")
    assert guard.get("/api/agents", guard.admin).status_code == 200


def test_a_strange_user_agent_is_cut_and_kept_in_one_line(observing: Guarded) -> None:
    headers = {"User-Agent": "x\x9b\xad y" + "z" * 300}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    observing.service.client.post("/api/resources", json=report("strange"), headers=raw)
    assert agent_of(observing.service, "strange")["agent"] == ("x y" + "z" * 300)[:255]


def sign(at_s: float, told: str | None = None) -> Sign:
    return Sign(1, "10.0.0.1", None, None, micros(NOON + timedelta(seconds=at_s)), told)


@pytest.mark.parametrize(
    ("told", "skew_s", "offset_min"),
    [
        ("2026-11-23 12:00:00", 0, 0),
        ("2026-11-23T21:00:07", 7, 540),
        ("2026-11-23 17:44:50", -10, 345),
        ("2026-11-23 06:59:00", -60, -300),
        ("2026-11-23 12:07:00", 420, 0),
        (None, None, None),
    ],
)
def test_zone_and_skew_of_a_clock(told: str | None, skew_s: float | None, offset_min: int | None) -> None:
    assert clock_of(sign(0, told)) == (skew_s, offset_min)


def test_the_offset_travels_as_people_write_it(observing: Guarded) -> None:
    at = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=3, minutes=30)
    observing.service.post(report("newfoundland", get_datetime=at.isoformat(" ", "seconds")))
    assert agent_of(observing.service, "newfoundland")["utc_offset"] == "-03:30"


def gaps(moments: list[float]) -> int:
    heard = Agents()
    for at_s in moments:
        heard.stored("host", sign(at_s), repeat=False)
    [[one]] = heard.take()
    return one.gaps


def test_a_silence_of_more_than_usual_is_a_gap() -> None:
    assert gaps([0, 10, 20, 30]) == 0
    assert gaps([0, 10, 20, 46, 56]) == 1
    assert gaps([0, 10, 20, 44]) == 0
    assert gaps([0, 60, 120, 180, 600, 660, 1200]) == 2


def test_a_backlog_is_no_gap_and_not_the_present() -> None:
    heard = Agents()
    for at_s in (0, 10, 20, 5, 7, 30):
        heard.stored("host", sign(at_s), repeat=False)
    [[one]] = heard.take()
    assert (one.reports, one.gaps, one.last_seen) == (6, 0, NOON + timedelta(seconds=30))


def test_what_was_taken_is_not_counted_again() -> None:
    heard = Agents()
    heard.stored("host", sign(0), repeat=False)
    assert [[one.reports for one in portion] for portion in heard.take()] == [[1]]
    assert list(heard.take()) == []


def test_what_could_not_be_noted_is_counted_with_the_next() -> None:
    heard = Agents()
    heard.stored("host", sign(0), repeat=False)
    heard.refused("host", "VALIDATION", SECOND)
    next(heard.take())  # and it fails
    heard.stored("host", sign(1), repeat=True)
    [[one]] = heard.take()
    assert (one.reports, one.repeats, one.refused, one.last_refusal) == (1, 1, 1, "VALIDATION")


def test_what_comes_while_it_is_noted_is_not_lost() -> None:
    heard = Agents()
    heard.stored("host", sign(0), repeat=False)
    for portion in heard.take():
        assert [one.reports for one in portion] == [1]
        heard.stored("host", sign(1), repeat=False)
        heard.refused("host", "VALIDATION", SECOND)
    [[one]] = heard.take()
    assert (one.reports, one.refused, one.last_refusal) == (1, 1, "VALIDATION")


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "MAX_HOSTS", 3)
    monkeypatch.setattr(agents, "PORTION", 2)
    heard = Agents()
    for number in (1, 2, 3, 1, 4):
        heard.stored(f"host-{number}", sign(number)._replace(host_id=number), repeat=False)
    heard.refused("never heard", "VALIDATION", SECOND)
    assert [[one.host_id for one in portion] for portion in heard.take()] == [[3, 1], [4]]
