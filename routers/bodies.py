"""Reads a body: within its limits of size and time, decoded, and as bytes."""

import zlib

from fastapi import Request
from starlette.requests import ClientDisconnect

from model.envelope import Code, Failure
from routers.headers import text, values

MAX_REPORT_BYTES = 1 << 20
MAX_BATCH_BYTES = 2 << 20
MAX_TAGS_BYTES = 1 << 16

_CLOSE = {"Connection": "close"}
_FORMS = ("multipart/", "application/x-www-form-urlencoded")
_BOM = b"\xef\xbb\xbf"
_HEAD = 4


async def read(request: Request, limit: int, *, any_type: bool = False) -> bytes:
    """Gives the body's UTF-8 bytes without a byte-order mark.

    Raises TOO_LARGE over `limit` bytes, raw or inflated (by Content-Length before a byte is read), TIMEOUT after 10 s,
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
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return b"".join(chunks)


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
