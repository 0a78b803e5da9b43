"""The past that operators ask for."""

import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from database import history
from database.buckets import Metric
from database.database import Database
from database.history import Asked, Point
from database.series import HOST
from database.stretches import stretch
from model.envelope import Code, Envelope, Failure, ok
from model.history import METRICS
from model.queries import MAX_POINTS, HistoryQuery
from model.schemas import HistoryOut, PointOut
from routers.answers import answer
from routers.deps import Db
from routers.docs import SERIES, refusals
from routers.downloads import Wanted, download, parts
from routers.forms import Row
from utils.utils import moment

router = APIRouter(prefix="/api/history", tags=["history"])
_STEPS = ((86_400, "d"), (3_600, "h"), (60, "m"))


@router.get(
    "",
    operation_id="get_history",
    response_model=Envelope[HistoryOut],
    responses=SERIES | refusals(404, 422, 503),
)
async def get_history(request: Request, query: Annotated[HistoryQuery, Query()], db: Db, form: Wanted) -> Response:
    """A host's or a container's past, each step with average, least and greatest value; gaps are absent.

    As CSV or NDJSON (`Accept`) it is a point a row, and any number of them.
    """
    asked = _asked(query, moment(db.clock.now()), sys.maxsize if form else MAX_POINTS)
    if form:
        return await download(request, form(PointOut), f"host-{query.host_id}-history", _pieces(db, asked, query))
    points = await db.read(history.points, asked)
    if points is None:
        raise Failure(Code.NOT_FOUND, "no such host")
    if len(points) > MAX_POINTS:
        raise Failure(Code.VALIDATION, f"from, to: should be closer, for at most {MAX_POINTS} points")
    begin, end = (f"{at.isoformat()}Z" for at in asked.span)
    shown = [_shown(point, query.metrics.split(",")) for point in points]
    body = ok({"step": _text(asked.step_s), "from": begin, "to": end, "points": shown}, f"point_count: {len(shown)}")
    return answer(body, headers={"Vary": "Accept"})


def _asked(query: HistoryQuery, now: datetime, most: int) -> Asked:
    """What the parameters mean at this moment, for at most so many points."""
    try:
        span = query.span(now)
        step_s = query.step_s(span, most)
    except ValueError as error:
        raise Failure(Code.VALIDATION, str(error)) from None
    name = (query.engine_type, query.container_name) if query.container_name else HOST
    return Asked(query.host_id, name, span, step_s, now)


async def _pieces(db: Database, asked: Asked, query: HistoryQuery) -> AsyncIterator[Sequence[Row]]:
    """The points of a span, read stretch by stretch."""
    left: Asked | None = asked
    while left:
        found = await db.read(stretch, left)
        if found is None:
            raise Failure(Code.NOT_FOUND, "no such host")
        points, left = found
        for some in parts(points):
            yield [_shown(point, query.metrics.split(",")) for point in some]


def _shown(point: Point, metrics: Sequence[str]) -> dict[str, object]:
    values = dict(zip(METRICS, point.bucket.metrics, strict=True))
    return {
        "t": f"{point.begins_at.isoformat()}Z",
        "samples": point.bucket.samples,
        "coverage": None if point.coverage is None else round(point.coverage, 3),
        "status": point.bucket.status,
        **{name: _spread(values[name], point.bucket.samples) if name in metrics else None for name in METRICS},
    }


def _spread(metric: Metric, samples: int) -> dict[str, float | None]:
    known = samples - metric.nulls
    average = metric.sum / known if metric.sum is not None and known else None
    return {"avg": average, "min": metric.min, "max": metric.max}


def _text(step_s: int) -> str:
    """A step as it is asked for."""
    unit = next(((seconds, letter) for seconds, letter in _STEPS if step_s and not step_s % seconds), None)
    return f"{step_s // unit[0]}{unit[1]}" if unit else "raw"
