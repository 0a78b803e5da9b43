"""Which route a request is for, where the router has not been asked yet."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def methods_of(app: FastAPI, path: str) -> set[str]:
    """Every method that some route has for a path."""
    return {method for method in METHODS if any(_fits(route, method, path) for route in app.routes)}


def route_of(routes: Iterable[BaseRoute], method: str, path: str) -> str | None:
    """The path as the route has it: `/api/hosts/{host_id}`. None if no route is for this."""
    return next((str(getattr(route, "path", "")) for route in routes if _fits(route, method, path)), None)


def _fits(route: BaseRoute, method: str, path: str) -> bool:
    scope: dict[str, Any] = {"type": "http", "path": path, "root_path": "", "headers": [], "method": method}
    return route.matches(scope)[0] is Match.FULL
