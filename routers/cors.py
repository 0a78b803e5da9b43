"""Cross-origin requests as configured, with preflights in the shape of every other answer."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from config.config import Settings
from model.envelope import Code, Failure
from routers.answers import refusal


class Cors(CORSMiddleware):
    """Starlette's rules; a preflight is 204 without a body, or a refusal in the envelope."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        cors = settings.cors
        super().__init__(
            app,
            allow_origins=cors.allow_origins,
            allow_methods=cors.allow_methods,
            allow_headers=cors.allow_headers,
            allow_credentials=cors.allow_credentials,
            expose_headers=["Link", "X-Total-Count", "X-Request-ID", "Idempotent-Replayed", "ETag", "Retry-After"],
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Keeps the verdict and its headers, changes the body."""
        made = super().preflight_response(request_headers)
        kept = {name: value for name, value in made.headers.items() if not name.startswith("content-")}
        if made.status_code == 200:  # noqa: PLR2004
            return Response(status_code=204, headers=kept)
        return refusal(Failure(Code.BAD_REQUEST, "this origin, method or header is not allowed", headers=kept))
