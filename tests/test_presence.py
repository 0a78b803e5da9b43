from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from database.batch import learned_interval
from tests.service import Service, report, running, settings_for

COLUMNS = ("sampled_at", "last_seen", "expected_by")


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).replace(tzinfo=None).isoformat(" ", "microseconds")


def silent(service: Service, name: str, seconds: float, expected_in: float | None = None) -> None:
    """The host as if its last report had come so long ago; it is expected again by then, unless said otherwise."""
    expected_by = ago(seconds if expected_in is None else -expected_in)
    service.sql(
        "UPDATE hosts SET last_seen = :seen, expected_by = :expected WHERE host_name = :name",
        seen=ago(seconds),
        expected=expected_by,
        name=name,
    )


def status(service: Service, name: str) -> str:
    """What both lists and the host itself say alike."""
    [host] = service.data("/api/hosts", host_name=name)
    told: str = service.data(f"/api/hosts/{host['id']}")["status"]
    found = {state: service.data("/api/hosts", host_name=name, status=state) for state in ("online", "offline")}
    assert host["status"] == told
    assert found == {told: [host], ({"online", "offline"} - {told}).pop(): []}
    return told


def row(service: Service, name: str) -> tuple[dict[str, datetime], float]:
    """A host's moments and its interval as they are stored."""
    query = f"SELECT {', '.join(COLUMNS)}, interval_s FROM hosts WHERE host_name = :name"
    [(*moments, interval)] = service.sql(query, name=name)
    return {key: datetime.fromisoformat(str(value)) for key, value in zip(COLUMNS, moments, strict=True)}, interval


def test_host_that_just_reported_is_online(service: Service) -> None:
    service.post(report("present"))
    assert status(service, "present") == "online"


@pytest.mark.parametrize(("seconds", "told"), [(170, "online"), (190, "offline"), (10**7, "offline")])
def test_host_is_offline_after_three_minutes_of_silence(service: Service, seconds: float, told: str) -> None:
    service.post(report(f"silent {seconds}"))
    silent(service, f"silent {seconds}", seconds)
    assert status(service, f"silent {seconds}") == told


def test_host_that_reports_rarely_is_given_three_of_its_own_intervals(service: Service) -> None:
    service.post(report("rare"))
    silent(service, "rare", 900, expected_in=5)
    assert status(service, "rare") == "online"
    silent(service, "rare", 900, expected_in=-5)
    assert status(service, "rare") == "offline"


def test_host_without_an_expectation_is_in_one_of_the_lists(service: Service) -> None:
    service.post(report("adopted"))
    silent(service, "adopted", 900)
    service.sql("UPDATE hosts SET expected_by = NULL WHERE host_name = 'adopted'")
    assert status(service, "adopted") == "offline"


def test_report_brings_a_host_back(service: Service) -> None:
    service.post(report("back"))
    silent(service, "back", 900)
    service.post(report("back"))
    assert status(service, "back") == "online"


def test_late_report_is_a_sign_of_life_too(service: Service) -> None:
    service.post(report("sign", cpu_percentage=2))
    silent(service, "sign", 900)
    service.post({**report("sign", cpu_percentage=1), "age_s": 600})
    assert status(service, "sign") == "online"
    assert service.data("/api/hosts", host_name="sign")[0]["cpu_percentage"] == 2


def test_hosts_interval_is_learnt_from_its_reports(service: Service) -> None:
    service.post(report("learnt"))
    service.sql("UPDATE hosts SET sampled_at = :at WHERE host_name = 'learnt'", at=ago(600))
    service.post(report("learnt"))
    moments, interval = row(service, "learnt")
    assert 599 < interval < 630
    assert moments["expected_by"] - moments["last_seen"] == pytest.approx(
        timedelta(seconds=3 * interval), abs=timedelta(milliseconds=1)
    )


def test_last_seen_is_utc_and_now(service: Service) -> None:
    before = datetime.now(UTC)
    service.post(report("seen"))
    [host] = service.data("/api/hosts", host_name="seen")
    assert host["last_seen"].endswith("Z")
    assert abs(datetime.fromisoformat(host["last_seen"]) - before) < timedelta(seconds=10)


def test_silence_that_counts_as_offline_is_a_setting(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path, MONITORING_OFFLINE_AFTER_S="3600")
    with running(settings) as service:
        for name, seconds in (("hour", 3500), ("longer", 3700)):
            service.post(report(name))
            silent(service, name, seconds)
        assert [status(service, name) for name in ("hour", "longer")] == ["online", "offline"]


def test_first_gap_is_the_interval() -> None:
    assert learned_interval(None, 60) == 60


@pytest.mark.parametrize("gap_s", [0, -1])
def test_no_gap_teaches_nothing(gap_s: float) -> None:
    assert [learned_interval(known, gap_s) for known in (None, 60)] == [None, 60]


@given(known=st.floats(0.001, 1e6), gap_s=st.floats(0.001, 1e9))
def test_interval_follows_a_gap_by_at_most_a_factor_of_two(known: float, gap_s: float) -> None:
    learnt = learned_interval(known, gap_s)
    assert learnt is not None
    assert known / 2 <= learnt <= known * 2
    assert learnt == gap_s or not known / 2 <= gap_s <= known * 2


@pytest.mark.parametrize(("old", "new"), [(10, 300), (300, 10)])
def test_new_cadence_is_learnt_within_a_few_reports(old: float, new: float) -> None:
    interval: float | None = old
    for _ in range(5):
        interval = learned_interval(interval, new)
    assert interval == new


def test_one_outage_makes_no_host_look_slow() -> None:
    interval = learned_interval(learned_interval(10, 86_400), 10)
    assert interval == 10
