"""Sums over the containers of a host or of a cluster, and coverage by the cadence that a host had then."""

import random
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import pytest

from database import history, rollups, sums
from database.history import Point
from database.sums import Summed
from model.history import METRICS
from tests import moments
from tests.intake import refused
from tests.moments import Told, told, written
from tests.past import LATER, NAMES, T0, Writer, container, roll, step
from tests.schema_engine import Target
from tests.service import Service, report
from tests.test_history import asked
from utils.utils import SECOND, moment

pytestmark = pytest.mark.history
START = moment(T0)
SPAN = (START, START + timedelta(seconds=9_600))
NOW = START + timedelta(seconds=9_700)


def found(store: Target, step_s: int, host_id: int | None, cluster: str | None = None) -> list[Point]:
    with store.engine.begin() as connection:
        points = sums.points(connection, Summed(host_id, cluster, SPAN, step_s, NOW))
    assert points is not None
    return points


def shown(points: list[Point]) -> dict[datetime, list[Any]]:
    """Of each step the number of reports, and of each metric the sum."""
    return {
        point.begins_at: [
            point.bucket.samples,
            *(
                None if metric.sum is None else pytest.approx(metric.sum / point.bucket.samples)
                for metric in point.bucket.metrics
            ),
        ]
        for point in points
    }


def expected(reports: list[Told], step_s: int, names: set[str] | None = None) -> dict[datetime, list[Any]]:
    """The sums, made of the reports in plain Python."""
    steps: dict[datetime, list[Told]] = defaultdict(list)
    for one in reports:
        steps[rollups.begin(one.at, step_s) if step_s else one.at].append(one)
    return {at: summed(made_of, names) for at, made_of in sorted(steps.items())}


def summed(reports: list[Told], names: set[str] | None) -> list[Any]:
    by_host: dict[str, list[Told]] = defaultdict(list)
    for one in reports:
        by_host[one.host].append(one)
    values: list[Any] = [len(reports)]
    for metric in METRICS:
        parts = [mean(own, metric, names) for own in by_host.values()]
        known = [part for part in parts if part is not None]
        values.append(sum(known) if known else None)
    return values


def mean(reports: list[Told], metric: str, names: set[str] | None) -> float | None:
    samples = [one for each in reports for one in each.shown if names is None or one["container_name"] in names]
    known = [one[metric] for one in samples if one[metric] is not None]
    return sum(known) / len(reports) if known else None if samples else 0.0


@pytest.mark.parametrize("step_s", [60, 300, 600, 3_600, 0])
def test_the_sum_over_a_hosts_containers_at_every_stage_of_the_job(store: Target, step_s: int) -> None:
    reports = told(random.Random(f"sum {step_s}"))
    written(store, reports)
    store.sql("UPDATE hosts SET interval_s = 30")
    host_id = store.sql("SELECT id FROM hosts WHERE host_name = 'a'")[0][0]
    whole = expected([one for one in reports if one.host == "a"], step_s)
    for _ in range(40):
        assert shown(found(store, step_s, host_id)) == whole
        with store.engine.begin() as connection:
            if not step(connection, NOW):
                break


@pytest.mark.parametrize("step_s", [60, 0])
def test_reports_whose_containers_are_gone_are_not_zeros(store: Target, step_s: int) -> None:
    """Retention removes containers before the reports they came with; one without any has a sum of zero."""
    writer, shown_ = Writer(store), {"container_name": "web", "status": "running", "cpu_percentage": 8.0}
    writer.put(*(writer.report("a", at_s, *([shown_] if at_s != 60 else [])) for at_s in (0, 30, 60, 120)))
    store.sql("DELETE FROM containers WHERE id IN (1, 3)")
    points = [(point.bucket.samples, point.bucket.metrics[0].sum) for point in found(store, step_s, 1)]
    assert points == [(1, 8.0), (1, 0.0)]


@pytest.mark.parametrize("step_s", [300, 3_600])
def test_the_sum_over_a_cluster_is_that_of_its_hosts(store: Target, step_s: int) -> None:
    """Its containers are those that each host's newest report has in it."""
    reports = told(random.Random(f"cluster {step_s}"))
    last = max(one.at for one in reports)
    reports += [Told(host, last + timedelta(seconds=1), {}, clustered()) for host in moments.HOSTS]
    written(store, reports)
    store.sql("UPDATE hosts SET interval_s = 30")
    whole = expected(reports, step_s, {"db"})
    assert shown(found(store, step_s, None, "prod")) == whole
    roll(store)
    assert shown(found(store, step_s, None, "prod")) == whole
    assert found(store, step_s, None, "nobody's") == []


def clustered() -> list[dict[str, Any]]:
    metrics = dict.fromkeys(METRICS, 1.0)
    pairs = (("docker", "db", "prod"), ("docker", "web", "test"))
    return [{"engine_type": e, "container_name": n, "cluster_name": c, "status": "up", **metrics} for e, n, c in pairs]


def test_what_was_in_half_of_the_reports_counts_half(store: Target) -> None:
    writer, web = Writer(store), {"container_name": "web", "cpu_percentage": 10.0}
    job = {"container_name": "job", "cpu_percentage": 4.0}
    writer.put(*(writer.report("h", at_s, web, *([job] if at_s % 20 else [])) for at_s in range(0, 600, 10)))
    for point in found(store, 600, 1):
        assert point.bucket.metrics[0].sum == 12.0 * point.bucket.samples


def test_a_silent_host_lowers_the_coverage_of_its_cluster(store: Target) -> None:
    writer = Writer(store)
    web = {"container_name": "web", "cluster_name": "prod", "cpu_percentage": 1.0}
    for host, last in (("a", 1_200), ("b", 600)):
        writer.put(*(writer.report(host, at_s, web) for at_s in range(0, last, 10)))
    store.sql("UPDATE hosts SET interval_s = 10")
    points = {point.begins_at: point.coverage for point in found(store, 600, None, "prod")}
    assert points == {START: 1.0, START + timedelta(seconds=600): 0.5}


def test_coverage_is_by_the_cadence_of_then(store: Target) -> None:
    """A host that reported every 10 s and now does every 60 s; of a silence there is no other cadence."""
    writer = Writer(store)
    writer.put(*(writer.report("h", at_s) for at_s in range(0, 1_200, 10) if not 400 <= at_s < 700))
    store.sql("UPDATE hosts SET interval_s = 10")
    roll(store)
    store.sql("UPDATE hosts SET interval_s = 60")
    for step_s in (60, 300, 600):
        with store.engine.begin() as connection:
            points = history.points(connection, asked(step_s))
        assert points is not None
        assert [point.coverage for point in points if point.coverage is not None] == [
            pytest.approx(min(point.bucket.samples * 10 / step_s, 1.0)) for point in points
        ]


# Over HTTP


def test_a_sum_over_http(service: Service) -> None:
    shown = [
        {"container_name": name, "cpu_percentage": cpu, "cluster_name": "sum-cluster"}
        for name, cpu in (("one", 1.5), ("two", 2.0))
    ]
    host_id = service.post(report("sum-host", *shown, {"container_name": "other", "cpu_percentage": 4})).json()["data"][
        "host_id"
    ]
    for params, cpu in (
        ({"host_id": host_id, "of": "containers"}, 7.5),
        ({"cluster_name": "sum-cluster"}, 3.5),
        ({"cluster_name": "sum-cluster", "host_id": host_id}, 3.5),
        ({"cluster_name": "sum-cluster", "host_id": host_id, "step": "raw"}, 3.5),
    ):
        [point] = service.data("/api/history", **params)["points"]
        assert point["cpu_percentage"] == {"avg": cpu, "min": None, "max": None}
        assert (point["samples"], point["status"], point["memory_usage"]["avg"]) == (1, None, None)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "host_id or cluster_name"),
        ({"host_id": 1, "of": "hosts"}, "of"),
        ({"host_id": 1, "of": "containers", "container_name": "web"}, "container_name"),
        ({"cluster_name": "x", "step": "raw"}, "raw"),
    ],
)
def test_a_wrong_sum_is_told(service: Service, params: dict[str, Any], words: str) -> None:
    answer = service.client.get("/api/history", params=params)
    refused(answer, 422, "VALIDATION")
    assert words in answer.text


def test_a_cluster_of_too_many_hosts_is_told(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "MOST_HOSTS", 1)
    for name in ("many-1", "many-2"):
        service.post(report(name, {"container_name": "web", "cluster_name": "many"}))
    refused(service.client.get("/api/history", params={"cluster_name": "many"}), 422, "VALIDATION")


def test_an_unknown_host_has_no_sum(service: Service) -> None:
    params: dict[str, Any] = {"host_id": 999_999, "of": "containers"}
    refused(service.client.get("/api/history", params=params), 404, "NOT_FOUND")


def test_rows_are_added_up_in_portions(store: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a portion holds, the sum is the same: reports without containers and with more than a portion too."""
    writer, dice = Writer(store), random.Random("portions")
    for at_s in range(0, 600, 10):
        shown = [container(*name, dice) for name in NAMES[: dice.randrange(4)]]
        writer.put(writer.report("h", at_s, *shown))
    made: list[list[Point] | None] = []
    for most in (1, 4, 100):
        monkeypatch.setattr(sums, "MOST_ROWS", most)
        with store.engine.begin() as connection:
            span = (moment(T0), moment(T0 + 700 * SECOND))
            made.append(sums.points(connection, Summed(1, None, span, 0, LATER)))
    assert made[0] == made[1] == made[2]
    assert made[0]
    assert len(made[0]) == 60


def test_what_would_be_too_much_is_refused(store: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, dice = Writer(store), random.Random("too much")
    writer.put(writer.report("h", 0, container(*NAMES[0], dice)))
    monkeypatch.setattr(sums, "MOST_PARTS", 10)
    with store.engine.begin() as connection, pytest.raises(sums.TooMany):
        sums.points(connection, Summed(1, None, (moment(T0), moment(T0 + 700 * SECOND)), 60, LATER))
