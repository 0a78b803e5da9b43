"""What a made-up fleet reports at a moment: daily rhythms, spikes, leaks, restarts, and containers that ended."""

import math
import random
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

DAY_S, HOUR_S = 86_400, 3_600
ROLES = ("web", "api", "worker", "db", "cache", "queue", "search", "batch")
ENGINES = ("docker", "docker", "docker", "podman")
CORES, MEMORY_GIB = (4, 8, 16, 32), (16, 32, 64, 128)
# Of a hundred hours of a container so many bring a spike; one of so many days a restart.
SPIKES_PERCENT, RESTART_DAYS = 4, 3
SPIKE_S, RESTART_S, LEAK_S = 900, 120, 2 * DAY_S
_EPOCH = datetime(2000, 1, 1)  # noqa: DTZ001 - agents' times are naive by contract


class Container(NamedTuple):
    """What stays the same of a container. CPU in % of one core, memory in GiB at rest and after a leak."""

    name: str
    id: str
    image: str
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
        id=f"{dice.getrandbits(48):012x}",
        image=f"registry.example/{kind}:{dice.randrange(1, 5)}.{dice.randrange(20)}",
        engine=ENGINES[number % len(ENGINES)],
        cluster=f"demo-{'abc'[number % 3]}",
        cpu=dice.lognormvariate(1.5, 1),
        memory=round(dice.lognormvariate(-1.5, 0.8), 3),
        leak=leak,
        ends=ends,
    )


def report(one: Host, at: datetime) -> dict[str, Any]:
    """What the host reports at a local time, as the intake takes it."""
    second = int((at - _EPOCH).total_seconds())
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
            **_details(one, second, share),
        },
        "containers": shown,
    }


def _details(one: Host, second: int, share: float) -> dict[str, Any]:
    """Disks fill up by the month, traffic grows from a start at the beginning of the year."""
    uptime_s = second % (365 * DAY_S)
    return {
        "os": "Debian GNU/Linux 12 (bookworm)",
        "kernel": "6.1.0-28-amd64",
        "uptime_s": uptime_s,
        "load1": round(one.cores * share, 2),
        "disk_usage": round(100 + 300 * (second % (30 * DAY_S)) / (30 * DAY_S), 1),
        "disk_total": 500.0,
        "network_received": uptime_s * 40_000,
        "network_sent": uptime_s * 25_000,
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
        "container_id": one.id,
        "image": one.image,
        "restart_count": 0,
        "exit_code": 137 if status == "exited" else None,
        "oom_killed": status == "exited",
        "health": "healthy" if status == "running" else None,
        "started_at": None if status == "created" else f"{_started(one, on, second).isoformat()}Z",
    }


def _started(one: Container, on: Host, second: int) -> datetime:
    """When its last restart ended, or a fortnight ago at the least."""
    for day in range(second // DAY_S, second // DAY_S - 14, -1):
        begins = _restart(one.name, on.name, day)
        if begins is not None and begins + RESTART_S <= second:
            return _EPOCH + timedelta(seconds=begins + RESTART_S)
    return _EPOCH + timedelta(days=second // DAY_S - 14)


def _spikes(one: Container, on: Host, second: int) -> bool:
    begins = _spike(one.name, on.name, second // HOUR_S)
    return begins is not None and begins <= second < begins + SPIKE_S


def _restarts(one: Container, on: Host, second: int) -> bool:
    begins = _restart(one.name, on.name, second // DAY_S)
    return begins is not None and begins <= second < begins + RESTART_S


# Both are the same whenever they are asked for, which every report does: making dice costs more than all else of it.
@lru_cache(maxsize=100_000)
def _spike(name: str, host_name: str, hour: int) -> int | None:
    """The second in which a quarter of an hour begins, in few hours."""
    dice = random.Random(f"spike {host_name} {name} {hour}")  # noqa: S311 - made up
    begins = hour * HOUR_S + dice.randrange(HOUR_S - SPIKE_S)
    return begins if dice.random() * 100 < SPIKES_PERCENT else None


@lru_cache(maxsize=100_000)
def _restart(name: str, host_name: str, day: int) -> int | None:
    dice = random.Random(f"restart {host_name} {name} {day}")  # noqa: S311 - made up
    begins = day * DAY_S + dice.randrange(DAY_S - RESTART_S)
    return begins if dice.random() * RESTART_DAYS < 1 else None


def _text(at: datetime) -> str:
    return at.isoformat(" ", "seconds")
