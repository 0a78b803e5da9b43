"""Who has tried too many passwords: five failures in fifteen minutes, of one name from one address."""

import ipaddress
import math
from collections import OrderedDict, deque
from datetime import datetime, timedelta
from typing import NamedTuple

LIMIT = 5
WINDOW = timedelta(minutes=15)
MAX_KEYS = 10_000


class Attempt(NamedTuple):
    """Whose attempt it is."""

    name: str
    network: str


class Lockout:
    """The failures that this process has seen. Of too many names the one that tried longest ago is forgotten.

    Each attempt counts as a failure from its beginning on, so that many at once are no more than one after the other.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[Attempt, deque[datetime]] = OrderedDict()

    def begin(self, attempt: Attempt, now: datetime) -> int | None:
        """Counts an attempt; or gives the seconds until the next may be made."""
        failures = self._failures.setdefault(attempt, deque())
        while failures and failures[0] <= now - WINDOW:
            failures.popleft()
        if len(failures) >= LIMIT:
            return math.ceil((failures[0] + WINDOW - now).total_seconds())
        failures.append(now)
        self._failures.move_to_end(attempt)
        if len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)
        return None

    def succeeded(self, attempt: Attempt) -> None:
        """Forgets the failures."""
        self._failures.pop(attempt, None)

    def undecided(self, attempt: Attempt) -> None:
        """Whether the password was right was never found out: that attempt does not count."""
        if failures := self._failures.get(attempt):
            failures.pop()


def attempt_of(name: str, peer: str | None) -> Attempt:
    """Of an IPv6 address the network counts: who has one has 2^64 addresses."""
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return Attempt(name, peer or "")
    if isinstance(address, ipaddress.IPv6Address) and not address.ipv4_mapped:
        return Attempt(name, str(ipaddress.ip_network((address, 64), strict=False)))
    return Attempt(name, str(getattr(address, "ipv4_mapped", None) or address))
