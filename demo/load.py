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
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

import httptools

from demo import shapes

TIMEOUT_S = 30.0
# So many reports of one host may be on their way; what is due beyond that is counted and not sent.
MAX_UNANSWERED = 4
# How often is said how it goes.
LINE_S = 10.0


class Load:
    """A fleet, and what became of its reports."""

    def __init__(self, server: str, hosts: int, containers: int, interval_s: float) -> None:
        address = urlsplit(server)
        tls = ssl.create_default_context() if address.scheme == "https" else None
        self._fleet = [_Agent(_Line(address, tls), _report(number, containers)) for number in range(hosts)]
        self._interval_s = interval_s
        self.took_ms = array("d")
        self.others: Counter[str] = Counter()
        self.skipped = 0

    async def run(self, seconds: float, tell: Callable[[str], None]) -> None:
        """Sends for so long, then waits for what is still unanswered; tells how it goes every ten seconds."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, agent in enumerate(self._fleet):
                first = began + self._interval_s * number / len(self._fleet)
                group.create_task(self._sends(agent, first, began + seconds, group))
            group.create_task(self._tells(began + seconds, tell))
        for agent in self._fleet:
            agent.close()

    def summary(self, seconds: float, since: int = 0, others: Counter[str] | None = None) -> str:
        """One line about the last so many seconds: the answers from a place on, and whatever was not 200."""
        took = sorted(self.took_ms[since:])
        text = f"{len(took) / seconds:,.1f} reports/s"
        if took:
            text += f", p50 {_share(took, 50):,.0f} ms, p99 {_share(took, 99):,.0f} ms"
        counted = self.others - (others or Counter())
        return ", ".join([text, *(f"{count} x {said}" for said, count in counted.most_common())])

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
        if said:
            self.others[said] += 1
        else:
            self.took_ms.append((time.monotonic() - due) * 1000)

    async def _tells(self, until: float, tell: Callable[[str], None]) -> None:
        while (left_s := until - time.monotonic()) > 0:
            since, others, seconds = len(self.took_ms), self.others.copy(), min(LINE_S, left_s)
            await asyncio.sleep(seconds)
            tell(self.summary(seconds, since, others))


def _share(ordered: Sequence[float], percent: int) -> float:
    """The value that so many percent do not exceed."""
    return ordered[(len(ordered) * percent - 1) // 100]


class _Agent:
    """One host: its report, and its connections, one for each report that is on its way."""

    def __init__(self, line: "_Line", report: bytes) -> None:
        self._line = line
        self._report = report
        self._idle: list[_Connection] = []
        self.unanswered = 0

    async def send(self) -> str:
        """Sends the report under a new key, and gives what was not a 200 in words."""
        self.unanswered += 1
        connection = self._connection()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, body = await connection.post(self._report, uuid.uuid4().hex)
        except TimeoutError:
            connection.close()
            return f"no answer within {TIMEOUT_S:.0f} s"
        except (OSError, EOFError, httptools.HttpParserError) as error:
            connection.close()
            return f"no connection ({type(error).__name__})"
        finally:
            self.unanswered -= 1
        self._idle.append(connection)
        return "" if status == HTTPStatus.OK else f"{status} {_code(body)}"

    def close(self) -> None:
        """Ends the connections."""
        while self._idle:
            self._idle.pop().close()

    def _connection(self) -> "_Connection":
        """One that is open still, if there is any."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
            connection.close()
        return _Connection(self._line)


class _Line:
    """Where the server is, and how a request to it begins."""

    def __init__(self, address: SplitResult, tls: ssl.SSLContext | None) -> None:
        self._address = address
        self._tls = tls

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises OSError."""
        port = self._address.port or (443 if self._tls else 80)
        return await asyncio.open_connection(self._address.hostname, port, ssl=self._tls)

    def head(self, length: int, key: str) -> bytes:
        """Everything before the body."""
        return (
            f"POST {self._address.path.rstrip('/')}/api/resources HTTP/1.1\r\nHost: {self._address.netloc}\r\n"
            f"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n"
            f"Idempotency-Key: {key}\r\n\r\n"
        ).encode()


class _Connection:
    """HTTP over one connection, which is made when it is first needed."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the next request may go this way: nobody has ended it."""
        return self._streams is not None and not self._streams[0].at_eof()

    async def post(self, body: bytes, key: str) -> tuple[int, bytes]:
        """Status and body of the answer. Raises OSError, EOFError or HttpParserError."""
        self._streams = self._streams or await self._line.connect()
        reader, writer = self._streams
        writer.write(self._line.head(len(body), key) + body)
        answer = _Answer()
        while not answer.complete:
            data = await reader.read(1 << 16)
            if not data:
                raise EOFError
            answer.parser.feed_data(data)
        if not answer.keeps_alive:
            self.close()
        return answer.parser.get_status_code(), bytes(answer.body)

    def close(self) -> None:
        """Gives the connection up."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


class _Answer:
    """Collects what the parser finds, by the names that it calls."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.body = bytearray()
        self.complete = self.keeps_alive = False

    def on_body(self, part: bytes) -> None:
        """A piece of the body."""
        self.body += part

    def on_message_complete(self) -> None:
        """The end; only now the parser knows whether the connection lives on."""
        self.complete, self.keeps_alive = True, self.parser.should_keep_alive()


def _report(number: int, containers: int) -> bytes:
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
