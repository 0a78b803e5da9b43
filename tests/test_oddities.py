from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.intake import INTAKES, stored, until
from tests.service import Service, report, running, settings_for


def now(body: dict[str, Any]) -> dict[str, Any]:
    """The report with its minutes from now as a time of Seoul: the table below is made long before it is used."""
    minutes = body["host"].get("get_datetime")
    if minutes is None:
        return body
    at = datetime.now(ZoneInfo("Asia/Seoul")) + timedelta(minutes=minutes)
    return {**body, "host": {**body["host"], "get_datetime": at.strftime("%Y-%m-%d %H:%M:%S")}}


def logged(service: Service, host: str, name: str) -> int:
    """How often an oddity of a host is in the log, once all that was logged so far is in the file."""
    marker = f"marker-of-{host}-{name}"
    stored(service.post(report(marker, "c", "c")))
    until(lambda: f"duplicate_containers host={marker}" in service.log)
    return service.log.count(f" {name} host={host} ")


ODD: dict[str, tuple[str, dict[str, Any]]] = {
    "twins": ("duplicate_containers", report("twins", "c", "c")),
    "negative": ("percentage_out_of_range", report("negative", cpu_percentage=-0.1)),
    "host-cpu": ("percentage_out_of_range", report("host-cpu", cpu_percentage=100.1)),
    "host-memory": ("percentage_out_of_range", report("host-memory", memory_percentage=100.1)),
    "one-core": (
        "percentage_out_of_range",
        report("one-core", {"container_name": "c", "cpu_percentage": 150}, cpu_cores=1),
    ),
    "memory": ("percentage_out_of_range", report("memory", {"container_name": "c", "memory_percentage": 101})),
    "behind": ("clock_skew", report("behind", get_datetime=-15)),
    "ahead": ("clock_skew", report("ahead", get_datetime=15)),
}
USUAL: dict[str, dict[str, Any]] = {
    "plain": report("plain", "a", "b"),
    "full": report("full", cpu_percentage=100, memory_percentage=100),
    "threads": report("threads", {"container_name": "c", "cpu_percentage": 800}, cpu_cores=4, cpu_threads=8),
    "unknown-cores": report("unknown-cores", {"container_name": "c", "cpu_percentage": 6400}),
    "near": report("near", get_datetime=-5),
    "late": {**report("late", get_datetime=-60), "age_s": 3600},
}


@pytest.mark.parametrize("host", ODD)
def test_what_is_odd_is_stored_and_logged_once_a_minute_for_its_host(sqlite: Service, host: str) -> None:
    name, body = ODD[host]
    for _ in range(3):
        stored(sqlite.post(now(body)))
    assert logged(sqlite, host, name) == 1


@pytest.mark.parametrize("host", USUAL)
def test_what_is_usual_is_not_logged(sqlite: Service, host: str) -> None:
    stored(sqlite.post(now(USUAL[host])))
    for name in ("duplicate_containers", "percentage_out_of_range", "clock_skew"):
        assert logged(sqlite, host, name) == 0


def test_the_reports_of_a_batch_are_watched_too(sqlite: Service) -> None:
    stored(sqlite.post({"reports": [report("in-a-batch", "c", "c")] * 3}, "/api/resources/batch"))
    assert logged(sqlite, "in-a-batch", "duplicate_containers") == 1


def test_the_refusals_of_a_batch_are_one_line_a_minute_without_the_content(sqlite: Service) -> None:
    for _ in range(2):
        reports = [report("secret-text", cpu_cores="secret-text")] * 3
        assert sqlite.post({"reports": reports}, "/api/resources/batch").status_code == 207
    logged(sqlite, "marker", "refused")
    [line] = [line for line in sqlite.log.splitlines() if " refused code=VALIDATION" in line]
    assert "fields=host.cpu_cores" in line
    assert "secret-text" not in sqlite.log


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_the_received_data_is_in_the_log_at_debug_alone(tmp_path: Path, level: str) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path, LOGGING_LEVEL=level)
    sent = {path: f"sent to {path}" for path in (*INTAKES, "/api/resources/batch")}
    with running(settings) as service:
        for path, text in sent.items():
            stored(service.post({**report("debug"), "reports": [], "unknown": text}, path))
    log = settings.logging.file_path.read_text(encoding="utf-8")
    assert [log.count(f'{text}"') for text in sent.values()] == [level == "DEBUG"] * 3
