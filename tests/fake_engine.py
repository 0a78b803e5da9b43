"""An engine as the agent sees one: answers over HTTP on a Unix socket, from containers that a test makes up."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.scripted import Asked, Reply, Scripted, scripted

DOCKER = {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Components": [{"Name": "Engine"}]}
PODMAN = {"ApiVersion": "1.41", "MinAPIVersion": "1.24", "Components": [{"Name": "Podman Engine"}]}
STARTED = "2026-11-26T11:40:59.800585283Z"


@dataclass
class Fake:
    """One container; `hangs_s` is how long its statistics take."""

    name: str
    state: str = "running"
    used_ns: int = 0
    usage: int = 100 << 20
    limit: int = 1 << 30
    cache: dict[str, int] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    hangs_s: float = 0.0
    vanishes: bool = False
    read: str | None = None

    @property
    def id(self) -> str:
        return self.name.encode(errors="surrogatepass").hex().ljust(64, "0")[:64]


class FakeEngine:
    """Its containers may be changed between two samples; `instead` has other answers, by the end of their paths."""

    def __init__(self, *containers: Fake, version: dict[str, Any] | None = None) -> None:
        self.containers = list(containers)
        self.version = version or DOCKER
        self.down = False
        self.instead: dict[str, Any] = {}

    def answer(self, asked: Asked) -> Reply:
        """One GET of the Engine API."""
        path = unquote(asked.path).partition("?")[0]
        if self.down:
            return Reply(500, {"message": "the engine is going away"})
        if odd := [answer for end, answer in self.instead.items() if path.endswith(end)]:
            return Reply(200, odd[0])
        if path == "/version":
            return Reply(200, self.version)
        parts = path.split("/")[2:]  # behind the version
        if parts == ["info"]:
            return Reply(200, {"Name": "engine-host"})
        if parts == ["containers", "json"]:
            return Reply(200, [self._listed(one) for one in self.containers])
        one = next(one for one in self.containers if one.id == parts[1])
        return Reply(404, {"message": "No such container"}) if one.vanishes else Reply(200, self._of(one, parts[2]))

    def _of(self, one: Fake, what: str) -> dict[str, Any]:
        if what == "stats":
            time.sleep(one.hangs_s)
            return self._stats(one)
        state = {"Status": one.state, "OOMKilled": False, "ExitCode": 0, "StartedAt": STARTED}
        return {"State": {**state, **one.details}, "RestartCount": one.details.get("RestartCount", 0)}

    @staticmethod
    def _listed(one: Fake) -> dict[str, Any]:
        return {"Id": one.id, "Names": [f"/{one.name}"], "Image": "bb:1", "State": one.state, "Status": "Up"}

    @staticmethod
    def _stats(one: Fake) -> dict[str, Any]:
        now = time.time_ns()
        read = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09}Z"
        empty = {"cpu_usage": {"total_usage": 0}}
        return {
            "read": one.read or read,
            "precpu_stats": empty,
            "cpu_stats": {"cpu_usage": {"total_usage": one.used_ns}, "system_cpu_usage": 1, "online_cpus": 2},
            "memory_stats": {"usage": one.usage, "limit": one.limit, "stats": one.cache},
        }


@contextmanager
def running(engine: FakeEngine, path: Path) -> Iterator[Scripted]:
    """The engine on a Unix socket."""
    with scripted(engine.answer, path=path) as server:
        yield server
