"""No secret may turn up anywhere: the tests' database password in whatever disguise, agents' headers, tokens."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import httpx
import psutil

from tests.servers import CANARY

# Every way of writing the password leaves one of these as it is: URLs, JSON and HTML change other letters of it only.
PLAIN = CANARY.partition("@")[0]
BASE64 = base64.b64encode(PLAIN[:9].encode()).decode()
# What every request of the tests shows besides, as a proxy's cookie or key would be.
HEADER = {"X-Agent-Secret": f"{PLAIN}-header", "Cookie": f"session={PLAIN}-cookie"}
TOKEN = re.compile(r"rms_[0-9a-f]{12}_[0-9a-f]{8}")
# Where a token is shown, once, to whoever had it made.
MAKES_TOKENS = re.compile(r"/api/tokens(/[0-9a-f]{12}/rotate)?/?")
NEEDLES = tuple(needle.lower() for needle in (PLAIN, PLAIN.encode().hex(), BASE64))


def leaks(text: bytes | str) -> list[str]:
    """The lines of a text that hold the password."""
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).splitlines()
    return [line for line in lines if any(_tells(form) for form in (line, unquote(line)))]


def _tells(line: str) -> bool:
    return TOKEN.search(line) is not None or any(needle in line.lower() for needle in NEEDLES)


def check_response(response: httpx.Response) -> None:
    """A hook of a client: no answer holds a secret, nor does its head."""
    made = response.request.method == "POST" and MAKES_TOKENS.fullmatch(response.request.url.path)
    body = response.read().decode(errors="replace")
    assert leaks(TOKEN.sub("", body, count=1) if made else body) == []
    assert leaks("\n".join(response.headers.values())) == []


def check_logs(path: Path) -> None:
    """Neither a log file holds it nor what was rotated away from it."""
    for file in path.parent.glob(f"{path.name}*"):
        assert leaks(file.read_bytes()) == [], file.name


def check_process(pid: int) -> None:
    """No title of a process, of its children or of their threads holds it; those that ended have none."""
    assert leaks("\n".join(_titles(pid))) == []


def _titles(pid: int) -> Iterator[str]:
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in family:
        try:
            yield " ".join([one.name(), *one.cmdline()])
        except psutil.NoSuchProcess:
            continue
