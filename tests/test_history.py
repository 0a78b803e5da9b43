"""The past as it is read: the same whether it comes from rows, from aggregates, or from both."""

import random
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from database import history, rollups
from database.history import Asked
from database.series import HOST, Name
from model.history import METRICS
from model.models import containers, reports
from tests.intake import refused
from tests.past import NAMES, T0, Writer, container, fleet, step
from tests.schema_engine import Target
from tests.service import Service, report
from utils.utils import moment

pytestmark = pytest.mark.history
START = moment(T0)


def asked(step_s: int, name: Name = HOST, span: tuple[int, int] = (0, 7_200), now_s: float = 7_300) -> Asked:
    first, last = (START + timedelta(seconds=at) for at in span)
    return Asked(1, name, (first, last), step_s, START + timedelta(seconds=now_s))


def read(store: Target, one: Asked) -> list[tuple[Any, ...]]:
    with store.engine.begin() as connection:
        points = history.points(connection, one)
    assert points is not None
    return [(point.begins_at, point.bucket.samples, point.bucket.status, *spreads(point.bucket)) for point in points]


def spreads(bucket: Any) -> list[Any]:  # noqa: ANN401 - a Bucket
    return [part for metric in bucket.metrics for part in (metric.sum, metric.min, metric.max, metric.nulls)]


def expected(store: Target, one: Asked) -> list[tuple[Any, ...]]:
    """The steps, made of the raw rows in plain Python."""
    steps: dict[datetime, dict[datetime, Any]] = defaultdict(dict)
    table = reports if one.name == HOST else containers
    statement = select(table).where(table.c.host_id == one.host_id).order_by(table.c.sampled_at)
    if one.name != HOST:
        statement = statement.where(table.c.engine_type == one.name[0], table.c.container_name == one.name[1])
        statement = statement.order_by(containers.c.id)
    with store.engine.begin() as connection:
        for row in connection.execute(statement):
            if rollups.begin(one.span[0], one.step_s) <= row.sampled_at < one.span[1]:
                steps[rollups.begin(row.sampled_at, one.step_s)].setdefault(row.sampled_at, row)
    return [(at, *summed(list(rows.values()))) for at, rows in sorted(steps.items())]


def summed(rows: list[Any]) -> list[Any]:
    values: list[Any] = [len(rows), getattr(rows[-1], "status", None)]
    for metric in METRICS:
        known = [value for row in rows if (value := getattr(row, metric)) is not None]
        values += [sum(known), min(known), max(known)] if known else [None] * 3
        values.append(len(rows) - len(known))
    return values


@pytest.mark.parametrize("name", [HOST, NAMES[0]])
@pytest.mark.parametrize("step_s", [60, 300, 600, 1_800, 3_600])
def test_rows_and_aggregates_meet_without_a_seam(store: Target, step_s: int, name: Name) -> None:
    """However far the job is, and with late reports of what it has made already."""
    dice = random.Random(f"history {step_s} {name}")
    writer, made = Writer(store), fleet(store, dice, 240)
    late = [made.pop(dice.randrange(len(made))) for _ in range(20)]
    writer.put(*made)
    store.sql("UPDATE hosts SET interval_s = 15")
    one = asked(step_s, name)
    whole = expected(store, one)
    for _ in range(40):
        with store.engine.begin() as connection:
            done = step(connection, one.now)
        assert read(store, one) == whole
        if not done:
            break
    writer.put(*late)
    assert read(store, one) == expected(store, one)


@pytest.mark.parametrize("name", [HOST, NAMES[0]])
@pytest.mark.parametrize("step_s", [60, 600, 3_600])
def test_a_host_that_changes_its_cadence_has_no_gap(store: Target, step_s: int, name: Name) -> None:
    """Before and after, and in between, it reports too seldom for the finest tiers."""
    dice, writer = random.Random(f"cadence {step_s}"), Writer(store)
    for first, last, every in ((0, 1_500, 60), (1_500, 3_000, 10), (3_000, 6_000, 90), (6_000, 7_200, 10)):
        for at_s in range(first, last, every):
            writer.put(writer.report("h", at_s, *(container(*one, dice) for one in NAMES)))
        with store.engine.begin() as connection:
            while step(connection, START + timedelta(seconds=last)):
                pass
    one = asked(step_s, name)
    assert read(store, one) == expected(store, one)


def test_a_part_of_the_past_begins_with_a_whole_step(store: Target) -> None:
    dice = random.Random("part")
    Writer(store).put(*fleet(store, dice, 100))
    one = asked(600, span=(1_000, 1_500))
    points = read(store, one)
    assert points == expected(store, one)
    assert points[0][0] <= START + timedelta(seconds=1_000)


def test_coverage_is_what_there_is_of_what_the_cadence_would_make(store: Target) -> None:
    writer = Writer(store)
    writer.put(*(writer.report("h", at_s) for at_s in range(0, 600, 10) if not 200 <= at_s < 320))
    store.sql("UPDATE hosts SET interval_s = 10")
    with store.engine.begin() as connection:
        points = history.points(connection, asked(60, now_s=585))
    assert points is not None
    found = [point.coverage for point in points]
    assert found[:2] == [1.0, 1.0]
    assert min(value for value in found if value is not None) == pytest.approx(
        1 / 3
    )  # the minute in which the silence began
    assert found[-1] == 1.0  # the minute that has not ended counts as far as it goes
    assert len(points) == 10 - 1


# Over HTTP


def test_a_containers_past_over_http(service: Service) -> None:
    for cpu in (1.0, 2.0, 6.0, None):
        shown = {"container_name": "past", "status": "running", "cpu_percentage": cpu, "memory_usage": 0.5}
        host_id = service.post(report("past-host", shown, cpu_percentage=50)).json()["data"]["host_id"]
    data = service.data("/api/history", host_id=host_id, container_name="past", step="5m")
    assert (data["step"], sum(point["samples"] for point in data["points"])) == ("5m", 4)
    point = data["points"][-1]
    assert point["status"] == "running"
    assert point["memory_usage"] == {"avg": 0.5, "min": 0.5, "max": 0.5}
    if len(data["points"]) == 1:
        assert point["cpu_percentage"] == {"avg": 3.0, "min": 1.0, "max": 6.0}
    host = service.data("/api/history", host_id=host_id, step="raw", metrics="cpu_percentage")
    assert [point["cpu_percentage"]["avg"] for point in host["points"]] == [50] * 4
    assert (host["points"][0]["memory_usage"], host["points"][0]["memory_percentage"]) == (None, None)
    assert service.data("/api/history", host_id=host_id, container_name="nobody")["points"] == []


def test_a_span_is_widened_to_whole_steps(service: Service) -> None:
    """Else a step that the span only touches would lack samples, and look like a gap."""
    host_id = service.post(report("whole-steps", cpu_percentage=5)).json()["data"]["host_id"]
    span = {"from": "2026-01-01T10:59:59Z", "to": "2026-01-01T12:00:01Z"}
    for asked_for, edges in (("1h", ("10:00:00", "13:00:00")), ("20m", ("10:40:00", "12:20:00"))):
        data = service.data("/api/history", host_id=host_id, step=asked_for, **span)
        assert (data["from"], data["to"]) == tuple(f"2026-01-01T{edge}Z" for edge in edges)
    raw = service.data("/api/history", host_id=host_id, step="raw", **span)
    assert (raw["from"], raw["to"]) == tuple(span.values())


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"step": "90s"}, "step"),
        ({"step": "8d"}, "at most 7d"),
        ({"step": "soon"}, "step"),
        ({"metrics": "disk"}, "metrics"),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "before"),
        ({"from": "2020-01-01", "to": "2026-01-01", "step": "1m"}, "longer"),
        ({"until": "now"}, "until"),
    ],
)
def test_a_wrong_question_is_told(service: Service, params: dict[str, str], words: str) -> None:
    answer = service.client.get("/api/history", params={"host_id": 1, **params})
    refused(answer, 422, "VALIDATION")
    assert words in answer.text


def test_an_unknown_host_has_no_past(service: Service) -> None:
    refused(service.client.get("/api/history", params={"host_id": 999_999}), 404, "NOT_FOUND")
