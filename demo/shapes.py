"""What a made-up fleet reports at a moment: daily rhythms, spikes, leaks, restarts, and containers that ended."""

import math
import random
from datetime import datetime, timedelta
from typing import Any, NamedTuple

DAY_S, HOUR_S = 86_400, 3_600
ROLES = ("web", "api", "worker", "db", "cache", "queue", "search", "batch")
ENGINES = ("docker", "docker", "docker", "podman")
CORES, MEMORY_GIB = (4, 8, 16, 32), (16, 32, 64, 128)
# Of a hundred hours of a container so many bring a spike; one of so many days a restart.
SPIKES_PERCENT, RESTART_DAYS = 4, 3
SPIKE_S, RESTART_S, LEAK_S = 900, 120, 2 * DAY_S


class Container(NamedTuple):
    """What stays the same of a container. CPU in % of one core, memory in GiB at rest and after a leak."""

    name: str
    engine: str
    cluster: str
    cpu: float
    memory: float
    leak: float
    ends: str


class Host(NamedTuple):
    """What stays the same of a host; `phase` is when its day begins, in seconds, `busy` how busy it is at its peak."""

    name: str
    cores: int
    memory: float
    phase: float
    busy: float
    containers: tuple[Container, ...]


def host(number: int, containers: int) -> Host:
    """The same host for the same number, whenever it is asked for."""
    dice = random.Random(f"host {number}")  # noqa: S311 - made up, keeps no secret
    role = ROLES[number % len(ROLES)]
    size = dice.randrange(len(CORES))
    named = [_container(dice, number, each, role) for each in range(containers)]
    phase, busy = dice.uniform(-2, 2) * HOUR_S, dice.uniform(0.15, 0.8)
    return Host(f"demo-{role}-{number:03}", CORES[size], MEMORY_GIB[size], phase, busy, tuple(named))


def _container(dice: random.Random, number: int, each: int, role: str) -> Container:
    kind = ROLES[(number + each) % len(ROLES)] if each else role
    ends = "exited" if dice.random() < 0.03 else "created" if dice.random() < 0.01 else ""  # noqa: PLR2004 - rare
    leak = dice.uniform(0.2, 1) if dice.random() < 0.1 else 0  # noqa: PLR2004 - the one in ten that everyone has
    return Container(
        name=f"{kind}-{each:02}",
        engine=ENGINES[number % len(ENGINES)],
        cluster=f"demo-{'abc'[number % 3]}",
        cpu=dice.lognormvariate(1.5, 1),
        memory=round(dice.lognormvariate(-1.5, 0.8), 3),
        leak=leak,
        ends=ends,
    )


def report(one: Host, at: datetime) -> dict[str, Any]:
    """What the host reports at a local time, as the intake takes it."""
    second = int((at - datetime(2000, 1, 1)).total_seconds())  # noqa: DTZ001 - agents' times are naive by contract
    share = _daily(second + one.phase) * one.busy
    shown = [_shown(each, one, second, share, at) for each in one.containers]
    used = sum(container["cpu_percentage"] for container in shown) / one.cores
    memory = min(one.memory * 0.2 + sum(container["memory_usage"] for container in shown), one.memory * 0.97)
    return {
        "host": {
            "host_name": one.name,
            "cpu_percentage": round(min(used + 2 + 10 * share + random.uniform(-1, 1), 100), 1),  # noqa: S311
            "cpu_cores": one.cores,
            "cpu_threads": 2 * one.cores,
            "memory_usage": round(memory, 2),
            "memory_percentage": round(memory / one.memory * 100, 1),
            "get_datetime": _text(at),
        },
        "containers": shown,
    }


def _daily(second: float) -> float:
    """From a fifth at night to all of it in the afternoon, and less at the weekend."""
    hour = second % DAY_S / HOUR_S
    wave = 0.6 - 0.4 * math.cos((hour - 3) / 24 * 2 * math.pi)
    weekend = second // DAY_S % 7 in (0, 1)  # the first of January 2000 was a Saturday
    return wave * (0.5 if weekend else 1)


def _shown(one: Container, on: Host, second: int, share: float, at: datetime) -> dict[str, Any]:
    status = one.ends or ("restarting" if _restarts(one, on, second) else "running")
    cpu = memory = 0.0
    if status == "running":
        spike = 6 if _spikes(one, on, second) else 1
        cpu = min(one.cpu * spike * (0.3 + share) * random.uniform(0.8, 1.25), 100.0 * on.cores)  # noqa: S311
        memory = one.memory * random.uniform(0.98, 1.02) + one.leak * (second % LEAK_S) / LEAK_S  # noqa: S311
    return {
        "engine_type": one.engine,
        "cluster_name": one.cluster,
        "node_name": on.name,
        "container_name": one.name,
        "status": status,
        "cpu_percentage": round(cpu, 2),
        "memory_usage": round(memory, 3),
        "memory_percentage": round(memory / on.memory * 100, 2),
        "get_datetime": _text(at - timedelta(seconds=1)),
    }


def _spikes(one: Container, on: Host, second: int) -> bool:
    """A quarter of an hour, in few hours: the same ones whenever this hour is asked for."""
    dice = random.Random(f"spike {on.name} {one.name} {second // HOUR_S}")  # noqa: S311 - made up
    begins = dice.uniform(0, HOUR_S - SPIKE_S)
    return dice.random() * 100 < SPIKES_PERCENT and begins <= second % HOUR_S < begins + SPIKE_S


def _restarts(one: Container, on: Host, second: int) -> bool:
    dice = random.Random(f"restart {on.name} {one.name} {second // DAY_S}")  # noqa: S311 - made up
    begins = dice.uniform(0, DAY_S - RESTART_S)
    return dice.random() * RESTART_DAYS < 1 and begins <= second % DAY_S < begins + RESTART_S


def _text(at: datetime) -> str:
    return at.isoformat(" ", "seconds")
