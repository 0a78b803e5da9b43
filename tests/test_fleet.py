"""The fleet at a glance: one snapshot for all that look, what changed since, and the last hour by the minute."""

import gzip
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, event

from database import fleet as statements
from database.hosts import Presence
from services import fleet as snapshots
from services.fleet import Snapshot, following, totals_of
from tests.intake import until
from tests.service import Service, report
from utils.utils import SECOND, moment


@pytest.fixture(autouse=True)
def always_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look is at the database, unless a test says otherwise."""
    for name in ("KEPT_S", "TREND_KEPT_S"):
        monkeypatch.setattr(snapshots, name, -1.0)


def seen(service: Service, **asked: str) -> dict[str, Any]:
    data: dict[str, Any] = service.data("/api/fleet", **asked)
    return data


def named(data: dict[str, Any]) -> list[str]:
    return [host["host_name"] for host in data["hosts"]]


def put(service: Service, name: str, *containers: str | dict[str, Any], age_s: float = 0, **values: Any) -> int:  # noqa: ANN401
    answer = service.post({**report(name, *containers, **values), "age_s": age_s})
    assert answer.status_code == 200, answer.text
    host_id: int = answer.json()["data"]["host_id"]
    return host_id


def test_a_glance_tells_every_host_and_the_sums(fresh: Service) -> None:
    put(fresh, "b", "one", {"container_name": "two", "status": "exited"}, cpu_percentage=10.0, cpu_cores=4)
    put(fresh, "a", "three", cpu_percentage=40.0, cpu_cores=12, memory_usage=8.0, memory_percentage=50.0)
    data = seen(fresh)
    assert (data["full"], named(data), data["gone"]) == (True, ["a", "b"], [])
    assert data["totals"] == {
        "hosts": {"online": 2, "offline": 0},
        "containers": {"exited": 1, "running": 2},
        "cpu_percentage": 32.5,
        "cpu_cores": 16,
        "memory_percentage": 50.0,
        "memory_usage": 8.0,
        "memory_total": 16.0,
    }
    assert data["hosts"][0]["containers_running"] == 1


def test_a_share_of_next_to_nothing_tells_of_no_memory(fresh: Service) -> None:
    put(fresh, "odd", memory_usage=1e9, memory_percentage=1e-300)
    put(fresh, "even", memory_usage=4.0, memory_percentage=25.0)
    totals = seen(fresh)["totals"]
    assert (totals["memory_total"], totals["memory_percentage"]) == (16.0, 25.0)
    [all_] = fresh.data("/api/trends")["series"]
    assert {value for value in all_["memory_percentage"] if value is not None} == {25.0}


def test_only_what_changed_since_is_told(fresh: Service) -> None:
    first, second = put(fresh, "stays"), put(fresh, "changes", cpu_percentage=1.0)
    before = seen(fresh)["snapshot"]
    assert seen(fresh, changed_since=before)["hosts"] == []
    put(fresh, "changes", cpu_percentage=2.0)
    put(fresh, "comes")
    later = seen(fresh, changed_since=before)
    assert (later["full"], sorted(named(later))) == (False, ["changes", "comes"])
    assert fresh.client.delete(f"/api/hosts/{second}").status_code == 204
    assert seen(fresh, changed_since=later["snapshot"])["gone"] == [second]
    assert sorted(named(seen(fresh))) == ["comes", "stays"]
    assert first != second


@pytest.mark.parametrize("name", ["", "0-1", "ffffffff-1", "x", "-", "1" * 64])
def test_of_a_snapshot_that_is_not_known_everything_is_new(sqlite: Service, name: str) -> None:
    put(sqlite, "any")
    data = seen(sqlite, changed_since=name)
    assert data["full"] is True
    assert "any" in named(data)


def test_a_number_of_the_future_or_of_letters_is_not_known(sqlite: Service) -> None:
    process = seen(sqlite)["snapshot"].partition("-")[0]
    for number in ("999999", "1" * 40, "²", "-1"):
        assert seen(sqlite, changed_since=f"{process}-{number}")["full"] is True


def test_what_did_not_change_is_304(fresh: Service) -> None:
    put(fresh, "any")
    answer = fresh.client.get("/api/fleet")
    again = fresh.client.get("/api/fleet", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    put(fresh, "any", cpu_percentage=1.0)
    assert fresh.client.get("/api/fleet", headers={"If-None-Match": answer.headers["etag"]}).status_code == 200


def test_who_takes_gzip_gets_it(sqlite: Service) -> None:
    put(sqlite, "any")
    with httpx.stream("GET", f"{sqlite.url}/api/fleet", headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    plain = sqlite.client.get("/api/fleet", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(packed) == plain.content


@pytest.mark.parametrize(
    ("asked", "packed"),
    [("gzip", True), ("br, GZIP; q=0.5", True), ("gzip;q=1.0", True), ("gzip;q=0", False), ("br, gzip;q=0.000", False)],
)
def test_whoever_refuses_gzip_gets_none(sqlite: Service, asked: str, packed: bool) -> None:  # noqa: FBT001 - a case
    answer = sqlite.client.get("/api/fleet", headers={"Accept-Encoding": asked})
    assert ("content-encoding" in answer.headers) == packed


def test_all_that_look_at_once_share_one_look(sqlite: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    put(sqlite, "any")
    monkeypatch.setattr(snapshots, "KEPT_S", 3_600.0)
    first = seen(sqlite)
    put(sqlite, "later")
    assert seen(sqlite) == first


def test_an_hour_by_the_minute(fresh: Service) -> None:
    clock = fresh.state["database"].clock
    until(lambda: clock.now() % (60 * SECOND) < 45 * SECOND, 30)  # the last two reports fall into one minute
    first = put(fresh, "a", "web", age_s=180, cpu_percentage=10.0, cpu_cores=1)
    for age_s, cpu in ((120, 20.0), (0, 40.0)):
        put(fresh, "a", {"container_name": "web", "cpu_percentage": cpu}, age_s=age_s, cpu_percentage=cpu, cpu_cores=1)
    put(fresh, "b", age_s=0, cpu_percentage=10.0, cpu_cores=2)
    [all_] = fresh.data("/api/trends")["series"]
    assert [value for value in all_["cpu_percentage"] if value is not None] == [10.0, 20.0, 20.0]
    [own] = fresh.data("/api/trends", host_ids=str(first))["series"]
    assert [value for value in own["cpu_percentage"] if value is not None] == [10.0, 20.0, 40.0]
    assert (own["host_id"], own["engine_type"], own["container_name"], len(own["cpu_percentage"])) == (
        first,
        None,
        None,
        61,
    )
    [web] = fresh.data("/api/trends", host_ids=str(first), of="containers")["series"]
    assert (web["engine_type"], web["container_name"]) == ("docker", "web")
    assert [value for value in web["cpu_percentage"] if value is not None] == [20.0, 40.0]


@pytest.mark.parametrize(
    "asked", [{"of": "containers"}, {"host_ids": "1,2", "of": "containers"}, {"host_ids": "0"}, {"host_ids": "1,"}]
)
def test_trends_of_nothing_in_particular_are_refused(sqlite: Service, asked: dict[str, str]) -> None:
    answer = sqlite.client.get("/api/trends", params=asked)
    assert (answer.status_code, answer.json()["resultCode"]) == (422, "VALIDATION")


def test_a_look_reads_no_past(fresh: Service) -> None:
    """However many containers there were: SQLite would read them all and look up the host of each."""
    put(fresh, "a", "web")
    host = {"online": 1, "offline": 0}
    for age_s in range(40, 0, -1):
        put(fresh, "a", *(f"c-{number}" for number in range(20)), age_s=age_s)
    data = seen(fresh)
    assert data["totals"]["hosts"] == host
    with fresh.state["database"]._read_engine.connect() as connection:
        now = moment(fresh.state["database"].clock.now())
        plan = explained(connection, lambda: statements.look(connection, Presence(now, now)))
    assert "SCAN containers" not in plan


def explained(connection: Connection, work: Callable[[], object]) -> str:
    """How SQLite does what some work asks for; of other engines nothing is told."""
    if connection.dialect.name != "sqlite":
        return ""
    said: list[tuple[str, Any]] = []
    event.listen(connection, "before_cursor_execute", lambda *given: said.append((given[2], given[3])))
    work()
    asked = [(words, values) for words, values in said if words.startswith("SELECT")]
    plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", values) for words, values in asked]
    return "\n".join(str(row) for plan in plans for row in plan)


def test_hosts_that_left_long_ago_are_forgotten_one_by_one() -> None:
    hosts = {number: {"id": number} for number in range(snapshots.GONE + 10)}
    all_ = hosts | {}
    snapshot = following(Snapshot(0, {}, {}, {}, {}), {id_: shown(id_) for id_ in all_}, {})
    for id_ in all_:
        del hosts[id_]
        snapshot = following(snapshot, {left: shown(left) for left in hosts}, {})
        if id_ == 5:
            break
    assert list(snapshot.gone) == [0, 1, 2, 3, 4, 5]
    emptied = following(snapshot, {}, {})
    assert len(emptied.gone) == snapshots.GONE
    assert emptied.totals == totals_of({}, {})


def shown(id_: int) -> dict[str, Any]:
    values = dict.fromkeys(("cpu_percentage", "cpu_cores", "memory_usage", "memory_percentage"))
    return {"id": id_, "status": "online", **values}
