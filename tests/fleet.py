"""A fleet of agents under faults: what each was answered, and the comparison of what was acknowledged with the tables.

The agents live on an event loop in a thread of the test's process; the server should be a process of its own. What they
note stays in memory: no fault of these tests ends the test's own process.
"""

import asyncio
import json
import os
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass

import uvloop
from sqlalchemy import text

from config.config import Settings
from database.dialect import Role, dialect_for
from tests import canary
from tests.elapsed import within
from tests.service import report

# How many acknowledgements a fault test collects: 5,000 in `make test`, 300,000 in `make faults`.
ACKS = int(os.environ.get("FAULT_ACKS", "5000"))
# Nobody may wait longer for an answer; the deadline of the server is 15 s.
LONGEST_S = 16.0
RETRYABLE = frozenset({408, 429, 500, 503})
_FIELDS = {"success", "resultCode", "resultMessage", "data"}
_CLIENT_TIMEOUT_S = 30.0
_GIVE_UP_S = 120.0


@dataclass(frozen=True)
class Verdict:
    """What a run did to what was acknowledged; all but the first must be zero."""

    acknowledged: int
    missing: int
    duplicates: int
    partial: int

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing doubled, nothing torn."""
        return (self.missing, self.duplicates, self.partial) == (0, 0, 0)

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(*map(sum, zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Answer:
    """One exchange: when it ended (monotonic seconds), how long it took, and its status; None: no answer came."""

    at: float
    took_s: float
    status: int | None


class Fleet:
    """Agents that send keyed reports over keep-alive connections, the same bytes again until they are acknowledged.

    `ports` are the servers' on loopback; an agent whose connection fails goes to the next one. `rate` is reports a
    second over all agents, None: as fast as they are answered. Each agent has a host name of its own, or reports for
    any of `hosts` names that all agents share; the names begin with `host`.
    Each container's cluster bears its report's name, so that the rows tell what became of it.
    """

    def __init__(
        self,
        ports: Sequence[int],
        *,
        agents: int = 32,
        containers: int = 5,
        hosts: int = 0,
        rate: float | None = None,
        retry_s: float = 0.2,
        name: str = "fleet",
        host: str = "host",
    ) -> None:
        self._ports = list(ports)
        self._agents, self._containers, self._hosts = agents, containers, hosts
        self._period_s = agents / rate if rate else 0.0
        self._retry_s = retry_s
        self._name, self._host = name, host
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)
        self._sent = 0
        self.acknowledged: dict[str, float] = {}
        self.answers: list[Answer] = []
        self.codes: Counter[str] = Counter()
        self.replays = 0
        self.retries = 0
        self.wrong: list[str] = []

    @contextmanager
    def reporting(self) -> Iterator["Fleet"]:
        """Sends while the block runs; afterwards every report that was begun is brought to its end."""
        self._thread.start()
        try:
            yield self
        finally:
            self.finish()

    def finish(self) -> None:
        """Begins no more reports, and waits for those that were begun."""
        self._stop.set()
        self._thread.join(_GIVE_UP_S + _CLIENT_TIMEOUT_S)

    def await_acks(self, more: int, timeout_s: float = 120.0) -> None:
        """Waits until so many more reports are acknowledged."""
        goal, deadline = len(self.acknowledged) + more, time.monotonic() + timeout_s
        while len(self.acknowledged) < goal:
            assert time.monotonic() < deadline, f"{goal - len(self.acknowledged)} of {more} acknowledgements missing"
            time.sleep(0.01)

    def first_ack_since(self, moment: float) -> float:
        """Seconds from a moment of the monotonic clock to the first acknowledgement after it; infinity: none came."""
        return min((at - moment for at in list(self.acknowledged.values()) if at > moment), default=float("inf"))

    def p99_s(self, since: float = 0.0, until: float = float("inf")) -> float:
        """The 99th percentile of the seconds that answers between two moments took."""
        taken = [one.took_s for one in list(self.answers) if since <= one.at < until]
        return statistics.quantiles(taken, n=100)[98] if len(taken) > 1 else 0.0

    def rate(self, since: float, until: float) -> float:
        """Acknowledgements a second between two moments."""
        return sum(since <= at < until for at in list(self.acknowledged.values())) / (until - since)

    @property
    def statuses(self) -> Counter[int | None]:
        """How often each status was answered; None: the connection ended without an answer."""
        return Counter(one.status for one in self.answers)

    @property
    def slowest_s(self) -> float:
        """The longest that anyone waited."""
        return max((one.took_s for one in self.answers), default=0.0)

    def check(self, settings: Settings, *, statuses: Sequence[int | None] = (200, 503, None)) -> Verdict:
        """Everything begun was acknowledged, every answer an envelope of these statuses.

        And of what was acknowledged nothing is missing, nothing is there twice, nothing in part.
        """
        assert self.wrong == [], self.wrong[:5]
        assert set(self.statuses) <= set(statuses), self.codes
        assert len(self.acknowledged) == self._sent
        verdict = self.compare(settings)
        assert verdict.clean, verdict
        return verdict

    def in_time(self) -> None:
        """Nobody waited too long for an answer; to be told after `check` and all else."""
        within(self.slowest_s, LONGEST_S, "s for an answer")

    def compare(self, settings: Settings) -> Verdict:
        """Counts what is in the tables of what was acknowledged."""
        stored = self._stored(settings)
        return Verdict(
            acknowledged=len(self.acknowledged),
            missing=len(self.acknowledged.keys() - stored.keys()),
            duplicates=sum(count > self._containers for count in stored.values()),
            partial=sum(count < self._containers for count in stored.values()),
        )

    def _stored(self, settings: Settings) -> dict[str, int]:
        statement = "SELECT cluster_name, COUNT(*) FROM containers WHERE cluster_name LIKE :mine GROUP BY cluster_name"
        engine = dialect_for(settings).engine(Role("ledger", read_timeout_s=300))
        try:
            with engine.connect() as connection:
                rows = connection.execute(text(statement), {"mine": f"{self._name}-%"})
                return {str(name): int(count) for name, count in rows}
        finally:
            engine.dispose()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._all())

    async def _all(self) -> None:
        await asyncio.gather(*(self._agent(number) for number in range(self._agents)))

    async def _agent(self, number: int) -> None:
        line = _Line(self._ports, number)
        due = time.monotonic() + self._period_s * number / self._agents
        serial = 0
        while not self._stop.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self._period_s, time.monotonic() - 1)
            serial += 1
            host = random.randrange(self._hosts) if self._hosts else number
            await self._deliver(line, f"{self._host}-{host}", f"{self._name}-{number}-{serial}")
        line.close()

    async def _deliver(self, line: "_Line", host: str, name: str) -> None:
        clusters = [{"container_name": f"{n}", "cluster_name": name} for n in range(self._containers)]
        request = _request(report(host, *clusters), name)
        deadline = time.monotonic() + _GIVE_UP_S
        self._sent += 1
        while time.monotonic() < deadline:
            status = await self._exchange(line, request)
            if status == 200:
                self.acknowledged[name] = time.monotonic()
                return
            if status is not None and status not in RETRYABLE:
                self.wrong.append(f"{status} for {name}")
                return
            self.retries += 1
            await asyncio.sleep(self._retry_s)

    async def _exchange(self, line: "_Line", request: bytes) -> int | None:
        began = time.monotonic()
        status: int | None = None
        try:
            async with asyncio.timeout(_CLIENT_TIMEOUT_S):
                status, head, body = await line.exchange(request)
            self._look_at(status, head, body)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            line.close()
        now = time.monotonic()
        # A refused connection is no wait: nothing was sent.
        self.answers.append(Answer(now, now - began, status))
        return status

    def _look_at(self, status: int, head: bytes, body: bytes) -> None:
        """Every answer is an envelope that fits its status and does not hold the password; none is a 500."""
        envelope = json.loads(body)
        self.codes[envelope.get("resultCode", "?")] += 1
        self.replays += b"idempotent-replayed" in head
        fits = envelope.keys() == _FIELDS and envelope["success"] is (status == 200)
        if not fits or status == 500 or canary.leaks(head + body):
            self.wrong.append(f"{status} {body[:200]!r}")


class _Line:
    """One agent's connection: made when it is needed, to the next server when it failed."""

    def __init__(self, ports: Sequence[int], number: int) -> None:
        self._ports = list(ports)
        self._turn = number
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Sends a request and reads its answer: status, head in lower case, body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._ports[self._turn % len(self._ports)])
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b"connection: close" in head:
            self.close()
        return int(head[9:12]), head, body

    def close(self) -> None:
        """Gives the connection up; the next one goes to the next server."""
        self._turn += 1
        if self._streams is not None:
            with suppress(OSError, RuntimeError):
                self._streams[1].close()
        self._streams = None


def _request(body: object, key: str) -> bytes:
    raw = json.dumps(body).encode()
    head = (
        "POST /api/resources HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {key}\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw
