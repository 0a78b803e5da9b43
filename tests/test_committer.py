import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest

from database import hosts
from database.committer import MAX_SEARCHES
from tests.conftest import ENGINES, SERVER_CLASSES
from tests.faultkit import COMMIT, LOOK_UP, Proxy, failing, in_one_batch, post_all, statements, until
from tests.servers import Server
from tests.service import Service, report, running, settings_for

pytestmark = pytest.mark.slow

SERVERS = [engine for engine in ENGINES if engine != "sqlite"]


def copies(service: Service, host: str) -> tuple[Any, ...]:
    """How many reports and container rows a host has."""
    counts = [
        service.sql(
            f"SELECT COUNT(*) FROM {table} t JOIN hosts h ON h.id = t.host_id WHERE host_name = :host", host=host
        )
        for table in ("reports", "containers")
    ]
    return tuple(rows[0][0] for rows in counts)


def conflict() -> Exception:
    return pymysql.err.OperationalError(1213, "Deadlock found")


def unforeseen() -> Exception:
    return pymysql.err.OperationalError(9999, "a number of the future")


def lost() -> Exception:
    return pymysql.err.OperationalError(2013, "Lost connection")


def codes(answers: list[Any]) -> list[int]:
    return [answer.status_code for answer in answers]


def test_a_batch_of_many_hosts_is_five_statements(service: Service) -> None:
    bodies = [report(f"count{n}", "web", "db") for n in range(40)]
    post_all(service, bodies[:8])
    in_one_batch(service, bodies)
    with statements(service) as seen:
        assert codes(in_one_batch(service, bodies)) == [200] * 40
    assert len(seen) == 5, seen


def test_details_cost_a_batch_one_statement_more(service: Service) -> None:
    plain, detailed = "web", {"container_name": "web", "image": "web:1"}
    bodies = [report(f"detailed{n}", detailed if n % 2 else plain) for n in range(40)]
    in_one_batch(service, bodies)
    with statements(service) as seen:
        assert codes(in_one_batch(service, bodies)) == [200] * 40
    assert len(seen) == 6, seen


def test_new_hosts_cost_a_transaction_of_their_own(service: Service) -> None:
    service.post(report("known"))
    with statements(service) as seen:
        in_one_batch(service, [report(f"new{n}", "web") for n in range(20)])
    words = [re.search("SELECT|INSERT|UPDATE", one)[0] for one in seen]  # type: ignore[index]  # there is one in each
    assert words == ["SELECT", "INSERT", "SELECT", "SELECT", "INSERT", "INSERT", "INSERT", "UPDATE"]


def test_known_hosts_burn_no_numbers(service: Service) -> None:
    first = service.post(report("burn")).json()["data"]["host_id"]
    for _ in range(5):
        service.post(report("burn", "web"))
    assert service.post(report("after-burn")).json()["data"]["host_id"] == first + 1


def test_reports_of_one_host_in_one_batch_all_count(service: Service) -> None:
    service.post(report("same"))
    answers = in_one_batch(service, [report("same", "web", cpu_percentage=n) for n in range(10)])
    assert codes(answers) == [200] * 10
    assert copies(service, "same") == (11, 10)


@pytest.mark.parametrize("engine", SERVERS)
def test_the_largest_report_fits_through_a_small_packet(engine: str, tmp_path: Path) -> None:
    name = "\U0001f433" * 255
    sample = dict.fromkeys(("container_name", "cluster_name", "node_name", "engine_type", "status"), name)
    one = json.dumps(sample, ensure_ascii=False)
    body = f'{{"host": {{"host_name": "{name}"}}, "containers": [{",".join([one] * 190)}]}}'
    with SERVER_CLASSES[engine]("--max-allowed-packet=1M") as server:
        settings = settings_for(server.url(server.create_database()), tmp_path)
        with running(settings) as service, statements(service) as seen:
            assert service.client.post("/api/resources", content=body.encode()).status_code == 200
            seen.clear()
            many = [{"container_name": f"{n}" + "\U0001f433" * 100} for n in range(2000)]
            content = json.dumps(report(name, *many), ensure_ascii=False).encode()
            assert service.client.post("/api/resources", content=content).status_code == 200
            packets = [one for one in seen if "INTO containers (" in one]
            assert len(packets) > 1
            assert len(seen) == 4 + len(packets)
            assert service.sql("SELECT COUNT(*) FROM containers") == [(2190,)]
    assert max(len(one.encode()) for one in packets) < 1 << 20


@pytest.fixture(scope="module", params=SERVERS)
def proxied(
    request: pytest.FixtureRequest, servers: Callable[[str], Server], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Proxy]]:
    """A service whose database is behind a proxy; host `known` has reported."""
    server = servers(request.param)
    proxy = Proxy(server.port)
    url = server.url(server.create_database()).replace(f":{server.port}/", f":{proxy.port}/")
    with running(settings_for(url, tmp_path_factory.mktemp("proxied"), MYSQL_SSL_MODE="disabled")) as service:
        yield service, proxy
    proxy.close()


@pytest.fixture
def remote(proxied: tuple[Service, Proxy]) -> Service:
    """For faults that only servers have."""
    return proxied[0]


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("key", ["key", None])
def test_a_commit_whose_answer_is_lost_counts_once(
    proxied: tuple[Service, Proxy], *, arrives: bool, key: str | None
) -> None:
    service, proxy = proxied
    host = f"lost-{arrives}-{key}"
    service.post(report(host))
    proxy.cut(COMMIT, arrives=arrives)
    headers = {"Idempotency_Key": key} if key else {}
    answer = service.post(report(host, "web", "db"), **headers)
    assert (answer.status_code, proxy.done) == (200, True)
    assert "Idempotent-Replayed" not in answer.headers
    assert copies(service, host) == (2, 2)


@pytest.mark.parametrize("arrives", [True, False])
def test_an_admins_act_whose_commit_is_lost_is_unknown(proxied: tuple[Service, Proxy], *, arrives: bool) -> None:
    service, proxy = proxied
    host_id = service.post(report(f"act-{arrives}")).json()["data"]["host_id"]
    proxy.cut(COMMIT, arrives=arrives)
    answer = service.client.put(f"/api/hosts/{host_id}/tags", json={"tags": ["a"]})
    assert (answer.status_code, answer.json()["resultCode"], proxy.done) == (503, "COMMIT_UNKNOWN", True)
    assert "look whether it was done before you ask again" in answer.json()["resultMessage"]
    until(lambda: service.client.get(f"/api/hosts/{host_id}").json()["data"]["tags"] == ["a"] * arrives)


def test_an_admins_act_that_is_lost_before_its_commit_is_not_done(proxied: tuple[Service, Proxy]) -> None:
    service, proxy = proxied
    host_id = service.post(report("act-before")).json()["data"]["host_id"]
    proxy.cut(b"tags", arrives=True)
    answer = service.client.put(f"/api/hosts/{host_id}/tags", json={"tags": ["a"]})
    assert (answer.status_code, answer.json()["resultCode"], proxy.done) == (503, "DB_UNAVAILABLE", True)


@pytest.mark.parametrize("arrives", [True, False])
def test_a_batch_whose_commit_and_look_up_are_lost_counts_once(
    proxied: tuple[Service, Proxy], *, arrives: bool
) -> None:
    service, proxy = proxied
    names = [f"twice-{arrives}-{n}" for n in range(5)]
    post_all(service, [report(host) for host in names])
    proxy.cut(COMMIT, arrives=arrives)
    proxy.cut(LOOK_UP, arrives=True)
    proxy.cut(LOOK_UP, arrives=False)
    proxy.cut(COMMIT, arrives=True)
    if arrives:
        proxy._rules.pop()  # there is nothing left to commit
    assert codes(in_one_batch(service, [report(host, "web") for host in names])) == [200] * 5
    assert proxy.done
    assert {copies(service, host) for host in names} == {(2, 1)}


@pytest.mark.parametrize("marker", [b"FOR UPDATE", b"INTO reports (", b"INTO containers (", b"UPDATE "])
def test_a_connection_lost_before_commit_counts_once(proxied: tuple[Service, Proxy], marker: bytes) -> None:
    service, proxy = proxied
    host = f"before {marker.decode()}"
    service.post(report(host))
    proxy.cut(marker, arrives=True)
    assert service.post(report(host, "web")).status_code == 200
    assert proxy.done
    assert copies(service, host) == (2, 1)


def test_a_connection_lost_while_hosts_are_made_makes_each_once(proxied: tuple[Service, Proxy]) -> None:
    service, proxy = proxied
    proxy.cut(COMMIT, arrives=True)
    assert codes(post_all(service, [report(f"making{n}", "web") for n in range(4)])) == [200] * 4
    assert service.sql("SELECT COUNT(*) FROM hosts WHERE host_name LIKE 'making%'") == [(4,)]


@contextmanager
def stamped(service: Service, at: int) -> Iterator[None]:
    """The next reports are received at this microsecond."""
    clock = service.state["database"].clock
    clock.stamp, before = lambda: at, clock.stamp
    try:
        yield
    finally:
        clock.stamp = before


def test_a_moment_that_another_instance_took_is_moved_by_one(service: Service) -> None:
    at = service.state["database"].clock.stamp()
    with stamped(service, at):
        service.post(report("moment", cpu_percentage=1))
        answers = [service.post(report("moment", "web", cpu_percentage=n)) for n in (2, 3)]
    assert codes(answers) == [200, 200]
    rows = service.sql(
        "SELECT r.sampled_at FROM reports r JOIN hosts h ON h.id = r.host_id WHERE host_name = 'moment' ORDER BY 1"
    )
    micros = [int(str(row[0])[-6:]) for row in rows]
    assert [one - micros[0] for one in micros] == [0, 1, 2]


def test_a_key_that_another_instance_stored_is_a_repeat(service: Service) -> None:
    service.post(report("keyed", "web"), Idempotency_Key="k1")
    bodies = [report("keyed", "web"), report("keyed", "db"), report("other-keyed", "db")]
    answers = in_one_batch(service, bodies, ["k1", "k2", "k1"])
    assert codes(answers) == [200] * 3
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == ["true", None, None]
    assert copies(service, "keyed") == (2, 2)


def test_a_key_with_other_content_is_refused_and_the_rest_is_stored(service: Service) -> None:
    service.post(report("reused", "web"), Idempotency_Key="k")
    answers = in_one_batch(service, [report("reused", "db"), report("beside-reused")], ["k", "k"])
    assert [answer.json()["resultCode"] for answer in answers] == ["KEY_MISMATCH", "0"]


def refuse(service: Service, name: str) -> None:
    """Lets the database refuse containers of a name, which validation knows nothing of."""
    if service.settings.sqlite_path:
        service.sql(
            f"CREATE TRIGGER refuse BEFORE INSERT ON containers WHEN NEW.container_name = '{name}' "
            "BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed'); END"
        )
    else:
        service.sql(f"ALTER TABLE containers ADD CONSTRAINT refuse CHECK (container_name <> '{name}')")


def test_a_report_that_the_database_refuses_stands_alone(fresh: Service) -> None:
    refuse(fresh, "poison")
    bodies = [report(f"host{n}", "poison" if n == 37 else "web") for n in range(64)]
    post_all(fresh, [report(f"host{n}") for n in range(64)])
    with statements(fresh) as seen:
        answers = in_one_batch(fresh, bodies)
    assert [n for n, answer in enumerate(answers) if answer.status_code != 200] == [37]
    assert answers[37].json()["resultCode"] == "VALIDATION"
    assert fresh.sql("SELECT COUNT(*) FROM containers") == [(63,)]
    tries = [one for one in seen if "INTO reports (" in one]
    assert len(tries) <= 1 + 2 * 6


def test_conflicts_are_retried_five_times(remote: Service) -> None:
    remote.post(report("conflict"))
    with failing(remote, "INTO reports (", conflict, times=5):
        assert remote.post(report("conflict", "web")).status_code == 200
    assert copies(remote, "conflict") == (2, 1)


def test_endless_conflicts_end_in_503(remote: Service) -> None:
    remote.post(report("endless"))
    with failing(remote, "INTO reports (", conflict, times=6):
        answer = remote.post(report("endless", "web"))
    assert (answer.status_code, answer.json()["resultCode"]) == (503, "DB_UNAVAILABLE")
    assert answer.headers["Retry-After"]
    assert copies(remote, "endless") == (1, 0)


def test_an_error_nobody_foresaw_fails_one_report_alone(remote: Service) -> None:
    names = [f"odd{n}" for n in range(8)]
    post_all(remote, [report(host) for host in names])
    with failing(remote, "'strange'", unforeseen, times=100):
        answers = in_one_batch(remote, [report(host, "strange" if host == "odd5" else "web") for host in names])
    assert [n for n, answer in enumerate(answers) if answer.json()["resultCode"] == "DB_UNAVAILABLE"] == [5]
    assert sum(copies(remote, host)[1] for host in names) == 7


def test_errors_without_end_are_given_up_early(remote: Service) -> None:
    names = [f"broken{n}" for n in range(40)]
    post_all(remote, [report(host) for host in names])
    with failing(remote, "INTO reports (", unforeseen, times=1000), statements(remote) as seen:
        answers = in_one_batch(remote, [report(host) for host in names])
    assert codes(answers) == [503] * 40
    assert len([one for one in seen if "INTO reports (" in one]) <= 2 * MAX_SEARCHES


@pytest.mark.parametrize("key", [None, "k"])
def test_a_forgotten_host_comes_back_as_a_new_one(service: Service, key: str | None) -> None:
    host = f"forgotten-{key}"
    first = service.post(report(host)).json()["data"]["host_id"]
    service.sql("UPDATE hosts SET deleted_at = created_at, host_name = NULL WHERE id = :id", id=first)
    answer = service.post(report(host, "web"), **({"Idempotency_Key": key} if key else {}))
    assert answer.status_code == 200
    assert answer.json()["data"]["host_id"] > first
    assert copies(service, host) == (1, 1)


def test_a_host_that_vanishes_between_two_statements_comes_back(remote: Service) -> None:
    remote.post(report("vanishing"))
    with failing(remote, "INTO reports (", lambda: pymysql.err.IntegrityError(1452, "foreign key")):
        assert remote.post(report("vanishing", "web")).status_code == 200
    assert copies(remote, "vanishing") == (2, 1)


def test_a_connection_lost_at_its_start_is_made_again(remote: Service) -> None:
    remote.post(report("start"))
    with failing(remote, "INTO reports (", lost), failing(remote, "SHOW VARIABLES", lost):
        assert remote.post(report("start", "web")).status_code == 200
    assert copies(remote, "start") == (2, 1)


def test_a_host_that_cannot_be_made_is_503(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(hosts, "create", lambda *_: None)
        answer = service.post(report("unmakable"))
    assert (answer.status_code, answer.json()["resultCode"]) == (503, "DB_UNAVAILABLE")
    assert service.post(report("unmakable")).status_code == 200
