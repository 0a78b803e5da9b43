"""Events over HTTP, and what makes a host silent or back."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

from database import rollups
from database.presence import Heard
from services import jobs, webhook
from services.presence import Watch
from tests.elapsed import within
from tests.intake import until
from tests.service import Service, report, running, settings_for
from utils.utils import SECOND, moment

pytestmark = pytest.mark.history

QUICK_S = {"MONITORING_OFFLINE_AFTER_S": "1"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs come every tenth of a second, and a minute is made at once."""
    for name in ("ROLL_EVERY_S", "PRESENCE_EVERY_S"):
        monkeypatch.setattr(jobs, name, 0.1)
    monkeypatch.setattr(rollups, "SETTLE", timedelta(seconds=-3_600))


@pytest.fixture
def told(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> Iterator[Service]:
    with running(settings_for(new_url(engine), tmp_path)) as service:
        yield service


def sent(service: Service, *ages_and_containers: tuple[float, list[Any]], host: str = "h") -> None:
    for age_s, shown in ages_and_containers:
        assert service.post({**report(host, *shown), "age_s": age_s}).status_code == 200


def kinds(service: Service, **asked: Any) -> list[tuple[str, str | None]]:  # noqa: ANN401 - parameters
    """The oldest first."""
    return [(one["kind"], one["container_name"]) for one in reversed(service.data("/api/events", **asked))]


def test_what_happened_is_told_once_in_order(told: Service) -> None:
    web, stopped = {"container_name": "web", "status": "running"}, {"container_name": "web", "status": "exited"}
    sent(told, (500, [web]), (400, [stopped]), (300, []), (200, [stopped]), (100, [web, "db"]))
    expected = [
        ("first_seen", "web"),
        ("status", "web"),
        ("vanished", "web"),
        ("returned", "web"),
        ("first_seen", "db"),
        ("restarted", "web"),
        ("status", "web"),
    ]
    until(lambda: sorted(kinds(told), key=str) == sorted(expected, key=str))
    assert [kind for kind, _ in kinds(told)][:4] == [kind for kind, _ in expected][:4]
    newest = told.data("/api/events", container_name="web", kind="restarted")
    moments = {one["at"] for one in told.data("/api/events", kind="restarted")}
    [row] = told.sql("SELECT MAX(sampled_at) FROM reports")
    assert moments == {datetime.fromisoformat(str(row[0])).isoformat(timespec="microseconds") + "Z"}
    assert [(one["from"], one["to"], one["details"]) for one in newest] == [("exited", "running", {"by": "status"})]


def test_events_are_filtered_and_paged(told: Service) -> None:
    sent(told, (500, ["web", "db"]), (400, ["web"]), (300, ["web", "db"]))
    sent(told, (450, ["web"]), host="other")
    until(lambda: len(told.data("/api/events")) == 5)
    every = told.data("/api/events")
    assert [one["at"] for one in every] == sorted((one["at"] for one in every), reverse=True)
    assert kinds(told, kind="returned") == [("returned", "db")]
    assert kinds(told, host_name="other") == [("first_seen", "web")]
    assert kinds(told, host_id=1, container_name="db") == [("first_seen", "db"), ("vanished", "db"), ("returned", "db")]
    assert told.data("/api/events", **{"from": every[1]["at"], "to": every[0]["at"]}) == every[1:2]
    paged, path = [], "/api/events?limit=2"
    while path:
        answer = told.client.get(path)
        paged += answer.json()["data"]
        assert "X-Total-Count" not in answer.headers
        path = answer.links["next"]["url"] if "next" in answer.links else ""
    assert paged == every
    assert told.client.get("/api/events", params={"kind": "exploded"}).status_code == 422


def test_a_late_report_changes_what_is_told(told: Service) -> None:
    sent(told, (300, ["web"]), (100, []))
    until(lambda: [kind for kind, _ in kinds(told)] == ["first_seen", "vanished"])
    first = told.data("/api/events", kind="vanished")[0]["at"]
    sent(told, (200, []))
    until(lambda: told.data("/api/events", kind="vanished")[0]["at"] < first)
    assert len(kinds(told)) == 2


class Reporting:
    """Hosts that report five times a second until they are told not to."""

    def __init__(self, service: Service, *names: str) -> None:
        self.names = set(names)
        self._service, self._ended = service, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.wait(0.2):
            for name in sorted(self.names):
                assert self._service.post(report(name, "web")).status_code == 200

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


class Hook:
    """Takes calls; the first one it refuses."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.statuses = [500]
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(hook.statuses.pop() if hook.statuses else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hooks/secret"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def turns(service: Service) -> list[tuple[str, str]]:
    """The oldest first."""
    every = reversed(service.data("/api/events"))
    return [(one["kind"], one["host_name"]) for one in every if one["kind"] in ("dark", "back")]


def test_who_is_on_call_hears_once_of_a_host_that_is_silent_and_of_its_return(
    engine: str, new_url: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "FIRST_PAUSE_S", 0.1)
    with Hook() as hook:
        settings = settings_for(new_url(engine), tmp_path, **QUICK_S, MONITORING_WEBHOOK_URL=hook.url)
        with running(settings) as service, Reporting(service, "stays", "leaves") as fleet:
            until(lambda: len(service.data("/api/hosts", status="online")) == 2)
            fleet.names.remove("leaves")
            until(lambda: turns(service) == [("dark", "leaves")])
            fleet.names.add("leaves")
            until(lambda: turns(service) == [("dark", "leaves"), ("back", "leaves")])
            until(lambda: len(hook.bodies) == 3)
            until(lambda: service.sql("SELECT COUNT(*) FROM webhook_calls") == [(0,)])
            assert kinds(service, kind="vanished") == []
            told = service.data("/api/events", host_name="leaves", kind="dark")[0]
    refused, dark, back = hook.bodies
    assert refused == dark
    assert (dark["kind"], dark["host_name"], dark["at"]) == ("dark", "leaves", told["at"])
    assert dark["text"] == f"leaves is silent: no report since {told['details']['last_seen']}"
    assert (back["kind"], back["text"]) == ("back", "leaves is back")
    assert "webhook_failed" in service.log
    assert "hooks/secret" not in service.log


@pytest.mark.parametrize(
    ("status", "calls"),
    [
        (500, ["one", "one", "other"]),
        (429, ["one", "one", "other"]),
        (404, ["one", "other"]),
        (307, ["one", "one", "other"]),
    ],
)
def test_a_refused_call_is_repeated_unless_that_is_in_vain(
    new_url: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, calls: list[str]
) -> None:
    monkeypatch.setattr(webhook, "FIRST_PAUSE_S", 0.1)
    with Hook() as hook:
        hook.statuses = [status]
        settings = settings_for(new_url("sqlite"), tmp_path, MONITORING_WEBHOOK_URL=hook.url)
        with running(settings) as service:
            now = datetime.now(UTC).replace(tzinfo=None)
            ids = [service.post(report(name)).json()["data"]["host_id"] for name in ("one", "other")]
            for host_id, days in ((ids[0], -2), (ids[0], 0), (ids[1], 1)):
                row = {"id": host_id, "at": str(now + timedelta(days))}
                service.sql("INSERT INTO webhook_calls (host_id, at, kind) VALUES (:id, :at, 'dark')", **row)
            until(lambda: service.sql("SELECT COUNT(*) FROM webhook_calls") == [(0,)])
    assert [body["host_name"] for body in hook.bodies] == calls


def test_what_is_no_answer_says_nothing_of_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def nonsense() -> None:
            with server.accept()[0] as caller:
                caller.sendall(b"secret nonsense\r\n\r\n")

        thread = threading.Thread(target=nonsense)
        thread.start()
        refused = webhook.post(f"http://127.0.0.1:{server.getsockname()[1]}/hooks/secret", b"{}")
        thread.join()
    assert refused
    assert "secret" not in refused
    assert webhook.post("http://127.0.0.1:1/hooks/secret", b"{}") in ("URLError", "ConnectionRefusedError")


def test_nobody_is_silent_while_nobody_is_heard(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> None:
    with running(settings_for(new_url(engine), tmp_path, **QUICK_S)) as service:
        with Reporting(service, "one", "other"):
            until(lambda: len(service.data("/api/hosts", status="online")) == 2)
            time.sleep(1.5)
        time.sleep(3)
        assert service.data("/api/hosts", status="online") == []
        assert turns(service) == []
        with Reporting(service, "one"):
            until(lambda: turns(service) == [("dark", "other")])
            [dark] = service.data("/api/events", kind="dark")
            seen_at = moment(service.state["database"].clock.now())
        assert datetime.fromisoformat(dark["at"]).replace(tzinfo=None) <= seen_at  # not told before its time was over
        # It had its whole time from when the first was heard again, not from its own last report.
        silent = datetime.fromisoformat(dark["at"]) - datetime.fromisoformat(dark["details"]["last_seen"])
        assert silent > timedelta(seconds=2)


@pytest.mark.parametrize("jump_s", [86_400, -3_600])
def test_a_clock_that_jumps_neither_silences_freezes_nor_removes(
    engine: str,
    new_url: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    jump_s: int,
) -> None:
    monkeypatch.setattr(jobs, "RETAIN_EVERY_S", 0.1)
    with running(settings_for(new_url(engine), tmp_path, **QUICK_S)) as service:
        sent(service, (2.5 * 86_400, ["old"]), host="one")
        with Reporting(service, "one", "other"):
            until(lambda: len(service.data("/api/hosts", status="online")) == 2)
            time.sleep(1.5)
            clock = service.state["database"].clock
            monkeypatch.setattr(clock, "measured", lambda *_: None)
            monkeypatch.setattr(clock, "_offset", clock._offset + jump_s * SECOND)
            time.sleep(2.5)
            assert turns(service) == []
            began = time.monotonic()
            until(lambda: {host["status"] for host in service.data("/api/hosts")} == {"online"})
            online_s = time.monotonic() - began
            seen = {host["host_name"]: host["last_seen"] for host in service.data("/api/hosts")}
            until(lambda: all(host["last_seen"] != seen[host["host_name"]] for host in service.data("/api/hosts")))
        assert service.sql("SELECT COUNT(*) FROM containers WHERE container_name = 'old'") == [(1,)]
    within(online_s, 1, "s until all are online")


T = datetime(2026, 1, 1)  # noqa: DTZ001 - as the columns hold it


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def test_silence_counts_from_when_the_server_hears_its_fleet() -> None:
    watch = Watch(100)

    def earliest(now_s: float, monotonic_s: float, *seen_and_interval: tuple[float, float | None]) -> datetime:
        return watch.earliest(at(now_s), monotonic_s, [Heard(at(seen), every) for seen, every in seen_and_interval])

    assert earliest(0, 0, (0, 10)) == at(100)
    assert earliest(50, 50, (1, 10)) == at(100)  # within half of its patience
    assert earliest(55, 55, (7, None)) == at(100)
    assert earliest(56, 56, (0, 50)) == at(100)  # its own intervals are longer
    assert earliest(60, 60, (9, 0.01), (5, 10)) == at(160)
    assert earliest(65, 65, (64, 10)) == at(160)
    watch.begin_anew()
    assert earliest(70, 70, (64, 10)) == at(170)
    assert earliest(86_470, 75, (86_470, 10)) == at(86_570)
    assert earliest(75, 80, (86_470, 10)) == at(175)
    assert earliest(85, 85, (84, 10)) == at(175)
