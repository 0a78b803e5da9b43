from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.intake import INTAKES, containers_of, host_of, refused, stored, unwritten
from tests.service import Service, report, running, settings_for

SEOUL = ZoneInfo("Asia/Seoul")
TIMES = {
    "2025-06-23 03:02:50": "2025-06-23T03:02:50",
    "2025-06-23T03:02:50": "2025-06-23T03:02:50",
    " 2025-06-23 03:02:50 ": "2025-06-23T03:02:50",
    "2025-06-23 03:02:50.4": "2025-06-23T03:02:50",
    "2025-06-23T03:02:50.999999999": "2025-06-23T03:02:50",
    "2025-06-23T03:02:50,5": "2025-06-23T03:02:50",
    "2025-06-23T03:02:50Z": "2025-06-23T12:02:50",
    "2025-06-23T03:02:50.999z": "2025-06-23T12:02:50",
    "2025-06-23T03:02:50+09:00": "2025-06-23T03:02:50",
    "2025-06-23T03:02:50.5+0900": "2025-06-23T03:02:50",
    "2025-06-23T03:02:50+09": "2025-06-23T03:02:50",
    "2025-06-23T20:02:50-05:30": "2025-06-24T10:32:50",
    "2024-02-29 23:59:59": "2024-02-29T23:59:59",
    "2000-01-01 00:00:00": "2000-01-01T00:00:00",
    "1999-12-31T15:00:00Z": "2000-01-01T00:00:00",
    "2100-01-01 00:00:00": "2100-01-01T00:00:00",
    "2099-12-31T15:00:00Z": "2100-01-01T00:00:00",
}
NO_TIMES: list[Any] = [
    "",
    "now",
    1750647770,
    1750647770.5,
    "1750647770",
    "20250623030250",
    "20250623T030250Z",
    True,
    [],
    "2025-06-23",
    "2025-06-23 03:02",
    "2025-6-3 3:2:5",
    "2025-06-23 24:00:00",
    "2025-06-23 03:60:00",
    "2025-06-23 03:02:60",
    "2025-02-29 00:00:00",
    "2025-13-01 00:00:00",
    "2025-06-00 00:00:00",
    "2025-06-23 03:02:50+24:00",
    "2025-06-23 03:02:50 KST",
    "202\uff15-06-23 03:02:50",
    "2025-06-23 03:02:50\u0000",
    "0000-01-01 00:00:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "1999-12-31 23:59:59",
    "1999-12-31T14:59:59Z",
    "2100-01-01 00:00:01",
    "2100-01-01T00:00:00Z",
]


@pytest.mark.parametrize(("sent", "kept"), TIMES.items())
def test_an_agents_time_is_kept_to_the_second_an_offset_converted(sqlite: Service, sent: str, kept: str) -> None:
    stored(sqlite.post(report("times", {"container_name": "c", "get_datetime": sent}, get_datetime=sent)))
    [container] = containers_of(sqlite, "times")
    assert (host_of(sqlite, "times")["get_datetime"], container["get_datetime"]) == (kept, kept)


@pytest.mark.parametrize("sent", NO_TIMES, ids=ascii)
def test_what_is_no_time_between_2000_and_2100_is_refused(sqlite: Service, sent: object) -> None:
    container = {"container_name": "c", "get_datetime": sent}
    for body in (report("no-time", get_datetime=sent), report("no-time", container)):
        with unwritten(sqlite):
            [error] = refused(sqlite.post(body), 422, "VALIDATION")["errors"]
        assert error["loc"][-1] == "get_datetime"


def test_every_engine_cuts_a_fraction_alike_and_keeps_the_bounds(service: Service) -> None:
    for sent in ("2025-06-23 23:59:59.9999999", "2000-01-01 00:00:00", "2100-01-01 00:00:00"):
        stored(service.post(report("cut", {"container_name": "c", "get_datetime": sent}, get_datetime=sent)))
        [container] = containers_of(service, "cut")
        kept = sent[:19].replace(" ", "T")
        assert (host_of(service, "cut")["get_datetime"], container["get_datetime"]) == (kept, kept)


@pytest.mark.parametrize("path", INTAKES)
@pytest.mark.parametrize("fields", [{}, {"get_datetime": None}])
def test_without_a_time_the_servers_is_taken(sqlite: Service, path: str, fields: dict[str, None]) -> None:
    data = stored(sqlite.post(report("no-clock", {"container_name": "c", **fields}, **fields), path))
    host, [container] = host_of(sqlite, "no-clock"), containers_of(sqlite, "no-clock")
    assert data["timestamp"] == host["get_datetime"] == container["get_datetime"]
    behind = datetime.now(SEOUL).replace(tzinfo=None) - datetime.fromisoformat(data["timestamp"])
    assert abs(behind) < timedelta(seconds=30)


def test_the_hour_that_a_clock_repeats_keeps_both_samples(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/dst.db", tmp_path, APP_TIMEZONE="Europe/Berlin")
    with running(settings) as service:
        for offset in ("+02:00", "+01:00"):
            stored(service.post(report("berlin", "c", get_datetime=f"2025-10-26T02:30:00{offset}")))
        kept = [("2025-10-26 02:30:00",)] * 2
        assert service.sql("SELECT get_datetime FROM reports") == kept


@pytest.mark.parametrize("age_s", [0, 0.5, "60", 604800])
def test_the_age_says_when_it_was_measured(service: Service, age_s: Any) -> None:  # noqa: ANN401 - JSON
    stored(service.post({**report(f"age {age_s}"), "age_s": age_s}))
    host = host_of(service, f"age {age_s}")
    seen, sampled = (datetime.fromisoformat(host[name]) for name in ("last_seen", "sampled_at"))
    assert seen - sampled == timedelta(seconds=float(age_s))


def test_a_backlog_fills_history_and_never_drags_the_present_back(service: Service) -> None:
    stored(service.post(report("backlog", "now", cpu_percentage=1)))
    before = host_of(service, "backlog")
    data = stored(service.post({**report("backlog", "then", "too", cpu_percentage=99), "age_s": 3600}))
    after = host_of(service, "backlog")
    assert data["containers_count"] == 2
    assert after.pop("last_seen") > before.pop("last_seen")
    assert after == before
    assert [one["container_name"] for one in containers_of(service, "backlog")] == ["now"]
    past = "SELECT COUNT(*) FROM containers WHERE host_id = :id AND sampled_at < :now"
    assert service.sql(past, id=after["id"], now=after["sampled_at"][:-1].replace("T", " ")) == [(2,)]


def test_a_backlog_of_a_silent_host_moves_it_step_by_step(service: Service) -> None:
    for age_s in (3600, 1800, 900):
        stored(service.post({**report("silent", cpu_percentage=age_s), "age_s": age_s}))
        assert host_of(service, "silent")["cpu_percentage"] == age_s


def test_of_reports_of_equal_age_the_later_one_counts(service: Service) -> None:
    for cpu in range(5):
        stored(service.post({**report("equal", f"c{cpu}", cpu_percentage=cpu), "age_s": 60}))
    assert host_of(service, "equal")["cpu_percentage"] == 4
    assert [one["container_name"] for one in containers_of(service, "equal")] == ["c4"]


@pytest.mark.parametrize("clock", ["2000-01-01 00:00:00", "2099-12-31 23:59:59"])
def test_a_wrong_clock_of_an_agent_neither_freezes_a_host_nor_hides_it(service: Service, clock: str) -> None:
    name = f"clock {clock}"
    stored(service.post(report(name, cpu_percentage=1, get_datetime=clock)))
    stored(service.post(report(name, cpu_percentage=2, get_datetime="2025-01-01 00:00:00")))
    host = host_of(service, name)
    assert (host["cpu_percentage"], host["status"]) == (2, "online")
