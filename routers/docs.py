"""What OpenAPI cannot see by itself (the intake's bodies, the error envelopes), and the pages that show it offline."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from config.config import ROOT
from model.envelope import Refused
from model.people import LoginIn
from model.schemas import SAMPLE, Batch, BatchItem, LegacyReport, Report, TagsIn
from model.tokens import RotateIn, TokenIn
from routers.forms import Csv, Ndjson

DASHBOARD = ROOT / "dashboard"
TAGS = [
    {"name": "intake", "description": "Where agents report. 200 means committed, and nothing else does."},
    {"name": "hosts", "description": "The hosts and their latest state."},
    {"name": "containers", "description": "The containers of each host's newest report."},
    {"name": "history", "description": "What was, in steps from a minute to a week, and what happened."},
    {"name": "access", "description": "The tokens that agents, programs and people show."},
    {"name": "operations", "description": "For those who keep this server running."},
]
_REASONS = {
    400: "not JSON, or a malformed request",
    401: "no token, or one that is not known",
    403: "not allowed from here, or not with this token",
    404: "no such thing",
    408: "the request was not received within 10 s",
    413: "over a size limit",
    415: "a form, or another charset or encoding",
    422: "a field broke its rule, or a key was used for another report",
    429: "over this client's own limit: try again after Retry-After",
    431: "request line or headers over a limit",
    500: "a bug of this server",
    503: "try again after Retry-After: queue full, or the database away",
}
# What `Accept` may ask for instead of the envelope.
FILES: dict[str, Any] = {
    Csv.media_type: {"schema": {"type": "string", "description": "a line of names, then one line a row (RFC 4180)"}},
    Ndjson.media_type: {"schema": {"type": "string", "description": "one row a line, as it stands in the JSON list"}},
}
# What every list says beside its body.
LISTED: dict[int | str, dict[str, Any]] = {
    200: {
        "content": FILES,
        "headers": {
            "X-Total-Count": {
                "description": "how many there are in all; not of containers at a moment of which a page is not all",
                "schema": {"type": "integer"},
            },
            "Link": {"description": '<relative address>; rel="next", if this is not all', "schema": {"type": "string"}},
            "ETag": {"description": "changes with the list", "schema": {"type": "string"}},
        },
    },
    304: {"description": "unchanged since the ETag in If-None-Match"},
}
# The same of a list that is too long to be counted.
PAGED: dict[int | str, dict[str, Any]] = {
    **LISTED,
    200: {
        "content": FILES,
        "headers": {name: header for name, header in LISTED[200]["headers"].items() if name != "X-Total-Count"},
    },
}
# A series has no headers of its own.
SERIES: dict[int | str, dict[str, Any]] = {200: {"content": FILES}}
# Scripts are files of this server, none stands in a page; what Swagger UI and ReDoc draw needs styles of their own.
POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:"
)
# ReDoc searches in a worker that it makes itself. Its maker's logo it does not get: that is on another server.
REDOC_POLICY = f"{POLICY}; worker-src blob:"
SCHEMES: dict[str, dict[str, Any]] = {
    "token": {"type": "http", "scheme": "bearer", "description": "rms_..., by `manage.py token create`"},
    "password": {
        "type": "oauth2",
        "description": "somebody of `manage.py user create`",
        "flows": {"password": {"tokenUrl": "/api/login", "scopes": {}}},
    },
}
_BODIES: dict[str, type[BaseModel]] = {
    "Report": Report,
    "LegacyReport": LegacyReport,
    "BatchItem": BatchItem,
    "TagsIn": TagsIn,
    "TokenIn": TokenIn,
    "RotateIn": RotateIn,
    "LoginIn": LoginIn,
}
_EXAMPLES: dict[str, Any] = {
    "Batch": {"reports": [SAMPLE]},
    "TagsIn": {"tags": ["production", "web"]},
    "TokenIn": {"name": "web-1", "scope": "ingest", "host_name": "web-1"},
    "RotateIn": {"overlap_hours": 24},
    "LoginIn": {"user": "ann", "password": "a long password"},
}


def refusals(*statuses: int, is_open: bool = False) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, each the same envelope; an open one asks for no token and counts for no limit."""
    every = (400, *(() if is_open else (401, 403)), *statuses, *(() if is_open else (429,)), 431, 500)
    return {status: {"model": Refused, "description": _REASONS[status]} for status in every}


def body(name: str) -> dict[str, Any]:
    """The request body of a route that reads the raw bytes itself."""
    example = _EXAMPLES.get(name, SAMPLE)
    content = {"schema": {"$ref": f"#/components/schemas/{name}"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def login_body() -> dict[str, Any]:
    """The two bodies that sign somebody in; the form is that of RFC 6749, 4.3.2."""
    made = body("LoginIn")
    example = {"grant_type": "password", "username": "ann", "password": "a long password"}
    fields = LoginIn.model_json_schema()["properties"]
    properties = {"grant_type": {"type": "string", "const": "password"}, "username": fields["user"]}
    properties["password"] = fields["password"]
    schema = {"title": "LoginForm", "type": "object", "required": ["username", "password"], "properties": properties}
    form = {"schema": schema, "example": example}
    made["requestBody"]["content"]["application/x-www-form-urlencoded"] = form
    return made


def complete(app: FastAPI) -> None:
    """Adds the bodies' schemas to the document that FastAPI makes."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        document["components"]["schemas"] |= _body_schemas()
        document["components"]["securitySchemes"] = SCHEMES
        document["security"] = [{}, *({name: []} for name in SCHEMES)]  # {}: while [security] mode is off, none
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents for extending its document


def _body_schemas() -> dict[str, Any]:
    models = [(model, "validation") for model in _BODIES.values()]
    _, made = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]  # literal
    batch = Batch.model_json_schema()
    batch["properties"]["reports"]["items"] = {"$ref": "#/components/schemas/BatchItem"}
    schemas: dict[str, Any] = made["$defs"]
    schemas["LegacyReport"] = _legacy(schemas)
    return {**schemas, "Batch": batch}


def _legacy(schemas: dict[str, Any]) -> dict[str, Any]:
    """The forms that old agents send: `node_name` instead of `host_name`, the host's fields nested or flat."""
    report, host = schemas["LegacyReport"], schemas["HostSample"]
    others = {name: rule for name, rule in host["properties"].items() if name != "host_name"}
    node = {**host, "properties": {"node_name": host["properties"]["host_name"], **others}, "required": ["node_name"]}
    beside = {name: rule for name, rule in report["properties"].items() if name != "host"}
    flat = [{**form, "properties": {**form["properties"], **beside}} for form in (host, node)]
    nested = {**report, "properties": {**report["properties"], "host": {"anyOf": [host, node]}}}
    return {"title": "LegacyReport", "description": report["description"], "anyOf": [nested, *flat]}


router = APIRouter(include_in_schema=False)


def page(name: str, policy: str = POLICY) -> HTMLResponse:
    """One of our own finished pages; they name every asset relative to this server."""
    headers = {"Content-Security-Policy": policy, "Vary": "Accept"}
    return HTMLResponse((DASHBOARD / "templates" / name).read_text(encoding="utf-8"), headers=headers)


@router.get("/docs")
async def swagger() -> HTMLResponse:
    """Swagger UI."""
    return page("docs.html")


@router.get("/redoc")
async def redoc() -> HTMLResponse:
    """ReDoc."""
    return page("redoc.html", REDOC_POLICY)


@router.get("/favicon.ico")
async def favicon() -> FileResponse:
    """What browsers ask for unasked."""
    return FileResponse(DASHBOARD / "static" / "favicon.svg", media_type="image/svg+xml")


class _Files(StaticFiles):
    """Asked for again each time: a module of yesterday beside one of today would not fit."""

    def file_response(self, *args: Any, **options: Any) -> Response:  # noqa: ANN401 - Starlette's own
        """As Starlette gives it, and 304 where the browser has it already."""
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


def mount(app: FastAPI, *, docs: bool) -> None:
    """Serves the pages; Swagger's and ReDoc's files come from the installed fastapi-offline."""
    app.mount("/static", _Files(directory=DASHBOARD / "static"))
    if docs:
        assets = Path(str(files("fastapi_offline"))) / "static"
        app.mount("/docs-assets", _Files(directory=assets))
        app.include_router(router)
        complete(app)
