"""What handlers may ask for, each named once."""

from collections.abc import Callable
from datetime import timedelta, tzinfo
from typing import Annotated, TypedDict

from fastapi import Depends, Request

from config.config import Settings
from database.database import Database
from database.hosts import Presence
from database.writer import Writer
from logger import Throttle
from services.jobs import Jobs
from utils.utils import moment


class State(TypedDict):
    """What the lifespan builds and every request carries."""

    settings: Settings
    zone: tzinfo | None
    database: Database
    writer: Writer
    jobs: Jobs
    refusals: Throttle
    oddities: Throttle
    started: float
    methods_of: Callable[[str], set[str]]


async def _settings(request: Request) -> Settings:
    settings: Settings = request.state.settings
    return settings


async def _database(request: Request) -> Database:
    database: Database = request.state.database
    return database


async def _writer(request: Request) -> Writer:
    writer: Writer = request.state.writer
    return writer


async def _presence(request: Request) -> Presence:
    """Who counts as online at this moment, by the database's clock."""
    now = moment(request.state.database.clock.now())
    return Presence(now, now - timedelta(seconds=request.state.settings.monitoring.offline_after_s))


Config = Annotated[Settings, Depends(_settings)]
Db = Annotated[Database, Depends(_database)]
Writing = Annotated[Writer, Depends(_writer)]
Online = Annotated[Presence, Depends(_presence)]
