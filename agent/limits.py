"""What the server takes: for one value beyond, it would refuse every report of the host."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Callable

from agent.clock import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTAINERS = 2_000
_LETTERS = 255
# Controls, what turns the direction of writing, and halves of letters, which are none.
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# From 2000 to 2100, and a day less at each end for the zones of the world.
_FIRST_S, _LAST_S = 946_771_200, 4_102_358_400
_METRIC, _COUNT, _TOTAL = 1e9, 2**31 - 1, 2**53 - 1


def word(text: object) -> str | None:
    """A name without odd characters and not too long; None if nothing is left of it."""
    return _ODD.sub("?", str(text or "")).strip()[:_LETTERS].rstrip() or None


def moment(text: object) -> str | None:
    """A time as it is; None if it cannot be: a board without a battery begins in 1970, an engine's never is year 1."""
    return str(text) if _FIRST_S < seconds(str(text)) < _LAST_S else None


def now() -> str | None:
    """The local time, with its offset: what a host's zone is, only the host knows."""
    return moment(datetime.now().astimezone().isoformat(timespec="seconds"))


def fitting(one: Mapping[str, Any]) -> dict[str, Any]:
    """A host or a container with None for what cannot be: who made it up, the engine or the system, is all the same."""
    return {name: _FIELDS.get(name, word)(value) for name, value in one.items()}


def _metric(value: object) -> object:
    return value if type(value) in (int, float) and 0 <= value <= _METRIC else None  # type: ignore[operator]  # a number


def _whole(least: int, most: int) -> Callable[[object], object]:
    """Of whole numbers; what is true or false is none."""
    return lambda value: value if type(value) is int and least <= value <= most else None


def _flag(value: object) -> object:
    return value if isinstance(value, bool) else None


# All others are words.
_FIELDS: dict[str, Callable[[object], object]] = {
    **dict.fromkeys(
        ("cpu_percentage", "memory_usage", "memory_percentage", "load1", "disk_usage", "disk_total"), _metric
    ),
    **dict.fromkeys(("cpu_cores", "cpu_threads", "restart_count"), _whole(0, _COUNT)),
    **dict.fromkeys(("uptime_s", "network_received", "network_sent"), _whole(0, _TOTAL)),
    **dict.fromkeys(("get_datetime", "started_at"), moment),
    # Windows gives any 32 bits, with or without a sign.
    "exit_code": _whole(-(2**31), 2**32 - 1),
    "oom_killed": _flag,
}
