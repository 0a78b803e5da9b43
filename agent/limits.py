"""What the server takes: for one value beyond, it would refuse every report of the host."""

from __future__ import annotations

import re
from datetime import datetime

from agent.clock import seconds

CONTAINERS = 2_000
_LETTERS = 255
# Controls, what turns the direction of writing, and halves of letters, which are none.
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# From 2000 to 2100, and a day less at each end for the zones of the world.
_FIRST_S, _LAST_S = 946_771_200, 4_102_358_400


def word(text: object) -> str | None:
    """A name without odd characters and not too long; None if nothing is left of it."""
    return _ODD.sub("?", str(text or "")).strip()[:_LETTERS].rstrip() or None


def moment(text: str) -> str | None:
    """A time as it is; None if it cannot be: a board without a battery begins in 1970, an engine's never is year 1."""
    return text if _FIRST_S < seconds(text) < _LAST_S else None


def now() -> str | None:
    """The local time, with its offset: what a host's zone is, only the host knows."""
    return moment(datetime.now().astimezone().isoformat(timespec="seconds"))
