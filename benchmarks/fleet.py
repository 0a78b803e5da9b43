"""What the measured agents send: reports of 1,000 hosts with 20 containers each, the same ones but for their times."""

import json
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

HOSTS, CONTAINERS = 1_000, 20
# Reports of each host, so that no cache of values finds the last one again.
VARIANTS = 8
# A container of every so manyth host starts and stops all the time; the others stay as they are.
RESTLESS = 100
STATUSES = ("running", "running", "running", "exited")


def host_name(number: int) -> str:
    return f"docker-host-{number:04}.example.internal"


def report(number: int, dice: random.Random) -> dict[str, Any]:
    """One report: names repeat from report to report, values do not."""
    host = {"host_name": host_name(number), **_metrics(dice), "cpu_cores": 16, "cpu_threads": 32}
    containers = [_container(number, each, dice) for each in range(CONTAINERS)]
    return {"host": {**host, "get_datetime": _time(dice)}, "containers": containers}


def _container(number: int, each: int, dice: random.Random) -> dict[str, Any]:
    return {
        "engine_type": "docker",
        "cluster_name": f"cluster-{number % 10}",
        "node_name": host_name(number),
        "container_name": f"service-{each:02}-worker",
        "status": _status(number, each, dice),
        **_metrics(dice),
        "get_datetime": _time(dice),
    }


def _status(number: int, each: int, dice: random.Random) -> str:
    restless = number % RESTLESS == 0 and each == 0
    return STATUSES[(dice.randrange(CONTAINERS) if restless else each) % len(STATUSES)]


def _metrics(dice: random.Random) -> dict[str, float]:
    limits = {"cpu_percentage": 100, "memory_usage": 4, "memory_percentage": 100}
    return {name: round(dice.uniform(0, limit), 2) for name, limit in limits.items()}


def _time(dice: random.Random) -> str:
    """Of the last minute: a clock that is ten minutes wrong is logged, and these agents have nothing wrong."""
    at = datetime.now() - timedelta(seconds=dice.randrange(60))  # noqa: DTZ005 - agents' times are naive by contract
    return at.isoformat(" ", "seconds")


def reports() -> list[dict[str, Any]]:
    """All reports, the hosts in turn, measured just now."""
    dice = random.Random(1)  # noqa: S311 - the same values in every run
    return [report(number, dice) for _ in range(VARIANTS) for number in range(HOSTS)]


def write(path: Path) -> Path:
    """Writes the bodies, one a line."""
    path.write_text("".join(f"{json.dumps(one)}\n" for one in reports()), encoding="utf-8")
    return path
