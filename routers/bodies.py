"""Reads a body: within its limits of size and time, decoded, and as bytes."""

import zlib

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Message

from model.envelope import Code, Failure
from routers.deps import state_of
from routers.headers import text, values

MAX_REPORT_BYTES = 1 << 20
MAX_BATCH_BYTES = 2 << 20
MAX_TAGS_BYTES = 1 << 16

# So much of each body is not counted: usual reports come through while large ones use the budget up.
FREE_BYTES = 16 << 10

_CLOSE = {"Connection": "close"}
_LATER = {"Retry-After": "2", **_CLOSE}
_FORMS = ("multipart/", "application/x-www-form-urlencoded")
_BOM = b"\xef\xbb\xbf"
_HEAD = 4


async def read(request: Request, limit: int, *, any_type: bool = False) -> bytes:
    """Gives the body's UTF-8 bytes without a byte-order mark.

    Raises TOO_LARGE over `limit` bytes, raw or inflated (by Content-Length before a byte is read), TIMEOUT after 10 s,
    OVERLOADED while too much of other bodies is being received,
    UNSUPPORTED for a form, another charset or encoding, BAD_JSON for broken gzip.
    """
    if not any_type:
        _check_type(text(request.scope, b"content-type"))
    encoding = _encoding(request)
    body = await _receive(request, limit)
    if encoding == "gzip":
        body = inflate(body, limit)
    # No JSON in UTF-8 has a zero byte so early; in UTF-16 and UTF-32 it does, with or without a mark.
    if b"\0" in body[:_HEAD]:
        raise Failure(Code.UNSUPPORTED, "the body is not UTF-8")
    return body.removeprefix(_BOM)


def _check_type(value: str) -> None:
    kind, _, parameters = value.lower().partition(";")
    if kind.strip().startswith(_FORMS):
        raise Failure(Code.UNSUPPORTED, "not a form: send JSON")
    for parameter in parameters.split(";"):
        name, _, charset = parameter.partition("=")
        if name.strip() == "charset" and charset.strip(" \"'") not in ("utf-8", "utf8", "us-ascii"):
            raise Failure(Code.UNSUPPORTED, "the charset must be UTF-8")


def _encoding(request: Request) -> str:
    """Only gzip or none: stacked encodings multiply what a small body can grow to."""
    encoding = b",".join(values(request.scope, b"content-encoding")).decode("latin-1").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise Failure(Code.UNSUPPORTED, "only gzip or no encoding", headers={"Accept-Encoding": "gzip"})
    return encoding


async def _receive(request: Request, limit: int) -> bytes:
    announced = text(request.scope, b"content-length", "0")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise _too_large(limit)
    message = await _next(request)
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        return await _rest(request, limit, bytearray(body))
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _rest(request: Request, limit: int, body: bytearray) -> bytes:
    """Adds to what is there of a body; what it holds meanwhile comes out of the budget of all of them."""
    budget, taken, more = state_of(request)["limits"].bodies, 0, True
    try:
        while True:
            if len(body) > limit:
                raise _too_large(limit)
            owed = len(body) - FREE_BYTES - taken
            if owed > 0:
                if not budget.take(owed):
                    raise Failure(Code.OVERLOADED, "too many bodies at once; send it again", headers=_LATER)
                taken += owed
            if not more:
                return bytes(body)
            message = await _next(request)
            body += message.get("body", b"")
            more = message.get("more_body", False)
    finally:
        budget.give(taken)


async def _next(request: Request) -> Message:
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


def _too_large(limit: int) -> Failure:
    return Failure(Code.TOO_LARGE, f"the body may have {limit} bytes at most", headers=_CLOSE)


def inflate(body: bytes, limit: int) -> bytes:
    """Inflates one gzip member, never beyond the limit: 100 kB of gzip can hold 100 MB of spaces."""
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        data = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise Failure(Code.BAD_JSON, "the gzip body is broken") from None
    if len(data) > limit:
        raise _too_large(limit)
    if not inflater.eof or inflater.unused_data:
        raise Failure(Code.BAD_JSON, "the gzip body is cut off, or something follows it")
    return data
