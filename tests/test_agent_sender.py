"""What the agent sends, and what becomes of it for each answer."""

import json
import logging
import math
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from agent.clock import Clock, Stamp
from agent.notices import Notices
from agent.sender import BATCH_REPORTS, Later, Sender, pause_s
from agent.server import Server
from agent.spool import Spool
from tests.processes import free_port
from tests.programs import wait_for
from tests.scripted import Answers, Asked, Reply, Scripted, scripted

pytestmark = pytest.mark.agent

OK = {"success": True, "resultCode": "0", "resultMessage": "container_count: 0", "data": {}}


class Agent:
    """A sender and its spool, against one server; the test turns it by hand."""

    def __init__(self, folder: Path, url: str, *, token: str = "", ca_file: str = "") -> None:
        self.clock, self.notices = Clock(), Notices()
        self.spool = Spool(folder, self.clock, self.notices, max_bytes=1 << 22, max_age_s=3600)
        self.server = Server(url, token, ca_file)
        self.sender = Sender(self.spool, self.server, self.clock, self.notices)

    def keep(self, count: int = 1, *, size: int = 0, age_s: float = 0) -> "Agent":
        now = self.clock.now()
        for number in range(count):
            report = {"host": {"host_name": f"h{number}", "x": "x" * size}, "containers": []}
            self.spool.append(json.dumps(report), Stamp(now.uptime_s - age_s, now.boot, now.wall_s))
        return self

    def send_all(self) -> None:
        while self.sender.step():
            pass


@contextmanager
def agent(folder: Path, answers: Answers, **options: str) -> Iterator[tuple[Agent, Scripted]]:
    with scripted(answers) as server:
        made = Agent(folder / "spool", f"http://127.0.0.1:{server.address}", **options)
        try:
            yield made, server
        finally:
            made.server.close()
            made.spool.close()


def envelope(code: str, status: int = 400, data: Any = None) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"success": status < 207, "resultCode": code, "resultMessage": f"because of {code}", "data": data}


def stores(asked: Asked) -> Reply:
    if asked.path.endswith("/batch"):
        results = [{"resultCode": "0", "message": ""} for _ in asked.body["reports"]]
        return Reply(200, {**OK, "data": {"results": results}})
    return Reply(200, OK)


def test_a_report_goes_out_with_its_key_and_its_age(tmp_path: Path) -> None:
    with agent(tmp_path, stores, token="abc") as (made, server):
        [record] = made.keep(age_s=5).spool.oldest(1, 1000)
        made.send_all()
        [asked] = server.asked
    assert (asked.method, asked.path) == ("POST", "/api/resources")
    assert asked.headers["idempotency-key"] == record.key
    assert asked.headers["authorization"] == "Bearer abc"
    assert asked.headers["user-agent"].startswith("resource-monitor-agent/")
    assert "content-encoding" not in asked.headers
    assert asked.body["host"]["host_name"] == "h0"
    assert 5 <= asked.body["age_s"] < 60
    assert len(made.spool) == 0


def test_the_first_delivery_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with agent(tmp_path, stores) as (made, _):
        made.keep(3).send_all()
        made.keep().send_all()
        assert [record.message for record in caplog.records] == [f"delivered to {made.server.url}"]


def test_larger_ones_are_compressed(tmp_path: Path) -> None:
    with agent(tmp_path, stores) as (made, server):
        made.keep(size=2000).send_all()
    assert server.asked[0].headers["content-encoding"] == "gzip"
    assert server.asked[0].body["host"]["x"] == "x" * 2000


def test_one_connection_serves_all(tmp_path: Path) -> None:
    with agent(tmp_path, stores) as (made, server):
        for _ in range(5):
            made.keep().send_all()
    assert [asked.connection for asked in server.asked] == [1] * 5


def test_a_connection_that_was_closed_meanwhile_is_opened_again(tmp_path: Path) -> None:
    with agent(tmp_path, stores) as (made, server):
        made.keep().send_all()
        assert made.server._connection
        made.server._connection.sock.shutdown(2)
        made.keep().send_all()
    assert [asked.connection for asked in server.asked] == [1, 2]


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_the_server_refuses_for_good_is_put_aside(tmp_path: Path, status: int) -> None:
    with agent(tmp_path, lambda _: Reply(status, envelope("VALIDATION", status))) as (made, _):
        made.keep().send_all()
        assert len(made.spool) == 0
    [path] = (tmp_path / "spool" / "rejected").iterdir()
    report, reason = path.read_text().splitlines()
    assert json.loads(report)["host"]["host_name"] == "h0"
    assert reason == f"{status} VALIDATION: because of VALIDATION"


@pytest.mark.parametrize("status", [200, 204, 302, 400, 413, 415, 422, 502, 503])
def test_what_somebody_else_answers_decides_nothing(tmp_path: Path, status: int) -> None:
    with agent(tmp_path, lambda _: Reply(status, b"<html>")) as (made, _):
        with pytest.raises(Later, match=f"{status}, and not the server's own answer"):
            made.keep().send_all()
        assert len(made.spool) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 405, 408, 409, 429, 431, 500, 502, 503, 507])
def test_any_other_refusal_keeps_the_report(tmp_path: Path, status: int) -> None:
    with agent(tmp_path, lambda _: Reply(status, envelope("CODE", status))) as (made, _):
        with pytest.raises(Later, match=f"{status} CODE: because of CODE"):
            made.keep().send_all()
        assert len(made.spool) == 1


def test_a_server_that_names_a_time_is_given_it(tmp_path: Path) -> None:
    busy = Reply(503, envelope("OVERLOADED", 503), {"Retry-After": "7"})
    with agent(tmp_path, lambda _: busy) as (made, _), pytest.raises(Later) as told:
        made.keep().send_all()
    assert told.value.asked_s == 7


@pytest.mark.parametrize(
    ("failures", "limit"), [(0, 2), (1, 4), (2, 8), (3, 16), (4, 32), (5, 64), (6, 64), (10**6, 64)]
)
@pytest.mark.parametrize(("asked_s", "least"), [(0, 0), (7, 7), (86_400, 300), (1e11, 300), (math.inf, 300)])
def test_pauses_grow_to_a_minute_beyond_what_the_server_asks_and_spread(
    failures: int, limit: float, asked_s: float, least: float
) -> None:
    pauses = [pause_s(failures, asked_s) - least for _ in range(200)]
    assert limit * 0.8 < max(pauses) <= limit
    assert 0 <= min(pauses) < limit * 0.2


@pytest.mark.parametrize("asked", ["99999999999", "9" * 400])
def test_a_time_that_is_absurd_mutes_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    waits: list[float] = []
    busy = Reply(503, b"<html>", {"Retry-After": asked})
    with agent(tmp_path, lambda _: busy) as (made, _):
        monkeypatch.setattr(made.sender._stop, "wait", waits.append)
        made.keep()
        for _ in range(3):
            made.sender._turn()
    assert [300 <= wait <= 300 + limit for wait, limit in zip(waits, (2, 4, 8), strict=True)] == [True] * 3


def test_the_thread_sends_what_it_is_woken_for_and_ends(tmp_path: Path) -> None:
    with agent(tmp_path, stores) as (made, server):
        made.sender.start()
        for _ in range(2):
            made.keep()
            made.sender.wake()
            wait_for(lambda: len(made.spool) == 0)
        made.sender.stop(5)
        assert not made.sender._thread.is_alive()
    assert len(server.asked) == 2


def test_a_pause_ends_with_the_agent(tmp_path: Path) -> None:
    with agent(tmp_path, lambda _: Reply(503, b"<html>", {"Retry-After": "99999999999"})) as (made, server):
        made.keep().sender.start()
        wait_for(lambda: len(server.asked) == 1)
        assert made.sender._thread.is_alive()
        made.sender.stop(5)
        assert not made.sender._thread.is_alive()


def test_the_newest_goes_first_then_the_oldest_in_batches(tmp_path: Path) -> None:
    with agent(tmp_path, stores) as (made, server):
        made.keep(BATCH_REPORTS + 11, age_s=9).send_all()
        assert len(made.spool) == 0
    single, first, second = server.asked
    assert single.body["host"]["host_name"] == f"h{BATCH_REPORTS + 10}"
    sent = [*first.body["reports"], *second.body["reports"]]
    assert [report["host"]["host_name"] for report in sent] == [f"h{n}" for n in range(BATCH_REPORTS + 10)]
    assert all(9 <= report["age_s"] < 60 for report in sent)
    assert len({report["idempotency_key"] for report in sent} | {single.headers["idempotency-key"]}) == len(sent) + 1


def test_a_report_that_comes_meanwhile_overtakes_the_backlog(tmp_path: Path) -> None:
    def answers(asked: Asked) -> Reply:
        if len(server.asked) == 2:
            made.keep(1, size=1)
        return stores(asked)

    with agent(tmp_path, answers) as (made, server):
        made.keep(3 * BATCH_REPORTS).send_all()
    assert [asked.path.rpartition("/")[2] for asked in server.asked][:4] == ["resources", "batch", "resources", "batch"]
    assert server.asked[2].body["host"]["x"] == "x"


def test_each_report_of_a_batch_has_its_own_fate(tmp_path: Path) -> None:
    codes = ["0", "VALIDATION", "OVERLOADED", "KEY_MISMATCH", "COMMIT_UNKNOWN"]

    def answers(asked: Asked) -> Reply:
        if asked.path.endswith("/batch") and len(server.asked) == 2:
            results = [{"resultCode": code, "message": "why"} for code in codes]
            return Reply(207, envelope("PARTIAL", 207, {"results": results}), {"Retry-After": "4"})
        return stores(asked) if len(server.asked) == 1 else Reply(503, envelope("OVERLOADED", 503))

    with agent(tmp_path, answers) as (made, server):
        made.keep(6)
        with pytest.raises(Later, match="OVERLOADED: why") as told:
            made.send_all()
        assert told.value.asked_s == 4
        assert [record.number for record in made.spool.oldest(9, 1 << 20)] == [2, 4]
        assert len(server.asked) == 2
    rejected = sorted((tmp_path / "spool" / "rejected").iterdir())
    assert [path.read_text().splitlines()[1] for path in rejected] == ["VALIDATION: why", "KEY_MISMATCH: why"]


def test_a_batch_of_which_nothing_was_taken_is_sent_later(tmp_path: Path) -> None:
    results = [{"resultCode": "DB_UNAVAILABLE", "message": "away"}] * 2

    def answers(asked: Asked) -> Reply:
        batch = Reply(207, envelope("PARTIAL", 207, {"results": results}), {"Retry-After": "3"})
        return batch if asked.path.endswith("/batch") else stores(asked)

    with agent(tmp_path, answers) as (made, _):
        with pytest.raises(Later, match="DB_UNAVAILABLE: away") as told:
            made.keep(3).send_all()
        assert (len(made.spool), told.value.asked_s) == (2, 3)


def test_batches_that_are_too_large_become_smaller(tmp_path: Path) -> None:
    def answers(asked: Asked) -> Reply:
        large = len(asked.body.get("reports", ())) > 30
        return Reply(413, b"<html>") if large else stores(asked)

    with agent(tmp_path, answers) as (made, server):
        made.keep(101).send_all()
        assert len(made.spool) == 0
    assert max(len(asked.body.get("reports", ())) for asked in server.asked) == 100


@pytest.mark.parametrize("status", [404, 405, 400, 413, 422])
def test_a_server_without_batches_gets_single_reports(tmp_path: Path, status: int) -> None:
    def answers(asked: Asked) -> Reply:
        return Reply(status, b"<html>") if asked.path.endswith("/batch") else stores(asked)

    with agent(tmp_path, answers) as (made, server):
        made.keep(250).send_all()
        assert len(made.spool) == 0
    names = [asked.body["host"]["host_name"] for asked in server.asked if asked.path == "/api/resources"]
    assert names == ["h249", *(f"h{number}" for number in range(249))]
    sizes = [len(asked.body["reports"]) for asked in server.asked if asked.path.endswith("/batch")]
    # Too large may be meant by itself, so it is halved; else once, and then two reports after each hundred.
    assert sizes == ([249, 124, 62, 31, 15, 7, 3, 2, 2] if status == 413 else [249, 2, 2])


def test_batches_grow_again_when_they_are_taken(tmp_path: Path) -> None:
    def answers(asked: Asked) -> Reply:
        early = len(server.asked) < 50
        return Reply(404, b"<html>") if early and asked.path.endswith("/batch") else stores(asked)

    with agent(tmp_path, answers) as (made, server):
        made.keep(300).send_all()
        assert len(made.spool) == 0
    sizes = [len(asked.body["reports"]) for asked in server.asked if asked.path.endswith("/batch")]
    assert sizes == [250, 2, 4, 8, 16, 32, 64, 73]


def test_an_address_below_a_path_is_possible(tmp_path: Path) -> None:
    with agent(tmp_path, stores) as (made, server):
        below = Agent(tmp_path / "other", f"http://127.0.0.1:{server.address}/monitor")
        below.keep().send_all()
        below.server.close()
        below.spool.close()
        assert made
    assert server.asked[0].path == "/monitor/api/resources"


def failing(folder: Path, url: str, **options: str) -> str:
    made = Agent(folder, url, **options)
    try:
        with pytest.raises(Later) as told:
            made.keep().send_all()
        assert len(made.spool) == 1
    finally:
        made.spool.close()
    return str(told.value).removeprefix(f"{url}: ")


def test_a_server_that_is_away_is_one_line(tmp_path: Path) -> None:
    assert failing(tmp_path, f"http://127.0.0.1:{free_port()}") == "nobody listens there"


def test_a_name_that_nobody_knows_is_one_line(tmp_path: Path) -> None:
    assert failing(tmp_path, "http://no-such-host.invalid") == "the name cannot be resolved"


def test_certificates_are_checked(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with scripted(stores, tls=context) as server:
        url = f"https://localhost:{server.address}"
        assert "its certificate is not trusted" in failing(tmp_path / "a", url)
        assert "its certificate is not trusted" in failing(tmp_path / "b", url.replace("localhost", "127.0.0.1"))
        made = Agent(tmp_path / "c", url, ca_file=str(tmp_path / "ca.pem"))
        made.keep().send_all()
        made.server.close()
        made.spool.close()
    assert len(server.asked) == 1


def test_an_hour_without_a_good_token_is_one_line_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("agent.sender.FIRST_PAUSE_S", 0)

    def answers(asked: Asked) -> Reply:
        return stores(asked) if len(server.asked) > 360 else Reply(401, envelope("UNAUTHORIZED", 401))

    with agent(tmp_path, answers, token="later") as (made, server):
        for _ in range(360):
            made.keep().sender._turn()
        assert len(made.spool) == 360
        while len(made.spool):
            made.sender._turn()
    stored = [asked.headers.get("idempotency-key") for asked in server.asked[360:361]]
    stored += [one["idempotency_key"] for asked in server.asked[361:] for one in asked.body["reports"]]
    assert len(set(stored)) == len(stored) == 360
    warning, delivered, over = [record.message for record in caplog.records]
    assert "401 UNAUTHORIZED" in warning
    assert delivered == f"delivered to {made.server.url}"
    assert over.endswith("takes reports again, 359 wait")
