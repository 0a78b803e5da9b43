import asyncio
import json
import sys
from collections import Counter

import pytest

from tests.service import Service, report

pytestmark = pytest.mark.slow

READERS = 500
PATHS = ("/api/hosts", "/api/containers")


def allow_files(many: int) -> None:
    """Both ends of every connection are in this process."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - Windows has none, and no such limit

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < many:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(many, hard), hard))


async def ask(port: int, path: str) -> tuple[int, str]:
    """The status and the message of an answer, by a socket of its own: pools cost more than the server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), json.loads(body)["resultMessage"]


async def ask_all(port: int) -> Counter[tuple[int, str]]:
    return Counter(await asyncio.gather(*(ask(port, PATHS[number % len(PATHS)]) for number in range(READERS))))


def test_five_hundred_readers_at_once_are_all_answered(service: Service) -> None:
    allow_files(4 * READERS)
    for number in range(20):
        service.post(report(f"host-{number}", *(f"box-{box}" for box in range(3))))
    pool = service.settings.database
    assert (pool.pool_size, pool.max_overflow) == (10, 20)
    answers = asyncio.run(ask_all(service.port))
    assert answers == {(200, "host_count: 20"): READERS // 2, (200, "container_count: 60"): READERS // 2}
