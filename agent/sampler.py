"""One report: the host, and the containers of all its engines."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from agent import engine, host
from agent.containers import Containers
from agent.engine import Engine, EngineError

if TYPE_CHECKING:
    from agent.notices import Notices
    from agent.settings import Settings

logger = logging.getLogger(__name__)

# An engine that was there and does not answer is being restarted, as a rule: its containers are not gone for that.
REMEMBERED_S = 600.0


class _Source:
    """An engine that was found, and what it said last."""

    def __init__(self, found: Engine) -> None:
        self.engine = found
        self.containers = Containers(found)
        self.last: list[dict[str, Any]] = []
        self.at = time.monotonic()
        self._lost = False

    def sample(self) -> list[dict[str, Any]]:
        """An engine that comes back may be another version of itself. Raises EngineError."""
        was_lost, self._lost = self._lost, True
        if was_lost:
            self.engine.connect()
        self.last, self.at, self._lost = self.containers.sample(), time.monotonic(), False
        return self.last

    def remembered(self) -> list[dict[str, Any]]:
        """What was there when the engine last answered: that is all that is known."""
        if time.monotonic() - self.at > REMEMBERED_S:
            return []
        unknown = {"status": "unknown", "cpu_percentage": None, "memory_usage": None, "memory_percentage": None}
        return [{**one, **unknown, "health": None, "get_datetime": host.now_text()} for one in self.last]


class Sampler:
    """Finds engines as they come, and forgets none that it found."""

    def __init__(self, settings: Settings, notices: Notices) -> None:
        self._settings = settings
        self._notices = notices
        self._sources: dict[str, _Source] = {}

    def prime(self) -> None:
        """From here on CPU time is counted; a second later there is something to tell."""
        host.prime()
        self.sample()

    def close(self) -> None:
        """Ends the connections to all engines."""
        for source in self._sources.values():
            source.containers.close()

    def sample(self) -> dict[str, Any]:
        """The report, as the server takes it."""
        containers = [one for address in self._addresses() for one in self._of(address)]
        name = self._settings.host_name or self._engine_name() or socket.gethostname()
        places = {"cluster_name": self._settings.cluster_name or name, "node_name": name}
        measured = {"host_name": name, **host.sample()}
        return {"host": measured, "containers": [{**one, **places} for one in containers]}

    def _addresses(self) -> list[str]:
        given = self._settings.engines or engine.addresses(os.environ)
        return list(dict.fromkeys([*given, *self._sources]))

    def _engine_name(self) -> str:
        return next((source.engine.name for source in self._sources.values() if source.engine.name), "")

    def _of(self, address: str) -> list[dict[str, Any]]:
        source = self._sources.get(address)
        try:
            if source is None:
                source = _Source(_connected(address))
                self._sources[address] = source
                logger.info("%s: %s found", address, source.engine.kind)
            containers = source.sample()
        except EngineError as error:
            self._notices.tell(address, str(error))
            return source.remembered() if source else []
        self._notices.over(address, f"{address}: answers again")
        return containers


def _connected(address: str) -> Engine:
    found = Engine(address, os.environ)
    found.connect()
    return found
