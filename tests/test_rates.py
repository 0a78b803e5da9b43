from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from database.host_ids import HOUR_S, NewHosts
from services.rates import Rates
from tests.envelopes import envelope
from tests.faultkit import in_one_batch, post_all
from tests.intake import refused, rows, stored
from tests.service import SAMPLE, Service, report, running, settings_for

pytestmark = pytest.mark.security

BURST = 4
Limited = Callable[..., AbstractContextManager[Service]]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_t40_a_bucket_gives_its_burst_and_then_its_rate(clock: Clock) -> None:
    rates = Rates(30, 3, clock)
    assert [rates.wait_s("a") for _ in range(5)] == pytest.approx([0, 0, 0, 2, 2])
    clock.now += 1.5
    assert rates.wait_s("a") == pytest.approx(0.5)
    clock.now += 0.5
    assert [rates.wait_s("a") for _ in range(2)] == pytest.approx([0, 2])
    clock.now += 100
    assert [rates.wait_s("a") for _ in range(4)] == pytest.approx([0, 0, 0, 2])


def test_t40_the_rate_holds_on_the_long_run(clock: Clock) -> None:
    rates, granted = Rates(7, 5, clock), 0
    for _ in range(36_000):
        clock.now += 0.1
        granted += rates.wait_s("a") == 0
    assert granted == pytest.approx(7 * 60 + 5, abs=1)


def test_t40_each_key_has_its_own_bucket(clock: Clock) -> None:
    rates = Rates(1, 1, clock)
    assert [rates.wait_s(key) for key in ("a", "b", "a", ("token", 1))] == pytest.approx([0, 0, 60, 0])


def test_t40_of_made_up_keys_only_so_many_are_kept(clock: Clock) -> None:
    rates = Rates(1, 1, clock, max_keys=100)
    assert not any(rates.wait_s(number) for number in range(1000))
    assert len(rates) == 100
    assert rates.wait_s(999) == pytest.approx(60)


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Service]:
    """A service that grants each client a few requests at once, and one more in half an hour."""
    given = {"SECURITY_RATE_LIMIT_PER_MINUTE": "1", "SECURITY_RATE_LIMIT_BURST": str(BURST)}
    given["SERVER_FORWARDED_ALLOW_IPS"] = "127.0.0.1"
    with running(settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path, **given)) as one:
        yield one


@pytest.mark.parametrize("path", ["/api/resources", "/monitor_info", "/api/resources/batch", "/api/hosts", "/nothing"])
def test_t40_who_comes_too_often_is_refused_and_no_one_else(limited: Service, path: str) -> None:
    def ask(address: str) -> httpx.Response:
        body = {"reports": []} if "batch" in path else report("limited")
        method = "POST" if path == "/monitor_info" or "resources" in path else "GET"
        headers = {"X-Forwarded-For": address}
        return limited.client.request(method, path, json=body if method == "POST" else None, headers=headers)

    assert 429 not in [ask("192.0.2.1").status_code for _ in range(BURST)]
    before = rows(limited)
    answer = ask("192.0.2.1")
    assert (answer.status_code, envelope(answer)["resultCode"]) == (429, "RATE_LIMITED")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert rows(limited) == before
    assert ask("192.0.2.2").status_code != 429


def test_t40_of_ipv6_the_network_comes_too_often_and_not_its_neighbour(limited: Service) -> None:
    def ask(address: str) -> int:
        return limited.client.get("/api/hosts", headers={"X-Forwarded-For": address}).status_code

    assert [ask(f"2001:db8::{number}") for number in range(1, BURST + 2)] == [200] * BURST + [429]
    assert ask("2001:db8:0:1::1") == 200


def test_t40_whoever_watches_the_server_is_never_refused(limited: Service) -> None:
    for path in ("/health", "/health/live"):
        assert {limited.client.get(path).status_code for _ in range(BURST * 3)} == {200}
    assert {limited.client.head("/health").status_code for _ in range(BURST * 3)} == {200}
    stored(limited.post(SAMPLE))


def test_t40_there_is_no_limit_by_default(sqlite: Service) -> None:
    assert {sqlite.client.get("/api/hosts").status_code for _ in range(300)} == {200}


# New hosts


def test_t40_hosts_are_counted_for_an_hour(clock: Clock) -> None:
    new = NewHosts(3, clock)
    assert new.surplus(["c", "a", "d", "b"]) == ["d"]
    new.note(2)
    clock.now += 600
    new.note(1)
    assert new.surplus(["e"]) == ["e"]
    assert new.wait_s() == pytest.approx(HOUR_S - 600)
    clock.now += HOUR_S - 600
    assert new.surplus(["e", "f", "g"]) == ["g"]
    clock.now += 600
    assert new.surplus(["e", "f", "g"]) == []


def test_t40_any_number_of_hosts_is_new_by_default() -> None:
    new = NewHosts()
    new.note(5)
    assert new.surplus([str(number) for number in range(10_000)]) == []


@pytest.fixture
def guarded(new_url: Callable[[str], str], engine: str, tmp_path: Path) -> Iterator[Service]:
    """A service that makes three hosts within an hour, on each engine."""
    given = {"SECURITY_MAX_NEW_HOSTS_PER_HOUR": "3"}
    with running(settings_for(new_url(engine), tmp_path, **given)) as one:
        yield one


def test_t40_reports_of_too_many_new_hosts_are_refused_and_the_others_stored(guarded: Service) -> None:
    stored(guarded.post(report("known", "web")))
    before = rows(guarded)
    bodies = [report(name, "web") for name in ("known", "new-1", "new-2", "new-3", "new-4", "known")]
    answers = in_one_batch(guarded, bodies)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429, 200]
    for answer in answers[3:5]:
        refused(answer, 429, "RATE_LIMITED")
        assert 3500 < int(answer.headers["retry-after"]) <= 3600
    hosts, reports, containers, _ = rows(guarded)
    assert (hosts, reports, containers) == (before[0] + 2, before[1] + 4, before[2] + 4)
    assert [answer.status_code for answer in post_all(guarded, [report("new-1"), report("known")])] == [200, 200]


def test_t40_within_a_batch_the_others_are_stored_too(guarded: Service) -> None:
    sent = {"reports": [report(f"batch-{number}") for number in range(5)]}
    answer = guarded.post(sent, "/api/resources/batch")
    codes = sorted(result["resultCode"] for result in envelope(answer)["data"]["results"])
    assert (answer.status_code, codes) == (207, ["0", "0", "0", "RATE_LIMITED", "RATE_LIMITED"])
    assert rows(guarded)[0] == 3
