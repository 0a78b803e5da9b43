"""How an envelope becomes an HTTP answer."""

import hashlib
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from fastapi import Request, Response

from database.pages import Page
from database.rows import Record
from model.envelope import Failure, failed, ok

JSON = "application/json"


def answer(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer around a finished envelope."""
    return Response(body, status, headers, JSON)


def refusal(failure: Failure) -> Response:
    """The answer that a Failure stands for."""
    return answer(failed(failure.code, failure.message, failure.data), failure.status, failure.headers)


class Found(NamedTuple):
    """A page, and how each of its rows travels."""

    page: Page
    shown: Callable[[Record], dict[str, object]]


def listing(request: Request, page: Page, shown: Callable[[Record], dict[str, object]], noun: str) -> Response:
    """A list with its total, the link to the next page and a tag by which an unchanged list costs no body."""
    items = [shown(row) for row in page.rows]
    whole = page.cursor is None if page.total is None else len(items) == page.total
    count = f"{len(items)}" if whole else f"{len(items)} of {page.total or 'more'}"
    body = ok(items, f"{noun}_count: {count}")
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "Vary": "Accept"}
    if page.total is not None:
        headers["X-Total-Count"] = str(page.total)
    if page.cursor:
        headers["Link"] = f'<{_next(request, page.cursor)}>; rel="next"'
    if unchanged(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return answer(body, headers=headers)


def unchanged(request: Request, tag: str) -> bool:
    """Whether the client has what this tag stands for."""
    known = ",".join(request.headers.getlist("if-none-match"))
    return any(candidate.strip().removeprefix("W/") in (tag, "*") for candidate in known.split(","))


def _next(request: Request, cursor: str) -> str:
    """A relative address: an absolute one would have to believe the Host header."""
    others = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    path = f"{request.scope.get('app_root_path', '')}{request.scope['path']}"
    return f"{path}?{urlencode([*others, ('cursor', cursor)])}"
