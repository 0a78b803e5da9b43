"""What handlers may ask for, each named once."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Annotated, TypedDict, cast

from fastapi import Depends, Request

from config.config import Settings
from database.database import Database
from database.hosts import Presence
from database.past import Then
from database.writer import Writer
from logger import Throttle
from model.envelope import Code, Failure
from routers.limits import Limits
from services.agents import Agents
from services.fleet import Fleet
from services.jobs import Jobs
from services.people import People
from services.quarantine import Quarantine
from services.storage import Storage
from utils.utils import EPOCH, moment

# What may be asked several times.
REPEATABLE = frozenset({"tag"})


class State(TypedDict):
    """What the lifespan builds and every request carries."""

    settings: Settings
    zone: tzinfo | None
    database: Database
    writer: Writer
    jobs: Jobs
    agents: Agents
    quarantine: Quarantine
    storage: Storage
    fleet: Fleet
    people: People
    refusals: Throttle
    oddities: Throttle
    limits: Limits
    binding: asyncio.Lock
    started: float
    methods_of: Callable[[str], set[str]]
    route_of: Callable[[str, str], str | None]


def state_of(request: Request) -> State:
    """The same as `request.state`, but typed."""
    return cast("State", request.scope["state"])


async def _settings(request: Request) -> Settings:
    return state_of(request)["settings"]


async def _database(request: Request) -> Database:
    return state_of(request)["database"]


async def _presence(request: Request) -> Presence:
    """Who counts as online at this moment, by the database's clock."""
    state = state_of(request)
    now = moment(state["database"].clock.now())
    return Presence(now, now - timedelta(seconds=state["settings"].monitoring.offline_after_s))


async def each_once(request: Request) -> None:
    """Refuses what is asked twice: the framework would take the last and pass over the others in silence."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in counts.items():
        if count > 1 and name not in REPEATABLE:
            raise Failure(Code.VALIDATION, f"{name[:64]}: is there more than once")


async def no_parameters(request: Request) -> None:
    """Refuses what a route does not know, as lists do: `at` must not be passed over in silence."""
    for name in request.query_params:
        raise Failure(Code.VALIDATION, f"{name[:64]}: this route has no such parameter")


def then_at(request: Request, at: datetime) -> Then:
    """A moment of the past; one that is still to come is the present."""
    state = state_of(request)
    now, monitoring = moment(state["database"].clock.now()), state["settings"].monitoring
    days = monitoring.retention_raw_days
    kept_from = now - timedelta(days=days) if days else EPOCH
    return Then(at, min(at, now), kept_from, timedelta(seconds=monitoring.offline_after_s))


Config = Annotated[Settings, Depends(_settings)]
Db = Annotated[Database, Depends(_database)]
Online = Annotated[Presence, Depends(_presence)]
