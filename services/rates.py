"""How often someone may come: a bucket of tokens for each, as one moment each."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

# Of those who came long ago nothing need be kept; of too many at once the one who came last is forgotten last.
MAX_KEYS = 10_000


class Rates:
    """So many a minute on the long run, `burst` of them at once after a silence.

    What is kept of a key is the moment at which its bucket is full again (the generic cell rate algorithm, as in ATM
    networks). A moment that is past says nothing: forgetting it changes no answer.
    """

    def __init__(
        self, per_minute: int, burst: int, clock: Callable[[], float] = time.monotonic, max_keys: int = MAX_KEYS
    ) -> None:
        self._token_s = 60 / per_minute
        self._spare_s = (burst - 1) * self._token_s
        self._clock, self._max_keys = clock, max_keys
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def wait_s(self, key: Hashable) -> float:
        """Takes a token and gives 0, or takes none and gives the seconds until there is one."""
        now = self._clock()
        full_at = max(self._full_at.get(key, now), now)
        wait = full_at - self._spare_s - now
        if wait > 1e-6:  # noqa: PLR2004 - less is only how floats round
            return wait
        self._full_at[key] = full_at + self._token_s
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._max_keys:
            self._full_at.popitem(last=False)
        return 0.0

    def __len__(self) -> int:
        """How many keys are kept."""
        return len(self._full_at)
