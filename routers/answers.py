"""How an envelope becomes an HTTP answer."""

import hashlib
from collections.abc import Mapping
from urllib.parse import urlencode

from fastapi import Request, Response

from database.pages import Page
from model.envelope import Failure, failed, ok

JSON = "application/json"


def answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer around a finished envelope."""
    return Response(body, status, headers, JSON)


def refusal(failure: Failure) -> Response:
    """The answer that a Failure stands for."""
    return answer(failed(failure.code, failure.message, failure.data), failure.status, failure.headers)


def listing(request: Request, page: Page, items: list[dict[str, object]], noun: str) -> Response:
    """A list with its total, the link to the next page and a tag by which an unchanged list costs no body."""
    count = f"{len(items)}" if len(items) == page.total else f"{len(items)} of {page.total}"
    body = ok(items, f"{noun}_count: {count}")
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "X-Total-Count": str(page.total), "Vary": "Accept"}
    if page.cursor:
        headers["Link"] = f'<{_next(request, page.cursor)}>; rel="next"'
    if _unchanged(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return answer(body, headers=headers)


def _unchanged(request: Request, tag: str) -> bool:
    known = ",".join(request.headers.getlist("if-none-match"))
    return any(candidate.strip().removeprefix("W/") in (tag, "*") for candidate in known.split(","))


def _next(request: Request, cursor: str) -> str:
    """A relative address: an absolute one would have to believe the Host header."""
    others = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f"{request.scope['path']}?{urlencode([*others, ('cursor', cursor)])}"
