"""The dashboard's pages: shells in the reader's language and theme, and the library that draws their charts.

A shell has no data: what it shows it asks of the API, with the token or sign-in of whoever looks.
"""

import asyncio
import gzip
import json
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.types import Scope

from config.config import Settings
from model.envelope import Code, Failure
from routers.answers import JSON
from routers.deps import Config
from routers.docs import DASHBOARD, POLICY
from routers.headers import best, takes_gzip, text

router = APIRouter(include_in_schema=False)
PLACES = {
    "fleet": "/",
    "containers": "/containers",
    "events": "/events",
    "compare": "/compare",
    "agents": "/agents",
    "storage": "/storage",
}
# All but the one at /, which answers programs as well.
PAGES = {
    **{name: path for name, path in PLACES.items() if path != "/"},
    "host": "/hosts/{host_id}",
    "container": "/hosts/{host_id}/containers/{name:path}",
    "login": "/login",
}
# No more digits than JavaScript counts exactly.
NUMBER = re.compile("[1-9][0-9]{0,14}")
HTML = "text/html"
LANGUAGES, THEMES = ("en", "ko"), ("light", "dark")
# A file's name has its version in it: whoever has it need never ask again (RFC 8246).
FOR_EVER = "public, max-age=31536000, immutable"


class NoPage(Failure):
    """An address where there is nothing: a browser gets a page that says so in the words of that name."""

    def __init__(self, code: Code, message: str, words: str = "missing.address") -> None:
        super().__init__(code, message, headers={"Vary": "Accept"})
        self.words = words


def wanted(scope: Scope) -> bool:
    """Whether a browser asks for a page: what is below /api is none, whoever asks for it."""
    asked = scope["method"] in ("GET", "HEAD") and not scope["path"].startswith("/api/")
    return asked and best(scope, (JSON, HTML)) == HTML


def missing(request: Request, settings: Settings, failure: NoPage) -> HTMLResponse:
    """The page of an address that leads to none: without what was asked for, which is perhaps somebody's trick."""
    page = shell(request, settings, "missing", told=failure.words)
    page.status_code = failure.status
    return page


def shell(request: Request, settings: Settings, page: str, told: str | None = None) -> HTMLResponse:
    """One of the dashboard's pages, without data; `told` names words that stand in it from the start."""
    language = _language(request)
    body = (
        _templates()
        .get_template("dashboard.html")
        .render(
            page=page,
            told=told,
            places=PLACES,
            language=language,
            theme=theme if (theme := request.cookies.get("theme")) in THEMES else None,
            t=_words(language),
            title=settings.app.title,
            description=settings.app.description,
            docs=settings.app.docs,
            version=settings.app.version,
            zone=settings.app.timezone or _offset(datetime.now().astimezone()),
            charts=f"/assets/plotly-{_version()}.min.js",
        )
    )
    headers = {
        "Content-Security-Policy": POLICY,
        "Vary": "Accept, Accept-Language, Cookie",
        "Cache-Control": "no-cache",
    }
    return HTMLResponse(body, headers=headers)


@cache
def _templates() -> Environment:
    loader = FileSystemLoader(DASHBOARD / "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined)


@cache
def _words(language: str) -> dict[str, str]:
    path = DASHBOARD / "static" / "words" / f"{language}.json"
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _language(request: Request) -> str:
    """What the switch was set to, else what the browser likes best of what there is."""
    chosen = request.cookies.get("language")
    if chosen in LANGUAGES:
        return chosen
    asked = (part.partition(";")[0].strip()[:2].lower() for part in text(request.scope, b"accept-language").split(","))
    return next((language for language in asked if language in LANGUAGES), LANGUAGES[0])


@router.get("/assets/plotly-{asked}.min.js")
async def charts(request: Request, asked: str) -> Response:
    """The chart library of the installed package, which this process never imports."""
    if asked != _version():
        raise Failure(Code.NOT_FOUND, "no such version")
    headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"}
    if not takes_gzip(request.scope):
        return FileResponse(_plotly(), media_type="text/javascript", headers=headers)
    packed = await asyncio.to_thread(_packed)
    return Response(packed, headers=headers | {"Content-Encoding": "gzip"}, media_type="text/javascript")


def _offset(now: datetime) -> str:
    """A zone without a name as browsers take it."""
    text_ = now.strftime("%z")
    return f"{text_[:3]}:{text_[3:5]}"


@cache
def _version() -> str:
    """That of the chart library; without it pages have no charts, and all else."""
    try:
        return version("plotly")
    except PackageNotFoundError:
        return "missing"


def _plotly() -> Path:
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise Failure(Code.NOT_FOUND, "the chart library is not installed")
    return Path(spec.origin).parent / "package_data" / "plotly.min.js"


@cache
def _packed() -> bytes:
    return gzip.compress(_plotly().read_bytes(), mtime=0)


def _page(name: str) -> Callable[[Request, Config], Awaitable[Response]]:
    async def page(request: Request, settings: Config) -> Response:
        if not NUMBER.fullmatch(request.path_params.get("host_id", "1")):
            raise NoPage(Code.NOT_FOUND, "no such host", "missing.host")
        if request.path_params.get("name") == "":
            raise NoPage(Code.NOT_FOUND, "no such container")
        return shell(request, settings, name)

    return page


for _name, _path in PAGES.items():
    router.add_api_route(_path, _page(_name))
