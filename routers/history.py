"""The past that operators ask for."""

import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from database import history, sums
from database.buckets import Metric, Span
from database.database import Database
from database.history import Asked, Point
from database.rollups import begin
from database.series import HOST
from database.stretches import stretch
from database.sums import MOST_HOSTS, Summed, TooMany
from model.envelope import Code, Envelope, Failure, ok
from model.history import METRICS
from model.past import HistoryOut, PointOut
from model.queries import MAX_POINTS, HistoryQuery
from routers.answers import answer
from routers.deps import Db, each_once
from routers.docs import SERIES, refusals
from routers.downloads import Wanted, download, parts
from routers.forms import Row
from utils.utils import EPOCH, moment

router = APIRouter(prefix="/api/history", tags=["history"], dependencies=[Depends(each_once)])
_STEPS = ((86_400, "d"), (3_600, "h"), (60, "m"))


@router.get(
    "",
    operation_id="get_history",
    response_model=Envelope[HistoryOut],
    responses=SERIES | refusals(404, 422, 503),
)
async def get_history(request: Request, query: Annotated[HistoryQuery, Query()], db: Db, form: Wanted) -> Response:
    """A host's or a container's past, each step with average, least and greatest value; gaps are absent.

    `of=containers` gives the sum over all containers of the host, `cluster_name` that over the containers which are in
    the cluster by the newest report of each host. A step's `avg` is then the sum of all their samples / the number of
    the host's reports (a container that was in half of them counts half), and sums of several hosts are added. `min`
    and `max` of a sum are null: they are not what the least and greatest values of its parts come to. `samples` are
    reports, and `coverage` is that of the hosts.

    As CSV or NDJSON (`Accept`) it is a point a row, and any number of them where it is no sum.
    """
    now, whole = moment(db.clock.now()), form is not None and not query.sums
    span, step_s = _span(query, now, sys.maxsize if whole else MAX_POINTS)
    if form:
        pieces = _pieces(db, _asked(query, span, step_s, now), query) if whole else _piece(db, query, span, step_s, now)
        return await download(request, form(PointOut), f"{_named(query)}-history", pieces)
    points = await _points(db, query, span, step_s, now)
    first, last = (f"{at.isoformat()}Z" for at in span)
    shown = [_shown(point, query.metrics.split(",")) for point in points]
    body = ok({"step": _text(step_s), "from": first, "to": last, "points": shown}, f"point_count: {len(shown)}")
    return answer(body, headers={"Vary": "Accept"})


def _named(query: HistoryQuery) -> str:
    return "cluster" if query.host_id is None else f"host-{query.host_id}"


def _span(query: HistoryQuery, now: datetime, most: int) -> tuple[Span, int]:
    """From when to when, and in what steps, for at most so many points: all steps that the span touches, whole."""
    try:
        span = query.span(now)
        step_s = query.step_s(span, most)
        return (_whole(span, step_s) if step_s else span), step_s
    except ValueError as error:
        raise Failure(Code.VALIDATION, str(error)) from None
    except OverflowError:
        raise Failure(Code.VALIDATION, "from, to: a step would begin or end outside of the years 1 to 9999") from None


def _whole(span: Span, step_s: int) -> Span:
    return begin(span[0], step_s), span[1] + (EPOCH - span[1]) % timedelta(seconds=step_s)


def _asked(query: HistoryQuery, span: Span, step_s: int, now: datetime) -> Asked:
    name = (query.engine_type, query.container_name) if query.container_name else HOST
    return Asked(query.host_id or 0, name, span, step_s, now)


async def _points(db: Database, query: HistoryQuery, span: Span, step_s: int, now: datetime) -> list[Point]:
    """All of them at once; raises a Failure if they are too many."""
    try:
        if query.sums:
            points = await db.read(sums.points, Summed(query.host_id, query.cluster_name, span, step_s, now))
        else:
            points = await db.read(history.points, _asked(query, span, step_s, now))
    except TooMany:
        words = f"cluster_name: at most {MOST_HOSTS} hosts, and for so many steps fewer; give a host_id or longer steps"
        raise Failure(Code.VALIDATION, words) from None
    if points is None:
        raise Failure(Code.NOT_FOUND, "no such host")
    if len(points) > MAX_POINTS:
        raise Failure(Code.VALIDATION, f"from, to: should be closer, for at most {MAX_POINTS} points")
    return points


async def _piece(
    db: Database, query: HistoryQuery, span: Span, step_s: int, now: datetime
) -> AsyncIterator[Sequence[Row]]:
    """A sum is worked out in one read."""
    for some in parts(await _points(db, query, span, step_s, now)):
        yield [_shown(point, query.metrics.split(",")) for point in some]


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
