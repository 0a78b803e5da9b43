"""Clients that note what was acknowledged, and the comparison of their notes with the database afterwards."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from sqlalchemy import text

from config.config import Settings
from database.dialect import Role, dialect_for
from tests import canary
from tests.service import report


class Ledger:
    """Agents that send keyed reports, the same bytes again until they are acknowledged, and note that.

    `statuses` and `slowest` (seconds) tell what else they were answered.

    Each container's cluster bears its report's name, so that the rows tell what became of it.
    """

    def __init__(self, url: str, agents: int = 8, containers: int = 5) -> None:
        self._url = url
        self._containers = containers
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._agent, args=(n,), name=f"agent{n}") for n in range(agents)]
        self.acknowledged: dict[str, float] = {}
        self.sent = 0
        self.statuses: set[int] = set()
        self.slowest = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Sends while the block runs; afterwards every report that was begun is brought to its end."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self.finish()

    def finish(self) -> None:
        """Begins no more reports, and waits for those that were begun."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def since(self, moment: float) -> list[float]:
        """When reports were acknowledged after a moment, by the monotonic clock."""
        with self._lock:
            return sorted(at for at in self.acknowledged.values() if at > moment)

    def _agent(self, agent: int) -> None:
        hooks = {"response": [canary.check_response]}
        with httpx.Client(base_url=self._url, timeout=20, event_hooks=hooks) as client:
            for n in range(1_000_000):
                if self._stop.is_set():
                    return
                self._deliver(client, f"agent{agent}", f"agent{agent}-{n}")

    def _deliver(self, client: httpx.Client, host: str, name: str) -> None:
        body = report(host, *({"container_name": f"{n}", "cluster_name": name} for n in range(self._containers)))
        deadline = time.monotonic() + 50
        with self._lock:
            self.sent += 1
        while time.monotonic() < deadline:
            if self._post(client, body, name):
                with self._lock:
                    self.acknowledged[name] = time.monotonic()
                return
            time.sleep(0.2)

    def _post(self, client: httpx.Client, body: dict[str, Any], key: str) -> bool:
        began = time.monotonic()
        try:
            status = client.post("/api/resources", json=body, headers={"Idempotency-Key": key}).status_code
        except httpx.TransportError:
            return False
        with self._lock:
            self.statuses.add(status)
            self.slowest = max(self.slowest, time.monotonic() - began)
        return status == 200

    def check(self, settings: Settings) -> None:
        """Nothing acknowledged is missing, nothing is there twice, nothing in part."""
        engine = dialect_for(settings).engine(Role("ledger"))
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT cluster_name, COUNT(*) FROM containers GROUP BY cluster_name")).all()
            reports = connection.execute(text("SELECT COUNT(*) FROM reports")).scalar_one()
        engine.dispose()
        stored = {str(name): int(count) for name, count in rows}
        assert len(self.acknowledged) == self.sent
        assert set(self.acknowledged) - set(stored) == set(), "missing"
        assert {name: count for name, count in stored.items() if count > self._containers} == {}, "duplicates"
        assert {name: count for name, count in stored.items() if count < self._containers} == {}, "partial"
        assert reports == len(stored)
