import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from logger import Throttle
from tests.logs import Reader, wait_until
from tests.raw import exchange
from tests.service import Service, report, running, settings_for


@pytest.fixture
def now(sqlite: Service) -> list[float]:
    """The clock of the throttle of refusals, which begins anew for each test."""
    clock = [0.0]
    sqlite.state["refusals"] = Throttle(clock=lambda: clock[0])
    return clock


def warnings(log: Reader, code: str) -> list[str]:
    return [line for line in log.all() if f" WARNING - refused code={code} " in line]


def test_a_refusal_is_one_warning_that_names_the_fields(sqlite: Service, now: list[float]) -> None:
    assert now == [0]
    log = Reader(sqlite)
    sqlite.post(report("h", cpu_percentage="SENT", cpu_cores=-1), X_Request_ID="refused-1")
    line = next(line for line in log.all() if "WARNING" in line)
    for part in ("status=422", "path=/api/resources", "peer=127.0.0.1", "request_id=refused-1"):
        assert part in line
    assert "fields=host.cpu_percentage,host.cpu_cores" in line
    assert "SENT" not in log.text


def test_refusals_are_one_line_a_minute_and_counted(sqlite: Service, now: list[float]) -> None:
    log = Reader(sqlite)
    for _ in range(5):
        sqlite.client.get("/nothing")
    assert len(warnings(log, "NOT_FOUND")) == 1
    now[0] = 61
    sqlite.client.get("/nothing")
    assert "suppressed=4" in warnings(log, "NOT_FOUND")[1]


def test_each_code_has_a_line_of_its_own(sqlite: Service, now: list[float]) -> None:
    assert now == [0]
    log = Reader(sqlite)
    for _ in range(3):
        sqlite.client.get("/nothing")
        sqlite.client.get("/api/hosts?limit=0")
        sqlite.client.put("/health")
    assert [len(warnings(log, code)) for code in ("NOT_FOUND", "VALIDATION", "METHOD_NOT_ALLOWED")] == [1, 1, 1]


def test_what_is_no_http_counts_as_any_refusal(sqlite: Service, now: list[float]) -> None:
    assert now == [0]
    log = Reader(sqlite)
    for _ in range(3):
        exchange(sqlite, b"garbage\r\n\r\n")
    assert len(warnings(log, "BAD_REQUEST")) == 1
    assert sum("status=400" in line and " INFO - request " in line for line in log.all()) == 3
    assert "Invalid HTTP" not in log.text


def test_a_request_is_one_line_with_its_route(sqlite: Service) -> None:
    log = Reader(sqlite)
    sqlite.client.get("/api/hosts/404", headers={"x-request-id": "one-line"})
    lines = [line for line in log.all() if "request_id=one-line" in line and " INFO " in line]
    assert len(lines) == 1
    assert re.search(
        r"request method=GET route=/api/hosts/\{host_id\} status=404 ms=\d+\.\d+ peer=127\.0\.0\.1 ", lines[0]
    )


def test_an_accepted_report_rides_on_its_commit(sqlite: Service) -> None:
    log = Reader(sqlite)
    sqlite.post(report("rides", "a", "b"), X_Request_ID="rides")
    lines = log.until("commit")
    assert [line for line in lines if re.search(r"INFO - commit reports=1 containers=2 ms=\S+ hosts=rides", line)]
    assert not [line for line in lines if " - request " in line and "request_id=rides" in line]


def test_long_host_names_are_clipped(sqlite: Service) -> None:
    log = Reader(sqlite)
    reports = [report(f"{number:03}" + "x" * 250) for number in range(50)]
    sqlite.post({"reports": reports}, "/api/resources/batch")
    assert max(map(len, log.until("commit"))) < 1000


def test_a_removed_log_directory_fails_no_request_and_comes_back(new_url: Callable[[str], str], tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    with running(settings_for(new_url("sqlite"), folder)) as service:
        wait_until(lambda: " database_up " in service.log)  # or that line would be written into what is being removed
        shutil.rmtree(folder)
        assert service.post(report("h")).status_code == 200
        wait_until(lambda: "commit reports=1" in service.log)


def test_an_unwritable_log_fails_no_request_and_stderr_has_the_lines(
    new_url: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "logs"
    with running(settings_for(new_url("sqlite"), folder)) as service:
        wait_until(lambda: " database_up " in service.log)  # or that line would be written into what is being removed
        shutil.rmtree(folder)
        folder.write_text("a file where the directory was")
        assert [service.post(report(f"h{number}")).status_code for number in range(20)] == [200] * 20
    shown = capsys.readouterr().err
    assert [number for number in range(20) if not re.search(rf"commit reports=1 .*hosts=h{number}\b", shown)] == []
    assert "log_file_unwritable" in shown


def test_received_data_is_not_in_the_log(sqlite: Service) -> None:
    log = Reader(sqlite)
    sqlite.post(report("received", "RECEIVED-NAME"))
    sqlite.client.post("/api/resources", content=b"RECEIVED-BYTES")
    assert log.all()
    assert "RECEIVED" not in log.text


def test_echoed_statements_hold_no_value(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> None:
    with running(settings_for(new_url(engine), tmp_path, DATABASE_ECHO="true")) as service:
        service.post(report("secret-host", "secret-container"))
        wait_until(lambda: "INTO containers (" in service.log)
        lines = [line for line in service.log.splitlines() if "sqlalchemy.engine" in line]
    assert [line for line in lines if "secret-" in line] == []


def test_a_forbidden_request_is_a_security_event(sqlite: Service) -> None:
    assert sqlite.client.delete("/api/hosts/1", headers={"Origin": "https://evil.example"}).status_code == 403
    wait_until(lambda: "security - WARNING - forbidden peer=127.0.0.1 method=DELETE path=/api/hosts/1" in sqlite.log)


def test_a_repeat_has_a_line_of_its_own(sqlite: Service) -> None:
    for _ in range(2):
        sqlite.post(report("repeated"), Idempotency_Key="one")
    wait_until(lambda: "request method=POST route=/api/resources status=200" in sqlite.log)
