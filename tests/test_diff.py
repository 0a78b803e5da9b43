"""What is different between two moments is what the two lists of then differ by."""

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from database import past_containers
from tests import moments
from tests.intake import refused
from tests.moments import later, text
from tests.past import roll
from tests.schema_engine import target
from tests.service import Service, report, running, settings_for

pytestmark = pytest.mark.history
Name = tuple[str, str, str]
Listed = Callable[[datetime], dict[Name, dict[str, Any]]]


@pytest.fixture(scope="module", params=["rows", "aggregates"])
def past(
    request: pytest.FixtureRequest, engine: str, new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Listed]]:
    """A service with reports as rows or as aggregates, and what it should list of a moment."""
    url, reports, aggregated = new_url(engine), moments.told(random.Random("diff")), request.param == "aggregates"
    with target(url) as store:
        store.prepare()
        moments.written(store, reports)
        store.sql("UPDATE hosts SET interval_s = 30")
        if aggregated:
            roll(store)
    with running(settings_for(url, tmp_path_factory.mktemp("diff"))) as service:
        yield service, lambda at: named(moments.containers(reports, at, aggregated=aggregated))


def named(rows: list[dict[str, Any]]) -> dict[Name, dict[str, Any]]:
    return {(row["host_name"], row["engine_type"], row["container_name"]): row for row in rows}


def names(pairs: list[dict[str, Any]]) -> list[Name]:
    return [(one["host_name"], one["engine_type"], one["container_name"]) for one in pairs]


@pytest.mark.parametrize("seed", range(12))
def test_what_is_different_is_the_difference_of_both_lists(past: tuple[Service, Listed], seed: int) -> None:
    service, listed = past
    dice = random.Random(f"diff {seed}")
    first, second = sorted((later(dice), later(dice)))
    before, after = listed(first), listed(second)
    made = service.data("/api/diff", **{"from": text(first), "to": text(second), "limit": 1000})
    changed = {name for name in before.keys() & after.keys() if before[name]["status"] != after[name]["status"]}
    whole = {"appeared": after.keys() - before.keys(), "vanished": before.keys() - after.keys(), "changed": changed}
    for part, expected in whole.items():
        assert set(names(made[part]["containers"])) == expected
        assert made[part]["count"] == len(expected) == len(made[part]["containers"])
    assert [made[side]["containers_count"] for side in ("from", "to")] == [len(before), len(after)]
    assert made["from"]["resolution"] == coarsest(before)


def coarsest(rows: dict[Name, dict[str, Any]]) -> str | None:
    order = ["raw", "1m", "10m", "1h"]
    return max((row["resolution"] for row in rows.values()), key=order.index, default=None)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("metric", ["cpu_percentage", "memory_usage"])
def test_what_moved_most_is_told_first(past: tuple[Service, Listed], seed: int, metric: str) -> None:
    service, listed = past
    dice = random.Random(f"moved {seed}")
    first, second = sorted((later(dice), later(dice)))
    before, after = listed(first), listed(second)
    pairs = ((before[name][metric], after[name][metric]) for name in before.keys() & after.keys())
    moved = [b - a for a, b in pairs if a is not None and b is not None and a != b]
    made = service.data("/api/diff", **{"from": text(first), "to": text(second), "limit": 3})["movers"][metric]
    assert [abs(one["change"]) for one in made] == pytest.approx(sorted(map(abs, moved), reverse=True)[:3])
    assert all(one["change"] == pytest.approx(one["to"][metric] - one["from"][metric]) for one in made)


def test_another_image_is_a_change_and_one_that_is_not_told_is_none(service: Service) -> None:
    for images in (("a:1", "b:1", None), ("a:2", "b:1", "c:1")):
        shown = [{"container_name": n, "image": i, "status": "up"} for n, i in zip("xyz", images, strict=True)]
        age_s = 60 if images[0] == "a:1" else 0
        host_id = service.post({**report("images", *shown), "age_s": age_s}).json()["data"]["host_id"]
    at = datetime.fromisoformat(service.data(f"/api/hosts/{host_id}")["sampled_at"])
    asked = {"from": (at - timedelta(seconds=30)).isoformat(), "host_id": host_id}
    made = service.data("/api/diff", **asked)
    [one] = made["changed"]["containers"]
    assert (one["container_name"], one["from"]["image"], one["to"]["image"]) == ("x", "a:1", "a:2")


def test_a_part_shows_the_first_and_tells_how_many_there_are(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more hosts than are compared at a time."""
    monkeypatch.setattr(past_containers, "AT_ONCE", 2)
    for number in range(5):
        service.post(report(f"new-{number}", "one", "two"))
    made = service.data("/api/diff", limit=3)["appeared"]
    assert made["count"] >= 10
    assert len(made["containers"]) == 3


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"from": "2026-01-02", "to": "2026-01-01"}, "before"),
        ({"from": "2026-01-02", "to": "2026-01-02"}, "before"),
        ({"limit": "1001"}, "limit"),
        ({"from": "2026-01-01T00:00:00 09:00"}, "%2B"),
        ({"since": "x"}, "since"),
    ],
)
def test_a_wrong_difference_is_told(service: Service, params: dict[str, str], words: str) -> None:
    answer = service.client.get("/api/diff", params=params)
    refused(answer, 422, "VALIDATION")
    assert words in answer.text


def test_nothing_is_different_of_a_host_that_is_not_there(service: Service) -> None:
    assert service.client.get("/api/diff", params={"host_id": 987_654}).status_code == 404
