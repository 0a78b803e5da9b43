"""Drives a running server like many agents: every host sends at its own moment, whether or not it was answered before.

Only the server's answers are waited for, never the next moment (an open loop): a server that falls behind is seen to.
"""

import asyncio
import gzip
import json
import math
import ssl
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

import httptools

from demo import shapes

TIMEOUT_S = 30.0
# So many reports of one host may be on their way; what is due beyond that is counted and not sent.
MAX_UNANSWERED = 4
# How often is said how it goes.
LINE_S = 10.0


class Answer(NamedTuple):
    """How one report ended: after how long since it was due, and with what; `said` is empty for 200."""

    took_s: float
    said: str


class Load:
    """A fleet, and what became of its reports."""

    def __init__(self, server: str, hosts: int, containers: int, interval_s: float) -> None:
        self._server = urlsplit(server)
        self._fleet = [_Agent(self._server, number, containers) for number in range(hosts)]
        self._interval_s = interval_s
        self.answers: list[Answer] = []
        self.skipped = 0

    async def run(self, seconds: float, tell: Callable[[str], None]) -> None:
        """Sends for so long, then waits for what is still unanswered."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, agent in enumerate(self._fleet):
                first = began + self._interval_s * number / len(self._fleet)
                group.create_task(self._sends(agent, first, began + seconds, group))
            group.create_task(self._tells(began + seconds, tell))
        for agent in self._fleet:
            agent.close()

    def summary(self, since: int, seconds: float) -> str:
        """One line about the answers from a place in `answers` on."""
        answers = self.answers[since:]
        stored = sorted(answer.took_s * 1000 for answer in answers if not answer.said)
        text = f"{len(stored) / seconds:,.1f} reports/s"
        if stored:
            text += f", p50 {stored[len(stored) // 2]:,.0f} ms, p99 {stored[len(stored) * 99 // 100]:,.0f} ms"
        return ", ".join([text, *(f"{count} x {said}" for said, count in self.others(since).most_common())])

    def others(self, since: int = 0) -> Counter[str]:
        """Everything that was not a 200, by what it was."""
        return Counter(answer.said for answer in self.answers[since:] if answer.said)

    async def _sends(self, agent: "_Agent", first: float, until: float, group: asyncio.TaskGroup) -> None:
        for turn in range(math.ceil(round((until - first) / self._interval_s, 6))):
            due = first + turn * self._interval_s
            await asyncio.sleep(max(due - time.monotonic(), 0))
            if agent.unanswered < MAX_UNANSWERED:
                group.create_task(self._send(agent, due))
            else:
                self.skipped += 1

    async def _send(self, agent: "_Agent", due: float) -> None:
        said = await agent.send()
        self.answers.append(Answer(time.monotonic() - due, said))

    async def _tells(self, until: float, tell: Callable[[str], None]) -> None:
        while (left_s := until - time.monotonic()) > 0:
            since, seconds = len(self.answers), min(LINE_S, left_s)
            await asyncio.sleep(seconds)
            tell(self.summary(since, seconds))


class _Agent:
    """One host: its report, made once, and its connections, one for each report that is on its way."""

    def __init__(self, server: SplitResult, number: int, containers: int) -> None:
        self._server = server
        self._body = _body(number, containers)
        self._idle: list[_Connection] = []
        self.unanswered = 0

    async def send(self) -> str:
        """Sends the report under a new key, and gives what was not a 200 in words."""
        self.unanswered += 1
        connection = self._idle.pop() if self._idle else _Connection(self._server)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, body = await connection.post(self._body, uuid.uuid4().hex)
        except TimeoutError:
            connection.close()
            return f"no answer within {TIMEOUT_S:.0f} s"
        except (OSError, EOFError, httptools.HttpParserError) as error:
            connection.close()
            return f"no connection ({type(error).__name__})"
        finally:
            self.unanswered -= 1
        if connection.is_open:
            self._idle.append(connection)
        return "" if status == 200 else f"{status} {_code(body)}"  # noqa: PLR2004 - OK

    def close(self) -> None:
        """Ends the connections."""
        while self._idle:
            self._idle.pop().close()


class _Connection:
    """HTTP over one connection, which is made when it is first needed."""

    def __init__(self, server: SplitResult) -> None:
        self._server = server
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def is_open(self) -> bool:
        return self._streams is not None

    async def post(self, body: bytes, key: str) -> tuple[int, bytes]:
        """Status and body of the answer. Raises OSError, EOFError or HttpParserError."""
        self._streams = self._streams or await self._connected()
        reader, writer = self._streams
        writer.write(self._head(body, key) + body)
        answer = _Body()
        parser = httptools.HttpResponseParser(answer)
        while not answer.complete:
            data = await reader.read(1 << 16)
            if not data:
                raise EOFError
            parser.feed_data(data)
        if not parser.should_keep_alive():
            self.close()
        return parser.get_status_code(), bytes(answer.body)

    def close(self) -> None:
        """Gives the connection up."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tls = ssl.create_default_context() if self._server.scheme == "https" else None
        port = self._server.port or (443 if tls else 80)
        return await asyncio.open_connection(self._server.hostname, port, ssl=tls)

    def _head(self, body: bytes, key: str) -> bytes:
        return (
            f"POST {self._server.path.rstrip('/')}/api/resources HTTP/1.1\r\nHost: {self._server.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n"
            f"Idempotency-Key: {key}\r\n\r\n"
        ).encode()


class _Body:
    """Collects what the parser finds."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = False

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.complete = True


def _body(number: int, containers: int) -> bytes:
    """A host's report without its times, which the server fills in: so one is right at every moment."""
    report = shapes.report(shapes.host(number, containers), datetime.now())  # noqa: DTZ005 - agents' times are naive
    report["host"]["host_name"] = report["host"]["host_name"].replace("demo-", "load-", 1)
    for part in (report["host"], *report["containers"]):
        del part["get_datetime"]
    return gzip.compress(json.dumps(report).encode())


def _code(body: bytes) -> str:
    """The result code of the server's envelope, if it is one."""
    try:
        return str(json.loads(body)["resultCode"])
    except (ValueError, TypeError, KeyError):
        return "not this server's answer"
