"""The past that operators ask for."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from database import history, sums
from database.buckets import Metric, Span
from database.database import Database
from database.history import Asked, Point
from database.series import HOST
from database.sums import MOST_HOSTS, Summed, TooMany
from model.envelope import Code, Envelope, Failure, ok
from model.history import METRICS
from model.past import HistoryOut
from model.queries import MAX_POINTS, HistoryQuery
from routers.answers import answer
from routers.deps import Db
from routers.docs import refusals
from utils.utils import moment

router = APIRouter(prefix="/api/history", tags=["history"])
_STEPS = ((86_400, "d"), (3_600, "h"), (60, "m"))


@router.get("", operation_id="get_history", response_model=Envelope[HistoryOut], responses=refusals(404, 422, 503))
async def get_history(query: Annotated[HistoryQuery, Query()], db: Db) -> Response:
    """A host's or a container's past, each step with average, least and greatest value; gaps are absent.

    `of=containers` gives the sum over all containers of the host, `cluster_name` that over the containers which are in
    the cluster by the newest report of each host. A step's `avg` is then the sum of all their samples / the number of
    the host's reports (a container that was in half of them counts half), and sums of several hosts are added. `min`
    and `max` of a sum are null: they are not what the least and greatest values of its parts come to. `samples` are
    reports, and `coverage` is that of the hosts.
    """
    now = moment(db.clock.now())
    try:
        span = query.span(now)
        step_s = query.step_s(span)
    except ValueError as error:
        raise Failure(Code.VALIDATION, str(error)) from None
    points = await _points(db, query, span, step_s, now)
    if points is None:
        raise Failure(Code.NOT_FOUND, "no such host")
    if len(points) > MAX_POINTS:
        raise Failure(Code.VALIDATION, f"from, to: should be closer, for at most {MAX_POINTS} points")
    shown = [_shown(point, query.metrics.split(",")) for point in points]
    begin, end = (f"{at.isoformat()}Z" for at in span)
    return answer(ok({"step": _text(step_s), "from": begin, "to": end, "points": shown}, f"point_count: {len(shown)}"))


async def _points(db: Database, query: HistoryQuery, span: Span, step_s: int, now: datetime) -> list[Point] | None:
    if query.sums or query.host_id is None:
        try:
            return await db.read(sums.points, Summed(query.host_id, query.cluster_name, span, step_s, now))
        except TooMany:
            raise Failure(Code.VALIDATION, f"cluster_name: has more than {MOST_HOSTS} hosts; give a host_id") from None
    name = (query.engine_type, query.container_name) if query.container_name else HOST
    return await db.read(history.points, Asked(query.host_id, name, span, step_s, now))


def _shown(point: Point, metrics: list[str]) -> dict[str, object]:
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
