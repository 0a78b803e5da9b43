"""The lists at a moment of the past: what the reports of then said, or where they are gone their aggregates."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from database import past_hosts
from database.past import RESOLUTIONS, Then
from model.history import METRICS
from model.queries import ContainerSort, HostQuery, HostSort
from tests import moments
from tests.intake import refused
from tests.moments import Told, text
from tests.past import T0, Writer, roll
from tests.schema_engine import Target, target
from tests.service import Service, report, running, settings_for
from tests.test_paging import walk
from utils.utils import SECOND, moment

pytestmark = pytest.mark.history
START = moment(T0)
COMPARED = ("host_name", "engine_type", "container_name", "status", "resolution", "sampled_at", *METRICS)


class Past:
    """A service whose database holds these reports: as rows, or as what is left of them."""

    def __init__(self, service: Service, reports: list[Told], *, aggregated: bool) -> None:
        self.service, self.reports, self.aggregated = service, reports, aggregated

    def containers(self, at: datetime, **asked: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - query parameters
        return walk(self.service, "/api/containers", at=text(at), **asked)

    def hosts(self, at: datetime, **asked: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - query parameters
        return walk(self.service, "/api/hosts", at=text(at), **asked)

    def expected(self, at: datetime) -> list[dict[str, Any]]:
        return moments.containers(self.reports, at, aggregated=self.aggregated)


@pytest.fixture(scope="module", params=["rows", "aggregates"])
def past(
    request: pytest.FixtureRequest, engine: str, new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Past]:
    """Two hours and a half of three hosts, with late reports."""
    url, dice = new_url(engine), random.Random("at")
    reports, aggregated = moments.told(dice), request.param == "aggregates"
    with target(url) as store:
        store.prepare()
        late = dice.sample(reports, 20)
        moments.written(store, [*(one for one in reports if one not in late), *late])
        store.sql("UPDATE hosts SET interval_s = 30")
        if aggregated:
            roll(store)
        with running(settings_for(url, tmp_path_factory.mktemp("at"))) as service:
            yield Past(service, reports, aggregated=aggregated)


def compared(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted((tuple(row[name] for name in COMPARED) for row in rows), key=repr)


@pytest.mark.parametrize("seed", range(25))
def test_the_state_then_is_what_the_reports_said(past: Past, seed: int) -> None:
    at = moments.later(random.Random(f"moment {seed}"))
    assert compared(past.containers(at, limit=4)) == compared(past.expected(at))


@pytest.mark.parametrize("seed", range(10))
def test_the_hosts_then_are_what_the_reports_said(past: Past, seed: int) -> None:
    at = moments.later(random.Random(f"hosts {seed}"))
    found = {row["host_name"]: row for row in past.hosts(at, limit=2)}
    placed = moments.placed(past.reports, at, aggregated=past.aggregated)
    assert found.keys() == placed.keys()
    for host, (seconds, first, made_of) in placed.items():
        row = found[host]
        assert (row["sampled_at"], row["resolution"]) == (text(first), RESOLUTIONS[seconds])
        for metric in METRICS:
            assert row[metric] == moments.average([one.metrics[metric] for one in made_of])
        listed = [one for one in past.expected(at) if one["host_name"] == host]
        running = [one for one in listed if one["status"] == "running"]
        assert (row["containers_count"], row["containers_running"]) == (len(listed), len(running))


MIDDLE = START + timedelta(seconds=4_000)


def ordered(rows: list[dict[str, Any]], sort: str, *then: str) -> list[dict[str, Any]]:
    column = sort.removeprefix("-")
    rows = sorted(rows, key=lambda row: [row[name] for name in then])
    return sorted(rows, key=lambda row: -1 if row[column] is None else row[column], reverse=sort.startswith("-"))


@pytest.mark.parametrize("sort", get_args(ContainerSort))
def test_the_containers_of_then_are_sorted_and_paged(past: Past, sort: str) -> None:
    whole = past.containers(MIDDLE, sort=sort)
    assert len(whole) > 4
    assert past.containers(MIDDLE, sort=sort, limit=2) == whole
    values = [row[sort.removeprefix("-")] for row in whole]
    assert values == [row[sort.removeprefix("-")] for row in ordered(whole, sort)]


@pytest.mark.parametrize("sort", get_args(HostSort))
def test_the_hosts_of_then_are_sorted_and_paged(past: Past, sort: str) -> None:
    whole = past.hosts(MIDDLE, sort=sort)
    assert len(whole) == 3
    assert past.hosts(MIDDLE, sort=sort, limit=1) == whole
    if sort.removeprefix("-") != "last_seen":  # null of an aggregate
        assert whole == ordered(whole, sort, "id")


@pytest.mark.parametrize("asked", [{"host_name": "b"}, {"status": "running"}, {"engine_type": "podman"}, {"q": "WE"}])
def test_the_containers_of_then_are_filtered(past: Past, asked: dict[str, str]) -> None:
    name, value = next(iter(asked.items()))
    whole = past.containers(MIDDLE)
    kept = [row for row in whole if row.get(name) == value or (name == "q" and "we" in row["container_name"])]
    assert 0 < len(kept) < len(whole)
    answer = past.service.client.get("/api/containers", params={"at": text(MIDDLE), **asked})
    assert answer.json()["data"] == kept
    assert answer.headers["x-total-count"] == str(len(kept))


def test_a_page_of_then_tells_how_many_hosts_there_are(past: Past) -> None:
    answer = past.service.client.get("/api/hosts", params={"at": text(MIDDLE), "limit": "2"})
    assert answer.headers["x-total-count"] == "3"
    assert answer.json()["resultMessage"] == "host_count: 2 of 3"


def test_a_page_of_then_does_not_count_all_containers(past: Past) -> None:
    answer = past.service.client.get("/api/containers", params={"at": text(MIDDLE), "limit": "2"})
    assert "x-total-count" not in answer.headers
    assert answer.json()["resultMessage"] == "container_count: 2 of more"


def test_hosts_of_then_are_filtered_by_what_their_containers_were(past: Past) -> None:
    with_podman = {row["host_name"] for row in past.containers(MIDDLE, engine_type="podman")}
    assert {row["host_name"] for row in past.hosts(MIDDLE, engine_type="podman")} == with_podman
    assert past.hosts(MIDDLE, engine_type="other") == []
    assert [row["host_name"] for row in past.hosts(MIDDLE, q="B")] == ["b"]


def test_one_hosts_containers_of_then(past: Past) -> None:
    host = past.hosts(MIDDLE, host_name="a")[0]
    rows = past.service.data(f"/api/hosts/{host['id']}/containers", at=text(MIDDLE))
    assert rows == past.containers(MIDDLE, host_name="a")


def test_an_unchanged_state_of_then_costs_no_body(past: Past) -> None:
    asked = {"at": text(MIDDLE)}
    tag = past.service.client.get("/api/containers", params=asked).headers["etag"]
    again = past.service.client.get("/api/containers", params=asked, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


# Silence, deletion, and what is no moment


def database_of(service: Service) -> AbstractContextManager[Target]:
    url = service.settings.database.url
    assert url
    return target(url.get_secret_value())


def put(service: Service, host: str, *at_s: float) -> None:
    with database_of(service) as store:
        writer = Writer(store)
        writer.put(*(writer.report(host, each, {"container_name": "web"}) for each in at_s))


def status(service: Service, host: str, at_s: float) -> list[str]:
    rows = service.data("/api/hosts", host_name=host, at=text(START + timedelta(seconds=at_s)))
    return [row["status"] for row in rows]


def test_a_host_was_online_until_its_silence_was_long(service: Service) -> None:
    put(service, "silent", 1_000, 1_060)
    assert [status(service, "silent", at_s) for at_s in (999, 1_000, 1_239, 1_241)] == [
        [],
        ["online"],
        ["online"],
        ["offline"],
    ]
    asked = {"at": text(START + timedelta(seconds=1_241)), "host_name": "silent"}
    assert service.data("/api/hosts", status="online", **asked) == []
    assert len(service.data("/api/hosts", status="offline", **asked)) == 1


def test_a_slow_host_was_online_by_its_cadence_of_then(service: Service) -> None:
    put(service, "slow", 0, 600, 1_200)
    roll_of(service)
    service.sql("UPDATE hosts SET interval_s = 10 WHERE host_name = 'slow'")
    assert (status(service, "slow", 2_990), status(service, "slow", 3_010)) == (["online"], ["offline"])


def roll_of(service: Service) -> None:
    with database_of(service) as store:
        roll(store)


def test_nobody_was_there_before_the_first_report(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> None:
    """Though the aggregates of its hour began before it."""
    url = new_url(engine)
    with target(url) as store:
        store.prepare()
        writer = Writer(store)
        writer.put(*(writer.report("h", at_s, {"container_name": "web"}) for at_s in range(0, 7_200, 60)))
        roll(store)
        store.sql("UPDATE hosts SET interval_s = 60")
    settings = settings_for(url, tmp_path, MONITORING_RETENTION_RAW_DAYS="0")
    with running(settings) as service:
        for at_s, count in ((-1, 0), (1, 1)):
            at = (moment(T0) + timedelta(seconds=at_s)).isoformat()
            assert len(service.data("/api/hosts", at=at)) == count
            assert len(service.data("/api/containers", at=at)) == count


def test_rows_that_were_left_do_not_hide_what_is_known_of_later(store: Target) -> None:
    """As where less was kept for a while: what has no rows any more has aggregates."""
    writer = Writer(store)
    writer.put(*(writer.report("h", at_s, {"container_name": "web"}) for at_s in range(0, 7_200, 10)))
    roll(store)
    store.sql("DELETE FROM containers WHERE sampled_at > :t", t=str(moment(T0 + 600 * SECOND)))
    store.sql("DELETE FROM reports WHERE sampled_at > :t", t=str(moment(T0 + 600 * SECOND)))
    at = moment(T0 + 3_600 * SECOND)
    then = Then(at, at, moment(0), timedelta(seconds=180))
    with store.engine.begin() as connection:
        [host] = past_hosts.page(connection, HostQuery.model_validate({}), then).rows
    assert (host.seconds, host.online) == (60, 1)


def test_a_deleted_host_was_never_there(service: Service) -> None:
    put(service, "deleted", 0)
    service.sql("UPDATE hosts SET deleted_at = sampled_at, host_name = NULL WHERE host_name = 'deleted'")
    at = text(START + timedelta(seconds=5))
    assert "deleted" not in {row["host_name"] for row in service.data("/api/containers", at=at)}


def test_the_present_is_the_moment_that_is_still_to_come(service: Service) -> None:
    service.post(report("present", "web"))
    [now] = service.data("/api/containers", host_name="present")
    assert service.data("/api/containers", host_name="present", at="2199-01-01T00:00:00Z") == [now]
    [host] = service.data("/api/hosts", host_name="present")
    assert service.data("/api/hosts", host_name="present", at="2199-01-01T00:00:00Z") == [host]


@pytest.mark.parametrize("path", ["/api/hosts", "/api/containers", "/api/hosts/1/containers"])
@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("2026-01-01T00:00:00+09:00", "%2B"),
        ("yesterday", "datetime"),
        ("0001-01-01T00:00:00%2B09:00", "1970"),
        ("9999-12-31T23:59:59-09:00", "2200"),
    ],
)
def test_what_is_no_moment_is_told(service: Service, path: str, at: str, words: str) -> None:
    service.post(report("first", "web"))
    answer = service.client.get(f"{path}?at={at}")
    refused(answer, 422, "VALIDATION")
    assert words in answer.text


def test_an_offset_is_taken(service: Service) -> None:
    put(service, "offset", 0, 60)
    at = f"{(START + timedelta(hours=9, seconds=30)).isoformat()}%2B09:00"
    [row] = service.client.get(f"/api/containers?host_name=offset&at={at}").json()["data"]
    assert row["sampled_at"] == text(START)
