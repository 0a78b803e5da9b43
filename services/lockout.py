"""Who has tried too many passwords: five of one name from one address in fifteen minutes, or fifty of any names."""

import math
from collections import OrderedDict, deque
from datetime import datetime, timedelta
from typing import NamedTuple

from utils.networks import network_of

LIMIT, LIMIT_OF_ALL_NAMES = 5, 50
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
        limits = {attempt: LIMIT, _of_all(attempt): LIMIT_OF_ALL_NAMES}
        for key, limit in limits.items():
            if wait := self._wait(key, limit, now):
                return wait
        for key in limits:
            self._failures.setdefault(key, deque()).append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > MAX_KEYS:
            self._failures.popitem(last=False)
        return None

    def _wait(self, key: Attempt, limit: int, now: datetime) -> int | None:
        failures = self._failures.get(key)
        while failures and failures[0] <= now - WINDOW:
            failures.popleft()
        if failures and len(failures) >= limit:
            return math.ceil((failures[0] + WINDOW - now).total_seconds())
        return None

    def succeeded(self, attempt: Attempt) -> None:
        """Forgets the failures of that name; of the others this one was none."""
        self._failures.pop(attempt, None)
        self._take_back(_of_all(attempt))

    def undecided(self, attempt: Attempt) -> None:
        """Whether the password was right was never found out: that attempt does not count."""
        for key in (attempt, _of_all(attempt)):
            self._take_back(key)

    def _take_back(self, key: Attempt) -> None:
        if failures := self._failures.get(key):
            failures.pop()
        if not failures:
            self._failures.pop(key, None)


def _of_all(attempt: Attempt) -> Attempt:
    """Of every name: no user's is empty."""
    return attempt._replace(name="")


def attempt_of(name: str, peer: str | None) -> Attempt:
    """Whose attempt it is: who has a network of addresses is one."""
    return Attempt(name, network_of(peer))
