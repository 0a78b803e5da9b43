"""How fast HTTP alone is here: `python -m benchmarks.bare fastapi` answers everything with one constant.

`asgi` does without FastAPI. Both are served with the server's own options, read the body and look at nothing.
"""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response

from config.config import load
from routers.limits import Limits
from routers.serving import options

BODY = (
    b'{"success": true, "resultCode": "0", "resultMessage": "container_count: 20",'
    b' "data": {"host_id": 1, "containers_count": 20, "timestamp": "2026-01-23T03:02:50"}}'
)
Message = MutableMapping[str, Any]

framework = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})


@framework.post("/api/resources")
async def answer(request: Request) -> Response:
    await request.body()
    return Response(BODY, media_type="application/json")


@framework.get("/health")
async def health() -> Response:
    return Response()


async def bare(
    _scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The least that uvicorn can be asked for."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def limited(app: Any) -> Any:  # noqa: ANN401 - ASGI applications
    """With what the server's own protocol finds in the lifespan's state."""

    async def wrapped(scope: Message, receive: Callable[[], Awaitable[Message]], send: Any) -> None:  # noqa: ANN401
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        scope["state"]["limits"] = Limits(load())
        for _ in ("startup", "shutdown"):
            await send({"type": f"{(await receive())['type']}.complete"})

    return wrapped


if __name__ == "__main__":
    uvicorn.run(limited(framework if sys.argv[1] == "fastapi" else bare), **options(load()))
