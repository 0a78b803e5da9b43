"""The fleet at a glance: what a page that looks every few seconds asks for."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from database import fleet
from database.rollups import begin
from model.envelope import Code, Envelope, Failure, ok
from model.fleet import FleetOut, FleetQuery, TrendQuery, TrendsOut
from routers.answers import JSON, answer, unchanged
from routers.deps import Db, Online, each_once, state_of
from routers.docs import LISTED, refusals
from routers.headers import takes_gzip
from services.fleet import TREND, Snapshot, series_of

router = APIRouter(prefix="/api", dependencies=[Depends(each_once)])
_TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": LISTED[200]["headers"]["ETag"]}},
    304: LISTED[304],
}


@router.get(
    "/fleet",
    operation_id="get_fleet",
    tags=["hosts"],
    response_model=Envelope[FleetOut],
    responses=_TAGGED | refusals(422, 503),
)
async def get_fleet(request: Request, query: Annotated[FleetQuery, Query()], presence: Online) -> Response:
    """All hosts in a few columns, and the sums over them: for pages that look again every few seconds.

    With `changed_since` only the hosts that changed since that `snapshot`, and the ids of those that are gone; `full`
    says that all are there, as also for a snapshot that this process does not know. A process looks at the database at
    most every two seconds, whoever asks.
    """
    seen = state_of(request)["fleet"]
    snapshot = await seen.look(presence)
    since, small = seen.number(query.changed_since, snapshot), takes_gzip(request.scope)
    headers = {"ETag": f'W/"{seen.name(snapshot)}"', "Vary": "Accept-Encoding"}
    if unchanged(request, f'"{seen.name(snapshot)}"'):
        return Response(status_code=304, headers=headers)
    body = await seen.packed(
        snapshot.number, since, lambda: ok(_told(snapshot, seen.name(snapshot), since)), small=small
    )
    return Response(body, headers=headers | ({"Content-Encoding": "gzip"} if small else {}), media_type=JSON)


def _told(snapshot: Snapshot, name: str, since: int) -> dict[str, object]:
    return {
        "snapshot": name,
        "full": since == 0,
        "totals": snapshot.totals,
        "hosts": [host for id_, host in snapshot.hosts.items() if snapshot.changed[id_] > since],
        "gone": [id_ for id_, number in snapshot.gone.items() if number > since > 0],
    }


@router.get(
    "/trends",
    operation_id="list_trends",
    tags=["history"],
    response_model=Envelope[TrendsOut],
    responses=refusals(422, 503),
)
async def list_trends(request: Request, query: Annotated[TrendQuery, Query()], db: Db, presence: Online) -> Response:
    """The last hour minute by minute, for small charts: of all hosts together, or of each host in `host_ids`.

    `of=containers` gives each container of the one host instead. A series without any minute is absent.
    """
    if query.of and len(query.ids) != 1:
        raise Failure(Code.VALIDATION, "of: the containers of one host, in host_ids")
    since = begin(presence.now - TREND, fleet.MINUTE_S)
    if query.ids:
        rows = await db.read(fleet.trends, query.ids, since, of_containers=query.of is not None)
    else:
        rows = await state_of(request)["fleet"].trend(since)
    series = series_of(rows, since)
    body = {"from": f"{since.isoformat()}Z", "step": "1m", "series": series}
    return answer(ok(body, f"series_count: {len(series)}"))
