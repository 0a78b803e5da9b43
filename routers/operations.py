"""For those who keep the server running: its health, its settings, and the page at its root."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from config.config import Settings, describe
from model.envelope import Code, Envelope, failed, ok
from model.operations import HealthOut, LiveOut, ServiceOut, SettingOut
from routers.answers import answer
from routers.deps import Config, state_of
from routers.docs import refusals
from routers.gate import admins
from routers.pages import shell, wanted
from utils.utils import SECOND, local_second

router = APIRouter(tags=["operations"])


async def _health(request: Request) -> dict[str, Any]:
    """What is known without asking anyone: the probe's last word, the writer's queue."""
    state = state_of(request)
    seen = state["database"].seen
    up = state["database"].is_up and not state["writer"].blocked
    facts = seen.facts
    commit = state["writer"].last_commit
    return {
        "status": "ok" if up else "unavailable",
        "timestamp": local_second(state["database"].clock.now() // SECOND, state["zone"]),
        "version": state["settings"].app.version,
        "uptime_s": round(time.monotonic() - state["started"], 1),
        "database": {
            "status": seen.status,
            "engine": facts.engine if facts else state["settings"].engine_kind,
            "version": facts.version if facts else None,
            "durability": None if facts is None else "full" if facts.durable else "relaxed",
            "warning": facts.warning if facts else None,
        },
        "queue_depth": state["writer"].depth,
        "last_commit_age_s": None if commit is None else round(time.monotonic() - commit, 1),
        "security": state["settings"].security.mode,
    }


Health = Annotated[dict[str, Any], Depends(_health)]


@router.head("/health", include_in_schema=False)
@router.get(
    "/health",
    operation_id="health",
    response_model=Envelope[HealthOut],
    responses={
        **refusals(is_open=True),
        503: {"model": Envelope[HealthOut], "description": "reports cannot be stored now"},
    },
)
async def health(request: Request, health: Health) -> Response:
    """Whether this process can store reports now: 200, or 503 with the same words."""
    headers = {"Cache-Control": "no-store"}
    if health["status"] == "ok":
        return answer(ok(health, "ok"), headers=headers)
    code = state_of(request)["writer"].blocked or Code.DB_UNAVAILABLE
    return answer(failed(code, health["status"], health), 503, {**headers, "Retry-After": "2"})


@router.head("/health/live", include_in_schema=False)
@router.get(
    "/health/live",
    operation_id="live",
    response_model=Envelope[LiveOut],
    responses=refusals(is_open=True),
)
async def live() -> Response:
    """That the process runs and its loop turns."""
    return answer(ok({"status": "alive"}, "ok"), headers={"Cache-Control": "no-store"})


@router.get(
    "/config",
    operation_id="config",
    response_model=Envelope[dict[str, dict[str, SettingOut]]],
    responses=refusals(),
    dependencies=[Depends(admins)],
)
async def config(settings: Config) -> Response:
    """Every setting in force and where it comes from; secrets are absent.

    For admins; while no token is asked for, on the server's own machine alone, not from a web page or through a proxy.
    """
    sections: dict[str, dict[str, object]] = {}
    for section, key, value, source in describe(settings):
        if value is not None:
            sections.setdefault(section, {})[key] = {"value": value, "source": source}
    return answer(ok(sections))


def _links(settings: Settings) -> dict[str, str]:
    docs = {"docs": "/docs", "redoc": "/redoc", "openapi": "/openapi.json"} if settings.app.docs else {}
    lists = {name: f"/api/{name}" for name in ("hosts", "containers", "events", "storage")}
    return {**docs, **lists, "health": "/health", "config": "/config"}


@router.get("/", operation_id="root", response_model=Envelope[ServiceOut], responses=refusals())
async def root(request: Request, settings: Config) -> Response:
    """What this service is; a browser gets the dashboard."""
    if wanted(request.scope):
        return shell(request, settings, "fleet")
    app = settings.app
    body = ok({"name": app.title, "version": app.version, "description": app.description, "links": _links(settings)})
    return answer(body, headers={"Vary": "Accept"})
