"""What is different between two moments."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from database import hosts, past_containers
from database.past import RESOLUTIONS
from model.envelope import Code, Envelope, Failure, ok
from model.past import DiffOut
from model.queries import DiffQuery
from routers.answers import answer
from routers.deps import Db, each_once, then_at
from routers.docs import refusals
from services.diff import Difference, Pair, Part, Seen, difference
from utils.utils import moment, utc_text

router = APIRouter(prefix="/api/diff", tags=["history"], dependencies=[Depends(each_once)])


@router.get("", operation_id="get_diff", response_model=Envelope[DiffOut], responses=refusals(404, 422, 503))
async def get_diff(request: Request, query: Annotated[DiffQuery, Query()], db: Db) -> Response:
    """Containers that appeared, vanished, or changed status or image between two moments, and what moved most.

    It compares the states that `at` of the lists shows at `from` and at `to`; `resolution` of each is the coarsest that
    answers, null if there was nothing. Of an aggregate no image is known, and that is no change. Each part has the
    first `limit` containers, and how many there are.
    """
    try:
        span = query.span(moment(db.clock.now()))
    except ValueError as error:
        raise Failure(Code.VALIDATION, str(error)) from None
    if query.host_id is not None and not await db.read(hosts.has_reported, query.host_id):
        raise Failure(Code.NOT_FOUND, "no such host")
    before, after = (then_at(request, at) for at in span)
    made = await db.read(
        lambda connection: difference(past_containers.sides(connection, before, after, query.host_id), query.limit)
    )
    sides = [_side(made, place, utc_text(at)) for place, at in enumerate(span)]
    return answer(ok({"from": sides[0], "to": sides[1], **_parts(made)}))


def _side(made: Difference, place: int, at: str | None) -> dict[str, object]:
    number = made.counts[place]
    return {"at": at, "resolution": RESOLUTIONS[made.coarsest[place]] if number else None, "containers_count": number}


def _parts(made: Difference) -> dict[str, object]:
    parts = {"appeared": made.appeared, "vanished": made.vanished, "changed": made.changed}
    movers = {name: [_moved(*one) for one in each.largest()] for name, each in made.movers.items()}
    return {**{name: _part(part) for name, part in parts.items()}, "movers": movers}


def _part(part: Part) -> dict[str, object]:
    return {"count": part.count, "containers": [_pair(pair) for pair in part.pairs]}


def _moved(change: float, pair: Pair) -> dict[str, object]:
    return {"change": change, **_pair(pair)}


def _pair(pair: Pair) -> dict[str, object]:
    known = pair.known
    named = {name: getattr(known, name) for name in ("host_id", "host_name", "engine_type", "container_name")}
    return {**named, "from": _seen(pair.before), "to": _seen(pair.after)}


def _seen(one: Seen | None) -> dict[str, object] | None:
    if one is None:
        return None
    values = {name: getattr(one, name) for name in ("status", "image", "cpu_percentage", "memory_usage")}
    return {**values, "resolution": RESOLUTIONS[one.seconds]}
