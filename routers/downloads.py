"""Whole lists and series as files, sent while they are read: a page at a time, and none keeps the database waiting.

A handler asks for `Wanted`; where it is not None, `download` answers with what an iterator gives, as `pages` does.
"""

import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Send

from logger import event
from model.envelope import Failure
from model.queries import Paged
from routers.answers import JSON, Found
from routers.deps import state_of
from routers.forms import FORMS, Form, Row
from routers.headers import best
from utils.utils import moment

logger = logging.getLogger(__name__)
Q = TypeVar("Q", bound=Paged)
T = TypeVar("T")

# Rows of one read, and of one piece that is sent: each piece keeps all other requests waiting while it is made.
PAGE, PIECE = 1_000, 250


async def _wanted(request: Request) -> type[Form] | None:
    """The form that `Accept` likes best, None for JSON: so is whatever it does not tell apart."""
    forms: dict[str, type[Form] | None] = {JSON: None, **{form.media_type: form for form in FORMS}}
    return forms[best(request.scope, forms)]


Wanted = Annotated[type[Form] | None, Depends(_wanted)]


async def download(request: Request, form: Form, name: str, pieces: AsyncIterator[Sequence[Row]]) -> Response:
    """The answer whose body is these rows, as a file of this name and moment.

    What fails before the first piece is refused as everywhere. Later the connection ends where the body does not:
    whoever reads chunks notices.
    """
    first: Sequence[Row] = await anext(pieces, [])
    now = moment(state_of(request)["database"].clock.now())
    file = f"{name}-{now:%Y%m%dT%H%M%SZ}.{form.suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{file}"', "Vary": "Accept"}
    return _Download(_body(form, first, pieces), headers=headers, media_type=form.media_type)


async def _body(form: Form, first: Sequence[Row], others: AsyncIterator[Sequence[Row]]) -> AsyncIterator[bytes]:
    yield form.head() + form.lines(first)
    async for rows in others:
        yield form.lines(rows)


class _Download(StreamingResponse):
    """A streamed answer that a Failure ends without its last chunk."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except Failure as failure:
            logger.warning(event("download_cut", code=failure.code, reason=failure.message))


async def pages(find: Callable[[Q], Awaitable[Found]], query: Q) -> AsyncIterator[Sequence[Row]]:
    """A list from the query's cursor to its end, or to the limit if one was given."""
    left = query.limit if "limit" in query.model_fields_set else sys.maxsize
    cursor = query.cursor
    while left > 0:
        page, shown = await find(query.model_copy(update={"limit": min(left, PAGE), "cursor": cursor}))
        for rows in parts(page.rows):
            yield [shown(row) for row in rows]
        left, cursor = left - len(page.rows), page.cursor
        if cursor is None:
            return
        del page, shown, rows  # the next one takes their room


def parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """The rows in pieces that are sent one by one."""
    return (rows[first : first + PIECE] for first in range(0, len(rows), PIECE))
