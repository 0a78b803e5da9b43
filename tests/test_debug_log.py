import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from logger import Throttle
from tests.logs import Reader, wait_until
from tests.raw import exchange
from tests.service import Service, report, running, settings_for

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - [\w.]+ - (DEBUG|INFO|WARNING|ERROR) - .+|\| .*")
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]")
FORGED = "\r\n2026-01-01 00:00:00,000 - main - ERROR - forged\x1b[31m\x85\u2028\u202e"


@pytest.fixture
def debug(new_url: Callable[[str], str], tmp_path: Path) -> Iterator[Service]:
    """A service that logs all there is. No other runs beside it: services of one process share the level."""
    with running(settings_for(new_url("sqlite"), tmp_path, LOGGING_LEVEL="DEBUG")) as service:
        yield service


@pytest.mark.parametrize("name", ["DEBUG-NAME", "카페"])
def test_received_data_is_in_full_on_one_line(debug: Service, name: str) -> None:
    log = Reader(debug)
    debug.post(report("h", *[f"{name}-{number}" for number in range(100)]))
    line = log.until(" DEBUG - received ", f"{name}-0", f"{name}-99")
    assert line


def test_an_accepted_report_has_a_line_of_its_own_at_debug(debug: Service) -> None:
    log = Reader(debug)
    debug.post(report("own-line"), X_Request_ID="own-line")
    own = " DEBUG - request method=POST route=/api/resources status=200 "
    assert log.until(own, "request_id=own-line")


def forge(service: Service) -> None:
    """Puts line ends, colours and overrides wherever something of a request may reach the log."""
    escaped = "".join(f"%{byte:02x}" for byte in FORGED.encode())
    client = service.client
    client.get(f"/{escaped}")
    client.put(f"/api/hosts/{escaped}")
    client.get(f"/api/hosts?{escaped}={escaped}&q={escaped}")
    client.get("/health/live", headers=[(b"x-request-id", b"a\x85b"), (b"user-agent", b"a\x85\xe2\x80\xa8b")])
    for path in ("/api/resources", "/monitor_info"):
        client.post(path, json={"host": {"host_name": FORGED, "cpu_cores": FORGED}, FORGED: FORGED})
        client.post(path, content=f'{{"host": {{"host_name": "raw"}}, "x": "{FORGED}"}}'.encode())
        client.post(path, json={**report("good"), FORGED: "\u2028"})
        client.post(path, content='{"host": {"host_name": "h"}, "x": "\u2028\u202e\x85"}'.encode())
    client.post("/api/resources/batch", json={"reports": [{FORGED: 1}, FORGED]})
    exchange(service, b"GET /\x1b[31m HTTP/1.1\r\n\r\n", b"\x1b[31m\n\x85")


def test_nothing_received_can_forge_a_line(debug: Service) -> None:
    debug.state["refusals"] = Throttle(per_s=0)
    log = Reader(debug)
    forge(debug)
    assert log.all()
    lines = log.text.removesuffix("\n").split("\n")
    assert [line for line in lines if not LINE.fullmatch(line) or CONTROL.search(line)] == []
    assert [line for line in lines if line.startswith("2026-01-01 00:00:00,000")] == []
    assert any(r"\x1b[31m" in line and "path=" in line for line in lines)


def test_level_of_the_configuration_holds(new_url: Callable[[str], str], tmp_path: Path) -> None:
    with running(settings_for(new_url("sqlite"), tmp_path, LOGGING_LEVEL="WARNING")) as service:
        service.post(report("quiet"))
        service.client.get("/nothing")
        wait_until(lambda: " WARNING - refused " in service.log)
        ours = [line for line in service.log.splitlines() if " - uvicorn." not in line]  # [server] log_level is its own
    assert [line for line in ours if " - WARNING - " not in line] == []
