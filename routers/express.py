"""The intake's way past FastAPI's stack, which would cost more than everything else that is done for a report."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from config.config import Settings
from model.envelope import Failure
from routers.cors import Cors
from routers.errors import on_failure
from routers.gate import Gate, admit
from routers.headers import values
from routers.middleware import Edge
from routers.resources import POSTS

Handler = Callable[[Request], Awaitable[Response]]


class Express:
    """Pure ASGI: calls the handlers of POSTs by their exact path; everything else takes the usual way.

    So does a request that a web page sends (it has an Origin): an agent is no browser. The handlers are those that
    FastAPI routes to as well, so that both ways give the same answers.
    """

    def __init__(self, app: ASGIApp, posts: Mapping[str, Handler]) -> None:
        self._app = app
        self._posts = posts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        handler = self._posts.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if handler is None or values(scope, b"origin"):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            admit(scope)
            response = await handler(request)
        except Failure as failure:
            response = await on_failure(request, failure)
        await response(scope, receive, send)


class Service(FastAPI):
    """FastAPI inside of our edge, not around it: a report meets none of it."""

    def __init__(self, settings: Settings, **options: Any) -> None:  # noqa: ANN401 - FastAPI's own
        super().__init__(**options)
        self._edge = Edge(Express(Cors(Gate(super().__call__), settings), POSTS), settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request, or the lifespan."""
        await self._edge(scope, receive, send)
