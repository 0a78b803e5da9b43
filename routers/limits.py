"""What one process grants its clients: connections and memory for their bodies. It belongs to the event loop."""

import asyncio
import logging
from collections import Counter
from collections.abc import Hashable
from typing import Any

from config.config import Settings
from logger import Throttle, event
from model.envelope import Failure, too_often
from routers.clients import Proxies
from services.rates import Rates
from utils.limits import files_allowed
from utils.networks import network_of

logger = logging.getLogger(__name__)

# What bodies that are still being received may hold together; each of them may be 1 or 2 MiB.
BODIES_BYTES = 64 << 20
# Files that connections leave to the database, the log and whatever else has to be opened.
KEPT_FILES = 64


class Connections:
    """How many connections there are, of all clients and of each."""

    def __init__(self, settings: Settings) -> None:
        self._each = settings.security.max_connections_per_ip
        self._proxies = Proxies(settings.server.forwarded_allow_ips)
        files = files_allowed()
        self._most = None if files is None else files - min(KEPT_FILES, files // 4)
        self._all = 0
        self._of: Counter[str] = Counter()
        self._lines = Throttle()

    def enter(self, address: str) -> bool:
        """Whether one more is granted to a client; if so, it has to `leave`. Many come through a trusted proxy."""
        if self._most is not None and self._all >= self._most:
            self._tell("no_files_left", limit=self._most)
            return False
        client = self._client(address)
        if self._each and self._of[client] >= self._each and not self._proxies.trusts(address):
            self._tell("too_many_connections", client, peer=address, limit=self._each)
            return False
        self._all += 1
        self._of[client] += 1
        return True

    def leave(self, address: str) -> None:
        """Forgets a client with its last connection."""
        client = self._client(address)
        self._all -= 1
        self._of[client] -= 1
        if not self._of[client]:
            del self._of[client]

    def _client(self, address: str) -> str:
        """A proxy counts by itself: its neighbours are not those that it speaks for."""
        return address if self._proxies.trusts(address) else network_of(address)

    def _tell(self, name: str, client: str = "", **values: object) -> None:
        suppressed = self._lines.allow((name, client))
        if suppressed is not None:
            logger.warning(event(name, **values, suppressed=suppressed or None))


def accept_calmly(loop: asyncio.AbstractEventLoop) -> None:
    """Tells once a minute that no file is left to accept with: asyncio's own loop tells of each of thousands of tries.

    uvloop says nothing, and closes at once what it cannot keep.
    """
    lines = Throttle()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("message") != "socket.accept() out of system resource":
            loop.default_exception_handler(context)
        elif (suppressed := lines.allow(None)) is not None:
            logger.warning(event("no_files_left", limit=files_allowed(), suppressed=suppressed or None))

    loop.set_exception_handler(handle)


class Budget:
    """So many bytes, to be taken and given back."""

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, size: int) -> bool:
        """Whether there were so many left."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def give(self, size: int) -> None:
        """Gives back what was taken."""
        self.left += size


class Limits:
    """All of them, of one server process."""

    def __init__(self, settings: Settings) -> None:
        self.connections = Connections(settings)
        self.bodies = Budget(BODIES_BYTES)
        per_minute, burst = settings.security.rate_limit_per_minute, settings.security.rate_limit_burst
        self._requests = Rates(per_minute, burst) if per_minute else None

    def too_often(self, key: Hashable) -> Failure | None:
        """Counts a request of a client, by whatever names it best; gives the refusal if it is one too many."""
        if self._requests is None:
            return None
        wait_s = self._requests.wait_s(key)
        return too_often("too many requests; try again later", wait_s) if wait_s else None
