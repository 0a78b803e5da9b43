"""What the agent makes of an engine's answers."""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from platform import node
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from threading import Thread
from typing import Any

import pytest

from agent import engine, limits
from agent.clock import seconds
from agent.containers import Use, cpu_percentage, memory, use_of
from agent.engine import Engine, EngineError
from agent.host import GIB
from agent.notices import Notices
from agent.sampler import Sampler
from agent.settings import load
from model.schemas import MAX_CONTAINERS, ContainerSample, HostSample, Report
from tests import recorded_stats
from tests.elapsed import within
from tests.fake_engine import DOCKER, PODMAN, STARTED, Fake, FakeEngine, running
from tests.scripted import Asked, Reply, scripted

pytestmark = pytest.mark.agent

MakeSampler = Callable[..., Sampler]


@pytest.fixture
def socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the test's engine listens; the machine's own are not looked for."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    monkeypatch.delenv("DOCKER_TLS_VERIFY", raising=False)
    return tmp_path / "engine.sock"


@pytest.fixture
def sampler() -> Iterator[MakeSampler]:
    """Makes samplers that end with the test."""
    with ExitStack() as ending:

        def made(*arguments: str) -> Sampler:
            return ending.enter_context(closing(Sampler(load(arguments, {}), Notices())))

        yield made


def by_name(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {container["container_name"]: container for container in report["containers"]}


def test_every_container_is_reported_with_its_state(sampler: MakeSampler, socket: Path) -> None:
    states = ["running", "exited", "paused", "restarting", "created", "dead"]
    with running(FakeEngine(*(Fake(f"c-{state}", state) for state in states)), socket):
        found = by_name(sampler().sample())
    assert {name: container["status"] for name, container in found.items()} == {f"c-{state}": state for state in states}
    assert {container["engine_type"] for container in found.values()} == {"docker"}


def test_names_come_from_the_setting_or_the_engine(sampler: MakeSampler, socket: Path) -> None:
    with running(FakeEngine(Fake("web")), socket):
        report = sampler().sample()
        assert report["host"]["host_name"] == "engine-host"
        assert [report["containers"][0][key] for key in ("node_name", "cluster_name")] == ["engine-host"] * 2
        report = sampler("--host-name", "h", "--cluster-name", "blue").sample()
    assert report["host"]["host_name"] == "h"
    assert [report["containers"][0][key] for key in ("node_name", "cluster_name")] == ["h", "blue"]


def test_what_the_engine_knows_besides(sampler: MakeSampler, socket: Path) -> None:
    crashed = Fake("crashed", "exited", details={"ExitCode": 137, "OOMKilled": True, "RestartCount": 3})
    sick = Fake("sick", details={"Health": {"Status": "unhealthy"}})
    fresh = Fake("fresh", "created", details={"StartedAt": "0001-01-01T00:00:00Z", "Health": {"Status": "none"}})
    with running(FakeEngine(crashed, sick, fresh), socket):
        found = by_name(sampler().sample())
    keys = ("container_id", "image", "restart_count", "exit_code", "oom_killed", "health", "started_at")
    assert [found["crashed"][key] for key in keys] == [crashed.id[:12], "bb:1", 3, 137, True, None, STARTED]
    assert [found["sick"][key] for key in keys[2:]] == [0, None, False, "unhealthy", STARTED]
    assert [found["fresh"][key] for key in keys[2:]] == [0, None, False, None, None]


def test_cpu_is_counted_from_the_agents_own_last_sample(sampler: MakeSampler, socket: Path) -> None:
    busy = Fake("busy", used_ns=10**12, read="2026-11-26T12:00:00Z")
    with running(FakeEngine(busy), socket):
        agent = sampler()
        assert by_name(agent.sample())["busy"]["cpu_percentage"] is None
        busy.used_ns, busy.read = busy.used_ns + 450_000_000, "2026-11-26T12:00:01.5Z"
        assert by_name(agent.sample())["busy"]["cpu_percentage"] == 30


def test_one_that_is_late_once_loses_one_figure_only(
    sampler: MakeSampler, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Fake("slow", read="2026-11-26T12:00:00Z")
    with running(FakeEngine(slow), socket):
        agent = sampler()
        agent.sample()
        slow.hangs_s = 2.5
        with monkeypatch.context() as patch:
            patch.setattr("agent.engine.TIMEOUT_S", 0.3)
            assert "cpu_percentage" not in by_name(agent.sample())["slow"]
        slow.hangs_s, slow.used_ns, slow.read = 0, 450_000_000, "2026-11-26T12:00:01.5Z"
        assert by_name(agent.sample())["slow"]["cpu_percentage"] == 30


def test_a_kept_connection_that_another_thread_takes_first_is_no_error(socket: Path) -> None:
    class Taken(list[Any]):
        def __bool__(self) -> bool:
            return True  # until a moment ago

    with running(FakeEngine(Fake("web")), socket):
        one = Engine(f"unix://{socket}", {})
        one._idle = Taken()
        assert len(one.ask("/v1.41/containers/json")) == 1
        for kept in one._idle:
            kept.close()


def use(started_at: str = STARTED, used_ns: int = 0, read_s: float = 0.0, seen_s: float = 0.0) -> Use:
    return Use(started_at, used_ns, read_s, seen_s)


@pytest.mark.parametrize(
    ("before", "now", "shown"),
    [
        (use(), use(used_ns=10**10, read_s=10, seen_s=10), 100),
        (use(), use(used_ns=25 * 10**9, read_s=10, seen_s=10.3), 250),
        (use(), use(used_ns=10**8, read_s=10, seen_s=9.5), 1),
        (use(), use(used_ns=10**10, read_s=-3590, seen_s=10), 100),  # the clock was set back by an hour
        (use(), use(used_ns=10**10, read_s=3610, seen_s=10), 100),
        (use(used_ns=5), use(used_ns=4, read_s=10, seen_s=10), None),
        (use(), use("later", 10**10, 10, 10), None),  # started anew meanwhile
        (use(), use(used_ns=10**10, seen_s=10), 100),  # a time that cannot be read
        (use(read_s=10), use(used_ns=10**9, read_s=9, seen_s=1), 100),
        (use(), use(used_ns=10**10), None),
        (None, use(used_ns=10**10), None),
    ],
)
def test_cpu_is_in_percent_of_one_core(before: Use | None, now: Use, shown: float | None) -> None:
    assert cpu_percentage(before, now) == shown


@pytest.mark.parametrize(
    ("recorded", "gib", "share"),
    [
        (recorded_stats.DOCKER_V1, (144052224 - 13197312) / GIB, 100 * (144052224 - 13197312) / 4294967296),
        (recorded_stats.DOCKER_20_V2, (4194304 - 1253376) / GIB, 100 * (4194304 - 1253376) / 12544401408),
        (recorded_stats.DOCKER_29_V2, (1556480 - 4096) / GIB, 100 * (1556480 - 4096) / 8217473024),
        (recorded_stats.PODMAN_ROOTLESS, 1490853888 / GIB, 100 * 1490853888 / 33185812480),
        (recorded_stats.PODMAN_UNLIMITED, 602112 / GIB, 100 * 602112 / (64 * GIB)),
    ],
)
def test_memory_is_without_the_page_cache(recorded: dict[str, Any], gib: float, share: float) -> None:
    shown = memory(recorded, 64 * GIB)
    assert shown == {"memory_usage": pytest.approx(gib, abs=1e-6), "memory_percentage": pytest.approx(share, abs=1e-3)}


@pytest.mark.parametrize(
    ("stats", "gib", "share"),
    [
        ({"usage": 1 << 30, "stats": {"inactive_file": 2 << 30}}, 1, 25),
        ({"usage": 1 << 30, "limit": 0, "stats": None}, 1, 25),
        ({}, None, None),
    ],
)
def test_memory_of_an_odd_answer(stats: dict[str, Any], gib: float | None, share: float | None) -> None:
    assert memory({"memory_stats": stats}, 4 * GIB) == {"memory_usage": gib, "memory_percentage": share}
    assert memory({"memory_stats": stats}, math.inf)["memory_percentage"] is None


def test_cpu_of_recorded_answers_is_what_docker_stats_shows() -> None:
    earlier, later = recorded_stats.DOCKER_PAIR
    found = cpu_percentage(use_of(earlier, STARTED), use_of(later, STARTED))
    assert found == pytest.approx(recorded_stats.docker_stats(earlier, later), abs=0.005)
    assert found == pytest.approx(0.107, abs=0.005)


@pytest.mark.parametrize(
    "only", [recorded_stats.DOCKER_20_V2, recorded_stats.DOCKER_29_V2, recorded_stats.PODMAN_ROOTLESS]
)
def test_cpu_of_one_recorded_answer_is_not_made_up(only: dict[str, Any]) -> None:
    """Their `precpu_stats` are empty: the formula would show the average since the container's start."""
    assert cpu_percentage(None, use_of(only, STARTED)) is None


def test_what_does_not_run_uses_nothing(sampler: MakeSampler, socket: Path) -> None:
    with running(FakeEngine(Fake("off", "exited", used_ns=10**12)), socket):
        [container] = sampler().sample()["containers"]
    assert [container[key] for key in ("cpu_percentage", "memory_usage", "memory_percentage")] == [0, 0, 0]


def test_200_containers_take_less_than_3_s(sampler: MakeSampler, socket: Path) -> None:
    with running(FakeEngine(*(Fake(f"c{number}", hangs_s=0.05) for number in range(200))), socket):
        agent = sampler()
        agent.sample()
        began = time.monotonic()
        found = agent.sample()["containers"]
        took = time.monotonic() - began
    assert len(found) == 200
    assert all(container["cpu_percentage"] is not None for container in found)
    within(took, 3)


def test_one_that_hangs_or_vanishes_costs_only_itself(
    sampler: MakeSampler, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.engine.TIMEOUT_S", 2.0)
    with running(FakeEngine(Fake("good"), Fake("gone", vanishes=True), Fake("stuck", hangs_s=4), Fake("fine")), socket):
        found = by_name(sampler().sample())
    assert {name: container.get("memory_percentage") for name, container in found.items()} == {
        "good": pytest.approx(9.766),
        "gone": None,
        "stuck": None,
        "fine": pytest.approx(9.766),
    }
    assert found["stuck"]["status"] == found["gone"]["status"] == "running"


@contextmanager
def dripping(path: Path, head: bytes) -> Iterator[None]:
    """An engine that answers at once with this, and then with a byte every 50 ms, for as long as it is heard."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            with suppress(OSError):
                self.wfile.write(head)
                while True:
                    self.wfile.write(b" ")
                    time.sleep(0.05)

    with ThreadingUnixStreamServer(str(path), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nA: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_an_answer_that_comes_byte_by_byte_has_an_end(
    socket: Path, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr("agent.engine.TIMEOUT_S", 0.4)
    with dripping(socket, head):
        began = time.monotonic()
        with pytest.raises(EngineError, match="no answer within"):
            Engine(f"unix://{socket}", {}).connect()
        took = time.monotonic() - began
    within(took, 2)


def test_an_answer_after_which_the_engine_hangs_up_is_read_whole(socket: Path) -> None:
    def answer(asked: Asked) -> Reply:
        return FakeEngine(Fake("web")).answer(asked)._replace(headers={"Connection": "close"})

    with scripted(answer, path=socket) as server:
        one = Engine(f"unix://{socket}", {})
        one.connect()
        assert len(one.ask("/containers/json")) == 1
        one.close()
    assert [asked.connection for asked in server.asked] == [1, 2, 3]


def test_many_that_hang_cost_only_themselves(
    sampler: MakeSampler, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.containers.DEADLINE_S", 0.5)
    fakes = [*(Fake(f"stuck{n}", hangs_s=1.5) for n in range(40)), Fake("good")]
    with running(FakeEngine(*fakes, version=PODMAN), socket):
        began = time.monotonic()
        found = by_name(sampler().sample())
        took = time.monotonic() - began
    assert len(found) == 41
    assert {container["engine_type"] for container in found.values()} == {"podman"}
    assert {container["status"] for container in found.values()} == {"running"}
    within(took, 1.4)


def test_an_answer_that_nobody_understands_costs_only_its_container(sampler: MakeSampler, socket: Path) -> None:
    odd = Fake("odd", details={"StartedAt": 7, "Health": "no"})
    with running(FakeEngine(odd, Fake("good", read="yesterday")), socket):
        agent = sampler()
        agent.sample()
        found = by_name(agent.sample())
    assert found["odd"]["status"] == "running"
    assert found["good"]["memory_percentage"] == pytest.approx(9.766)


@pytest.mark.parametrize(
    ("end", "answer"),
    [
        ("/containers/json", None),
        ("/containers/json", {"message": "starting"}),
        ("/containers/json", [{"Names": ["/no-id"]}]),
        ("/containers/json", [7]),
        ("/version", []),
        ("/version", {"ApiVersion": "x"}),
        ("/info", None),
        ("/info", {"MemTotal": "much"}),
    ],
    ids=str,
)
def test_an_engine_that_nobody_understands_costs_only_itself(
    sampler: MakeSampler,
    socket: Path,
    caplog: pytest.LogCaptureFixture,
    end: str,
    answer: Any,  # noqa: ANN401 - JSON
) -> None:
    odd, other = FakeEngine(Fake("odd")), socket.with_name("other.sock")
    odd.instead = {end: answer}
    agent = sampler("--engines", f"unix://{socket},unix://{other}")
    with running(odd, socket), running(FakeEngine(Fake("good")), other):
        agent.prime()
        reports = [agent.sample() for _ in range(3)]
        odd.instead = {}
        after = by_name(agent.sample())
    assert [list(by_name(report)) for report in reports] == [["good"]] * 3
    assert all("cpu_percentage" in report["host"] for report in reports)
    assert sorted(after) == ["good", "odd"]
    assert [record.message.partition(": ")[2][:30] for record in caplog.records] == ["its answers are not understood"]


ODD_VALUES: list[Any] = [
    -3,
    -4e21,
    1e300,
    math.nan,
    math.inf,
    2**70,
    1.5,
    True,
    "yesterday",
    "",
    "x" * 300,
    [1],
    {},
    None,
]


@pytest.mark.parametrize("odd", ODD_VALUES, ids=repr)
def test_no_value_of_any_field_makes_the_server_refuse_the_report(odd: Any) -> None:  # noqa: ANN401 - JSON
    host = {name: odd for name in HostSample.model_fields if name != "host_name"}
    container = {name: odd for name in ContainerSample.__annotations__ if name != "container_name"}
    report = {
        "host": limits.fitting({**host, "host_name": "h"}),
        "containers": [limits.fitting({**container, "container_name": "c"})],
    }
    Report.model_validate_json(json.dumps(report))


def test_what_the_server_takes_is_left_as_it_is() -> None:
    numbers = {"cpu_percentage": 3, "memory_usage": 1.5, "restart_count": 0, "exit_code": -1, "network_sent": 2**53 - 1}
    good = {**numbers, "oom_killed": False, "started_at": STARTED, "image": "bb:1", "health": None}
    assert limits.fitting(good) == good


def test_an_odd_number_of_an_engine_costs_only_itself(sampler: MakeSampler, socket: Path) -> None:
    odd = Fake("odd", usage=int(-4e21), details={"StartedAt": "yesterday", "RestartCount": -3})
    with running(FakeEngine(odd, Fake("nameless\x07")), socket):
        report = sampler().sample()
    Report.model_validate_json(json.dumps(report))
    found = by_name(report)["odd"]
    assert [found[name] for name in ("memory_usage", "restart_count", "started_at")] == [None, None, None]
    assert (found["status"], found["oom_killed"]) == ("running", False)


class AtTheBeginning(datetime):
    """The clock of a board without a battery."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "AtTheBeginning":
        return cls(1970, 1, 1, tzinfo=tz or UTC)


def test_one_odd_value_does_not_make_the_server_refuse_the_report(
    sampler: MakeSampler, socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = {"1970": "1970-01-01T00:00:07Z", "2100": "2100-06-01T00:00:00Z", "never": "soon"}
    odd = [Fake(name, details={"StartedAt": text}) for name, text in starts.items()]
    named = [Fake("n" * 300), Fake("bell\x07"), Fake("half \ud800"), Fake(" " * 5)]
    monkeypatch.setattr("agent.limits.datetime", AtTheBeginning)
    monkeypatch.setattr("psutil.boot_time", lambda: time.time() + 9)
    with running(FakeEngine(*odd, *named), socket):
        report = sampler().sample()
    Report.model_validate_json(json.dumps(report))
    assert report["host"]["get_datetime"] is None
    found = by_name(report)
    assert {found[name]["started_at"] for name in starts} == {None}
    assert set(found) - set(starts) == {"n" * 255, "bell?", "half ?", named[3].id[:12]}


def test_of_too_many_those_that_run_are_reported(
    sampler: MakeSampler, socket: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("agent.limits.CONTAINERS", 5)
    fakes = [*(Fake(f"old-{n}", "exited") for n in range(6)), Fake("web"), Fake("asleep", "paused")]
    with running(FakeEngine(*fakes), socket):
        agent = sampler()
        reports = [agent.sample()["containers"] for _ in range(3)]
    assert [len(containers) for containers in reports] == [5] * 3
    assert [one["container_name"] for one in reports[0][:2]] == ["web", "asleep"]
    assert [record.message for record in caplog.records] == [
        "8 containers, of which 5 are reported: the server takes no more"
    ]


def test_so_many_are_what_the_server_takes() -> None:
    assert limits.CONTAINERS == MAX_CONTAINERS


@pytest.mark.parametrize(
    ("text", "since_1970"),
    [
        ("2026-11-26T11:40:59.800585283Z", 1795693259.800585283),
        ("2026-11-26T20:40:59.800585283+09:00", 1795693259.800585283),
        ("2026-11-26T06:10:59.8-05:30", 1795693259.8),
        ("2026-11-26T11:40:59Z", 1795693259),
        ("2026-11-26T20:40:59+09:00", 1795693259),
        ("2026-11-26T11:40:59", 1795693259),
        ("2026-13-26T11:40:59Z", 0),
        ("2026-11-26", 0),
        ("", 0),
        ("None", 0),
    ],
)
def test_an_engines_time_is_read_with_its_offset(text: str, since_1970: float) -> None:
    assert seconds(text) == pytest.approx(since_1970, abs=1e-6)


@pytest.mark.parametrize("text", ["1970-01-01T09:00:00+09:00", "1999-12-31T23:00:00+09:00", "2100-01-01T01:00:00Z"])
def test_a_time_that_no_clock_shows_is_not_sent(text: str) -> None:
    assert limits.moment(text) is None
    assert limits.moment(STARTED) == STARTED


@pytest.mark.parametrize(
    ("version", "kind", "path"),
    [
        (DOCKER, "docker", "/v1.41/"),
        (PODMAN, "podman", "/v1.41/"),
        ({**DOCKER, "ApiVersion": "1.52", "MinAPIVersion": "1.44"}, "docker", "/v1.51/"),
        ({**DOCKER, "ApiVersion": "1.70", "MinAPIVersion": "1.60"}, "docker", "/v1.60/"),
        ({"ApiVersion": "1.24"}, "docker", "/v1.24/"),
    ],
)
def test_the_newest_version_that_both_know_is_spoken(
    sampler: MakeSampler, socket: Path, version: dict[str, Any], kind: str, path: str
) -> None:
    with running(FakeEngine(Fake("web"), version=version), socket) as server:
        [container] = sampler().sample()["containers"]
    assert container["engine_type"] == kind
    assert {asked.path[: len(path)] for asked in server.asked if asked.path != "/version"} == {path}


def test_an_engine_that_restarts_does_not_take_its_containers_away(
    sampler: MakeSampler, socket: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    fake = FakeEngine(Fake("web"), Fake("old", "exited"))
    agent = sampler()
    with running(fake, socket):
        agent.sample()
        fake.down = True
        found = by_name(agent.sample())
        assert {one["status"] for one in found.values()} == {"unknown"}
        assert {one["cpu_percentage"] for one in found.values()} == {None}
        fake.down = False
        assert by_name(agent.sample())["web"]["status"] == "running"
        monkeypatch.setattr("agent.sampler.REMEMBERED_S", 0)
        fake.down = True
        for _ in range(3):
            assert agent.sample()["containers"] == []
    lines = [record.message.removeprefix(f"unix://{socket}: ") for record in caplog.records]
    assert lines[:3] == ["docker found", "500 for /v1.41/containers/json", "answers again"]
    assert lines[3:] == ["500 for /v1.41/containers/json", "500 for /version"]


def test_a_host_without_an_engine_says_so_once(
    sampler: MakeSampler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("agent.engine.addresses", lambda _: [])
    agent = sampler()
    agent.prime()
    agent.sample()
    assert [record.message for record in caplog.records] == [
        "no engine found: the host alone is reported until there is one"
    ]


def test_an_engine_that_starts_later_is_found_then(sampler: MakeSampler, socket: Path) -> None:
    agent = sampler()
    assert agent.sample()["containers"] == []
    with running(FakeEngine(Fake("web")), socket):
        assert len(agent.sample()["containers"]) == 1


def test_a_name_that_was_reported_stays(sampler: MakeSampler, socket: Path) -> None:
    agent = sampler()
    before = agent.sample()["host"]["host_name"]
    with running(FakeEngine(Fake("web")), socket):
        report = agent.sample()
    assert before == report["host"]["host_name"] == report["containers"][0]["node_name"] == node()


def test_an_engine_that_comes_before_the_first_report_names_the_host(sampler: MakeSampler, socket: Path) -> None:
    agent = sampler()
    agent.prime()
    with running(FakeEngine(Fake("web")), socket):
        assert agent.sample()["host"]["host_name"] == "engine-host"


def test_several_engines_are_one_report(sampler: MakeSampler, tmp_path: Path, socket: Path) -> None:
    other = tmp_path / "other.sock"
    with running(FakeEngine(Fake("a")), socket), running(FakeEngine(Fake("b"), version=PODMAN), other):
        found = by_name(sampler("--engines", f"unix://{socket},unix://{other}").sample())
    assert {name: container["engine_type"] for name, container in found.items()} == {"a": "docker", "b": "podman"}


def test_an_engine_that_is_given_twice_is_reported_once(sampler: MakeSampler, tmp_path: Path, socket: Path) -> None:
    link = tmp_path / "link.sock"
    link.symlink_to(socket)
    agent = sampler("--engines", f"unix://{link},unix://{socket}")
    with running(FakeEngine(Fake("web")), socket):
        assert [len(agent.sample()["containers"]) for _ in range(2)] == [1, 1]


def test_a_socket_under_two_names_is_one_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    podman, docker = tmp_path / "podman.sock", tmp_path / "docker.sock"
    podman.touch()
    docker.symlink_to(podman)
    monkeypatch.setattr(engine, "_DOCKER", str(docker))
    monkeypatch.setattr(engine, "_PODMAN", str(podman))
    (tmp_path / "podman").mkdir()
    (tmp_path / "podman" / "podman.sock").touch()
    found = engine.addresses({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert found == [f"unix://{docker}", f"unix://{tmp_path}/podman/podman.sock"]
    assert engine.addresses({"DOCKER_HOST": "tcp://a:2375"}) == ["tcp://a:2375"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("unix:///nowhere.sock", "there is no such socket: is the engine running?"),
        ("tcp://127.0.0.1:1", "nobody listens there: is the engine running?"),
        ("tcp://no-such-host.invalid:2375", "the name is not known"),
        ("ftp://a", "should be unix:///path or tcp://host:port"),
    ],
)
def test_an_engine_that_cannot_be_reached_is_one_line(address: str, said: str) -> None:
    with pytest.raises(EngineError) as told:
        Engine(address, {}).connect()
    assert str(told.value) == f"{address}: {said}"


def test_certificates_that_are_missing_are_one_line(tmp_path: Path) -> None:
    environ = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path)}
    with pytest.raises(EngineError, match=r"ca.pem, cert.pem and key.pem are needed there"):
        Engine("tcp://127.0.0.1:1", environ)
