"""The made-up fleet: believable, repeatable, and never among real hosts."""

import statistics
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from demo import shapes
from model.schemas import Report
from tests.console import manage
from tests.service import Service, report, running, settings_for

pytestmark = pytest.mark.agent
MONDAY = datetime(2026, 11, 23)  # noqa: DTZ001 - agents' times are naive


def demo(url: str, *arguments: str) -> tuple[int, str]:
    done = manage(url, "demo", *arguments)
    return done.status, done.lines[-1]


def test_a_host_is_the_same_whenever_it_is_asked_for() -> None:
    assert shapes.host(7, 20) == shapes.host(7, 20)
    assert len({shapes.host(number, 0).name for number in range(1000)}) == 1000
    assert len({container.name for container in shapes.host(7, 20).containers}) == 20


def test_every_report_is_valid() -> None:
    for number in range(50):
        host = shapes.host(number, 20)
        for hour in range(0, 48, 5):
            Report.model_validate(shapes.report(host, MONDAY + timedelta(hours=hour)), context={"zone": None})


def test_days_have_a_rhythm_and_weekends_less_of_it() -> None:
    hosts = [shapes.host(number, 20) for number in range(30)]

    def load(day: int, hour: int) -> float:
        at = MONDAY + timedelta(days=day, hours=hour)
        return statistics.mean(float(shapes.report(host, at)["host"]["cpu_percentage"]) for host in hosts)

    assert load(0, 15) > 1.5 * load(0, 3)
    assert load(0, 15) > 1.2 * load(5, 15)


def test_containers_spike_restart_leak_and_end() -> None:
    seen: Counter[str] = Counter()
    for number in range(20):
        host = shapes.host(number, 20)
        for minute in range(0, 1440, 2):
            at = MONDAY + timedelta(minutes=minute)
            seen.update(container["status"] for container in shapes.report(host, at)["containers"])
    assert seen["running"] > 100 * seen["restarting"] > 0
    assert seen["exited"] > 0
    assert any(container.leak for container in shapes.host(3, 20).containers + shapes.host(4, 20).containers)


def test_the_whole_fleet_is_shown_and_one_host_is_dark(
    engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url = new_url(engine)
    status, last = demo(url, "--hosts", "4", "--containers", "3", "--hours", "1", "--every", "60")
    assert (status, last) == (0, f"{4 * 60 - 12} reports of 4 hosts are stored")
    with running(settings_for(url, tmp_path, MONITORING_OFFLINE_AFTER_S="120")) as service:
        hosts = service.data("/api/hosts")
        assert [host["status"] for host in hosts].count("offline") == 1
        assert all(host["containers_count"] == 3 for host in hosts)
        assert len(service.data("/api/containers")) == 12
        assert service.sql("SELECT COUNT(*) FROM containers") == [(3 * (4 * 60 - 12),)]


def test_it_does_not_stand_among_real_hosts(fresh: Service) -> None:
    assert fresh.post(report("real")).status_code == 200
    url = fresh.settings.database.url
    assert url
    done = manage(url.get_secret_value(), "demo", "--hosts", "2", "--hours", "1")
    assert done == (1, "Error: the database has hosts already; name another one in DATABASE_URL")
    assert len(fresh.data("/api/hosts")) == 1


@pytest.mark.slow
@pytest.mark.timeout(180)  # the limit: a day of 50 hosts with 20 containers each in less than three minutes
def test_a_day_of_50_hosts_takes_less_than_three_minutes(tmp_path: Path) -> None:
    assert demo(f"sqlite:///{tmp_path}/demo.db") == (0, "71712 reports of 50 hosts are stored")
