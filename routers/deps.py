"""What handlers may ask for, each named once."""

from collections.abc import Callable
from datetime import timedelta, tzinfo
from typing import Annotated, TypedDict, cast

from fastapi import Depends, Request

from config.config import Settings
from database.database import Database
from database.hosts import Presence
from database.writer import Writer
from logger import Throttle
from services.jobs import Jobs
from services.storage import Storage
from utils.utils import moment


class State(TypedDict):
    """What the lifespan builds and every request carries."""

    settings: Settings
    zone: tzinfo | None
    database: Database
    writer: Writer
    jobs: Jobs
    storage: Storage
    refusals: Throttle
    oddities: Throttle
    started: float
    methods_of: Callable[[str], set[str]]


def state_of(request: Request) -> State:
    """The same as `request.state`, but typed."""
    return cast("State", request.scope["state"])


async def _settings(request: Request) -> Settings:
    return state_of(request)["settings"]


async def _database(request: Request) -> Database:
    return state_of(request)["database"]


async def _writer(request: Request) -> Writer:
    return state_of(request)["writer"]


async def _presence(request: Request) -> Presence:
    """Who counts as online at this moment, by the database's clock."""
    state = state_of(request)
    now = moment(state["database"].clock.now())
    return Presence(now, now - timedelta(seconds=state["settings"].monitoring.offline_after_s))


Config = Annotated[Settings, Depends(_settings)]
Db = Annotated[Database, Depends(_database)]
Writing = Annotated[Writer, Depends(_writer)]
Online = Annotated[Presence, Depends(_presence)]
