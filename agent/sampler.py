"""One report: the host, and the containers of all its engines."""

from __future__ import annotations

import logging
import os
import socket
import time
from typing import TYPE_CHECKING, Any

from agent import engine, host, limits
from agent.containers import ALIVE, Containers
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
        return [{**one, **unknown, "health": None, "get_datetime": limits.now()} for one in self.last]


class Sampler:
    """Finds engines as they come, and forgets none that it found."""

    def __init__(self, settings: Settings, notices: Notices) -> None:
        self._settings = settings
        self._notices = notices
        self._sources: dict[str, _Source] = {}
        self._name = ""

    def prime(self) -> None:
        """From here on CPU time is counted; a second later there is something to tell."""
        host.prime()
        self._containers()
        if not self._addresses():
            logger.info("no engine found: the host alone is reported until there is one")

    def close(self) -> None:
        """Ends the connections to all engines."""
        for source in self._sources.values():
            source.containers.close()

    def sample(self) -> dict[str, Any]:
        """The report, as the server takes it."""
        containers = self._containers()
        name = self._host_name()
        places = {"cluster_name": self._settings.cluster_name or name, "node_name": name}
        measured = limits.fitting({"host_name": name, **host.sample()})
        return {"host": measured, "containers": [limits.fitting({**one, **places}) for one in containers]}

    def _containers(self) -> list[dict[str, Any]]:
        """Those of all engines; of too many, those that run before those that have ended."""
        found = [one for address in self._addresses() for one in self._of(address)]
        if len(found) <= limits.CONTAINERS:
            return found
        most = f"{limits.CONTAINERS:,}"
        message = f"{len(found):,} containers, of which {most} are reported: the server takes no more"
        self._notices.tell("containers", message, about=most)
        return sorted(found, key=lambda one: one["status"] not in ALIVE)[: limits.CONTAINERS]

    def _host_name(self) -> str:
        """Once reported it stays: an engine that starts after the agent would make another host of this one."""
        if not self._name:
            self._name = self._settings.host_name or self._engine_name() or limits.word(socket.gethostname()) or "?"
        return self._name

    def _addresses(self) -> list[str]:
        given = self._settings.engines or engine.addresses(os.environ)
        return engine.each_once([*self._sources, *given])

    def _engine_name(self) -> str:
        names = [limits.word(source.engine.name) for source in self._sources.values()]
        return next((name for name in names if name), "")

    def _of(self, address: str) -> list[dict[str, Any]]:
        try:
            containers = self._source(address).sample()
        except EngineError as error:
            self._notices.tell(address, str(error))
        except Exception as error:  # noqa: BLE001 - one engine's edge: what it made up costs the host and the others nothing
            self._notices.tell(address, f"{address}: its answers are not understood: {error!r}")
        else:
            self._notices.over(address, f"{address}: answers again")
            return containers
        return self._sources[address].remembered() if address in self._sources else []

    def _source(self, address: str) -> _Source:
        """Connects to an engine that is new."""
        if address not in self._sources:
            self._sources[address] = _Source(_connected(address))
            logger.info("%s: %s found", address, self._sources[address].engine.kind)
        return self._sources[address]


def _connected(address: str) -> Engine:
    found = Engine(address, os.environ)
    try:
        found.connect()
    except BaseException:
        found.close()
        raise
    return found
