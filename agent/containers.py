"""The containers of one engine, and what each of them uses."""

from __future__ import annotations

import concurrent.futures
import logging
import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from agent import limits
from agent.clock import seconds
from agent.engine import Engine, EngineError
from agent.host import GIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

logger = logging.getLogger(__name__)

# So many containers are asked for at a time, and so long for all; who hangs keeps a place until the engine's own limit.
WORKERS = 16
DEADLINE_S = 6.0
# By so much the engine's clock and ours may differ over one interval.
CLOCK_SLACK_S = 2.0
# States in which a container has processes whose use can be counted.
ALIVE = frozenset({"running", "paused"})
# What has not run yet has an exit code of 0 too, as if it had ended well.
ENDED = frozenset({"exited", "dead"})
_ID_LETTERS = 12


class Use(NamedTuple):
    """What a container had used: nanoseconds of CPU, when by the engine's clock, and when by ours that nobody sets."""

    started_at: str
    used_ns: int
    read_s: float
    seen_s: float


class Containers:
    """Remembers each container's last sample, from which its CPU use is counted."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pool = concurrent.futures.ThreadPoolExecutor(WORKERS, thread_name_prefix="engine")
        self._before: dict[str, Use] = {}

    def sample(self) -> list[dict[str, Any]]:
        """Every container, running or not, as the report has it. Raises EngineError if the engine gives no list."""
        # Of thousands that have ended not all may be answered in time: who runs is asked first.
        listed = sorted(self._engine.ask("/containers/json?all=1"), key=lambda one: one.get("State") not in ALIVE)
        deadline = time.monotonic() + DEADLINE_S
        asked = [(one, self._pool.submit(self._one, one)) for one in listed]
        found = [_awaited(future, deadline) or (self._known(one), None) for one, future in asked]
        self._before = self._after((one["Id"], use) for (one, _), (_, use) in zip(asked, found))
        return [container for container, _ in found]

    def close(self) -> None:
        """Waits for the threads, of which one that hangs ends by its own limit."""
        self._pool.shutdown()
        self._engine.close()

    def _after(self, uses: Iterable[tuple[str, Use | None]]) -> dict[str, Use]:
        """What the next sample counts from: who was late once still has the sample before."""
        known = {key: use or self._before.get(key) for key, use in uses}
        return {key: use for key, use in known.items() if use}

    def _known(self, listed: Mapping[str, Any]) -> dict[str, Any]:
        """What is known of a container before it is asked about."""
        return {**_listed(listed), "engine_type": self._engine.kind}

    def _one(self, listed: Mapping[str, Any]) -> tuple[dict[str, Any], Use | None]:
        """One container; what has vanished meanwhile, or does not answer, is reported without its use."""
        path = f"/containers/{quote(listed['Id'])}"
        container = self._known(listed)
        try:
            container.update(_details(self._engine.ask(f"{path}/json")))
            if container["status"] not in ALIVE:
                return {**container, "cpu_percentage": 0.0, "memory_usage": 0.0, "memory_percentage": 0.0}, None
            stats = self._engine.ask(f"{path}/stats?stream=false&one-shot=true")
        except EngineError as error:
            logger.debug("container %s: %s", container["container_name"], error)
            return container, None
        use = use_of(stats, str(container.get("started_at")))
        before = self._before.get(listed["Id"])
        container["cpu_percentage"] = cpu_percentage(before, use)
        return {**container, **memory(stats, self._engine.memory_bytes)}, use


def _awaited(
    future: concurrent.futures.Future[tuple[dict[str, Any], Use | None]], deadline: float
) -> tuple[dict[str, Any], Use | None] | None:
    try:
        return future.result(max(deadline - time.monotonic(), 0))
    except concurrent.futures.TimeoutError:
        future.cancel()
    except Exception as error:  # noqa: BLE001 - one container's edge: what its engine made of it costs the others nothing
        logger.debug("container not understood: %r", error)
    return None


def _listed(one: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine's list tells. A name with a second slash is a link's, another container's name for this one."""
    names = [name.lstrip("/") for name in one.get("Names") or ()]
    names = [name for name in names if "/" not in name] or names or [one["Id"][:_ID_LETTERS]]
    return {
        "container_name": limits.word(names[0]) or limits.word(one["Id"][:_ID_LETTERS]) or "?",
        "status": limits.word(one.get("State")) or "unknown",
        "container_id": one["Id"][:_ID_LETTERS],
        "image": one.get("Image"),
        "get_datetime": limits.now(),
    }


def _details(found: Mapping[str, Any]) -> dict[str, Any]:
    """What only the container's own record tells; a state that is newer than the list's included."""
    state = found["State"]
    status = limits.word(state["Status"]) or "unknown"
    health = (state.get("Health") or {}).get("Status") or None
    return {
        "status": status,
        "restart_count": found.get("RestartCount"),
        "exit_code": state.get("ExitCode") if status in ENDED else None,
        "oom_killed": state.get("OOMKilled"),
        "health": None if health == "none" else health,
        "started_at": limits.moment(state.get("StartedAt")),
    }


def use_of(stats: Mapping[str, Any], started_at: str) -> Use:
    """What an engine's answer says of a container that was started then, and when."""
    used_ns = (stats["cpu_stats"].get("cpu_usage") or {}).get("total_usage") or 0
    return Use(started_at, used_ns, seconds(str(stats.get("read"))), time.monotonic())


def cpu_percentage(before: Use | None, now: Use) -> float | None:
    """CPU since the last sample, in % of one core as `docker stats` shows it; None without such a sample.

    Its formula divides by what all CPUs did, `system_cpu_usage`: Podman counts that otherwise, and on a virtual machine
    the stolen time is missing in it. Time is what was meant, and the engine tells when it read the counter.
    """
    if before is None or before.started_at != now.started_at or now.used_ns < before.used_ns:
        return None
    passed, seen = now.read_s - before.read_s, now.seen_s - before.seen_s
    if passed <= 0 or abs(passed - seen) > CLOCK_SLACK_S:  # somebody set the clock meanwhile, or it cannot be read
        passed = seen
    return round((now.used_ns - before.used_ns) / passed / 1e7, 2) if passed > 0 else None


def memory(stats: Mapping[str, Any], total_bytes: float) -> dict[str, float | None]:
    """Memory in GiB and in % of the limit, without the page cache that the kernel may take back, as `docker stats`.

    Its formula: usage less `total_inactive_file` (cgroup v1) or `inactive_file` (v2). No limit is all memory there is:
    Docker says so itself, Podman sends the largest number instead.
    """
    given = stats.get("memory_stats") or {}
    if "usage" not in given:
        return {"memory_usage": None, "memory_percentage": None}
    usage, details = given["usage"], given.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    usage -= cache if cache < usage else 0
    limit = min(given.get("limit") or math.inf, total_bytes)
    return {
        "memory_usage": round(usage / GIB, 6),
        "memory_percentage": round(usage / limit * 100, 3) if limit < math.inf else None,
    }
