"""The agent against a real Docker engine and a real Podman."""

import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from agent.notices import Notices
from agent.sampler import Sampler
from agent.settings import load
from tests import real_engines
from tests.real_engines import Docker, Podman, RealEngine

pytestmark = [pytest.mark.agent, pytest.mark.slow, pytest.mark.timeout(180)]
BUSY = ("/bin/sh", "-c", "while :; do :; done")
IDLE = ("/bin/sleep", "1000")
# Every character that Docker's rule for names allows: [a-zA-Z0-9][a-zA-Z0-9_.-]+
NAMES = ["Az09_.-", "a..b--c__d", "UPPER.lower-123_", f"long-{'x' * 200}"]
SIZES = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@pytest.fixture(scope="module", params=[Docker, Podman], ids=lambda engine: engine.kind)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealEngine]:
    # The path of a socket has at most 107 letters.
    with real_engines.started(request.param, tmp_path_factory.mktemp("e")) as one:
        yield one


@pytest.fixture
def sampler(engine: RealEngine) -> Iterator[Sampler]:
    one = Sampler(load(["--engines", engine.address], {}), Notices())
    yield one
    one.close()
    engine.remove_all()


def sampled(sampler: Sampler) -> dict[str, dict[str, Any]]:
    return {container["container_name"]: container for container in sampler.sample()["containers"]}


def test_a_busy_loop_agrees_with_the_kernels_counter(engine: RealEngine, sampler: Sampler) -> None:
    container = engine.run("busy", *BUSY)
    time.sleep(1)
    sampled(sampler)
    began, before = time.monotonic(), real_engines.cpu_ns(container)
    time.sleep(10)
    shown = sampled(sampler)["busy"]["cpu_percentage"]
    used, took = real_engines.cpu_ns(container) - before, time.monotonic() - began
    assert abs(shown - used / took / 1e7) < 3
    assert shown > 10


def test_memory_is_what_the_engine_shows_without_the_page_cache(engine: RealEngine, sampler: Sampler) -> None:
    hold = "dd if=/dev/zero of=/dev/shm/held bs=1M count=40; dd if=/dev/zero of=/tmp/cached bs=1M count=60; sleep 1000"
    engine.run("holds", "/bin/sh", "-c", hold, options=["--memory", "256m"])
    deadline = time.monotonic() + 20
    # There is no figure while there are no statistics yet.
    while (sampled(sampler)["holds"].get("memory_usage") or 0) * 1024 < 39:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for _ in range(5):  # both look at different moments, and the second dd goes on for one
        time.sleep(1)
        found = sampled(sampler)["holds"]
        usage, limit = (_bytes(text) for text in real_engines.shown_by_stats(engine, "holds")["memory"].split(" / "))
        if found["memory_usage"] * (1 << 30) == pytest.approx(usage, rel=0.02):
            break
    assert found["memory_usage"] * (1 << 30) == pytest.approx(usage, rel=0.02)
    assert found["memory_percentage"] == pytest.approx(usage / limit * 100, rel=0.02)


def _bytes(text: str) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]+)", text).groups()  # type: ignore[union-attr]  # what it shows
    return float(number) * SIZES[unit]


def test_what_has_ended_is_reported_with_how(engine: RealEngine, sampler: Sampler) -> None:
    engine.run("fine", "/bin/true")
    engine.run("failed", "/bin/sh", "-c", "exit 3")
    deadline = time.monotonic() + 10
    while {one["status"] for one in sampled(sampler).values()} != {"exited"} and time.monotonic() < deadline:
        time.sleep(0.1)
    found = sampled(sampler)
    assert {name: (one["status"], one["exit_code"]) for name, one in found.items()} == {
        "fine": ("exited", 0),
        "failed": ("exited", 3),
    }
    assert {one["cpu_percentage"] for one in found.values()} == {0}
    assert all(one["started_at"].startswith("20") for one in found.values())


def test_a_killed_container_changes_its_state_in_the_next_report(engine: RealEngine, sampler: Sampler) -> None:
    engine.run("victim", *IDLE)
    before = sampled(sampler)["victim"]
    engine.client("kill", "victim")
    deadline = time.monotonic() + 10
    # Podman calls it "stopped" until it has tidied up behind it.
    while engine.client("inspect", "-f", "{{.State.Status}}", "victim").strip() != "exited":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    after = sampled(sampler)["victim"]
    assert (before["status"], before["exit_code"]) == ("running", None)
    assert (after["status"], after["exit_code"]) == ("exited", 137)
    assert after["container_id"] == before["container_id"]


def test_a_paused_container_says_so(engine: RealEngine, sampler: Sampler) -> None:
    engine.run("asleep", *IDLE)
    engine.client("pause", "asleep")
    try:
        assert sampled(sampler)["asleep"]["status"] == "paused"
    finally:
        engine.client("unpause", "asleep")


def test_a_created_container_says_so(engine: RealEngine, sampler: Sampler) -> None:
    engine.client("create", "--network", "none", *real_engines.LIMITS, "--name", "fresh", *engine.image(), *IDLE)
    found = sampled(sampler)["fresh"]
    assert (found["status"], found["started_at"]) == ("created", None)


def test_names_arrive_as_they_are(engine: RealEngine, sampler: Sampler) -> None:
    for name in NAMES:
        engine.run(name, *IDLE)
    assert sorted(sampled(sampler)) == sorted(NAMES)


def test_engine_and_host_are_named(engine: RealEngine, sampler: Sampler) -> None:
    engine.run("web", *IDLE)
    report = sampler.sample()
    assert report["host"]["host_name"] == os.uname().nodename
    assert [one["engine_type"] for one in report["containers"]] == [engine.kind]
