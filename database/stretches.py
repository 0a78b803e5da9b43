"""A past of any length, read stretch by stretch: what lies between two reads is as long as the reader likes."""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from database.history import Asked, Point, points, resolved
from database.rollups import begin
from database.series import own_id
from model.history import TIERS, rollups
from model.models import reports
from model.queries import MAX_POINTS

# Of every sample less than of steps: a host's other containers are read beside the one that is asked for.
SAMPLES_S, STEPS_S = 3_600, 86_400
INSTANT = timedelta(microseconds=1)


def stretch(connection: Connection, asked: Asked) -> tuple[list[Point], Asked | None] | None:
    """The next points of a span and what is left to ask then, None at the end of it; None if there is no such host.

    Empty times are passed over: a span may be far longer than what is kept.
    """
    first, last = asked.span
    asked = resolved(connection, asked)
    at = _next(connection, asked, begin(first, asked.step_s) if asked.step_s else first)
    if at is None or at >= last:
        known = points(connection, replace(asked, span=(first, first)))
        return None if known is None else (known, None)
    until = min(_end(at, asked.step_s), last)
    found = points(connection, replace(asked, span=(at, until)))
    if found is None:
        return None
    if not asked.step_s and len(found) > MAX_POINTS:  # there may be more
        until = found[-1].begins_at + INSTANT
    return found, replace(asked, span=(until, last)) if until < last else None


def _end(at: datetime, step_s: int) -> datetime:
    """Steps are whole, so that none is begun again by the next stretch."""
    if not step_s:
        return at + timedelta(seconds=SAMPLES_S)
    return begin(at, step_s) + timedelta(seconds=max(1, STEPS_S // step_s) * step_s)


def _next(connection: Connection, asked: Asked, at: datetime) -> datetime | None:
    """When the host's next sample was taken or its next aggregate begins, of those that make up such steps."""
    c = reports.c
    statement = select(func.min(c.sampled_at)).where(c.host_id == asked.host_id, c.sampled_at >= at)
    found: list[datetime | None] = [connection.scalar(statement)]
    host = own_id(connection, asked.host_id) if asked.step_s else None
    for seconds in TIERS if host else ():
        if not asked.step_s % seconds:
            t = rollups[seconds].c
            found.append(connection.scalar(select(func.min(t.begins_at)).where(t.series_id == host, t.begins_at >= at)))
    return min((one for one in found if one is not None), default=None)
