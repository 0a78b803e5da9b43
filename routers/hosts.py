"""The hosts that operators ask for."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from database import hosts, past_hosts, tags
from database.database import Database
from database.details import unpacked
from database.hosts import Presence
from database.past import RESOLUTIONS
from database.rows import HOST_DETAILS, Record
from model.envelope import Code, Envelope, Failure, ok
from model.queries import MAX_ID, ContainerQuery, HostQuery
from model.schemas import ContainerOut, HostOut
from routers import containers
from routers.answers import Found, answer, listing
from routers.audits import audited
from routers.deps import Db, Online, each_once, no_parameters, state_of, then_at
from routers.docs import LISTED, refusals
from routers.downloads import Wanted, download, pages
from routers.gate import allow
from routers.writes import written

router = APIRouter(prefix="/api/hosts", tags=["hosts"], dependencies=[Depends(each_once)])
HostId = Annotated[int, Path(ge=1, le=MAX_ID)]


def shown(row: Record, has: list[str], seconds: int = 0) -> dict[str, object]:
    """A host as it travels, with the tags it has; of a bucket of so many seconds, or of a report."""
    return {
        "id": row.id,
        "host_name": row.host_name,
        "cpu_percentage": row.cpu_percentage,
        "cpu_cores": row.cpu_cores,
        "cpu_threads": row.cpu_threads,
        "memory_usage": row.memory_usage,
        "memory_percentage": row.memory_percentage,
        "get_datetime": row.get_datetime,
        "status": "online" if row.online else "offline",
        "last_seen": row.last_seen,
        "sampled_at": row.sampled_at,
        "resolution": RESOLUTIONS[seconds],
        "containers_count": row.containers_count,
        "containers_running": row.containers_running,
        "tags": has,
        **unpacked(row.details, HOST_DETAILS),
    }


@router.get(
    "", operation_id="list_hosts", response_model=Envelope[list[HostOut]], responses=LISTED | refusals(422, 503)
)
async def list_hosts(
    request: Request, query: Annotated[HostQuery, Query()], db: Db, presence: Online, form: Wanted
) -> Response:
    """Every host that has reported, with its latest state, or with the one that it had at the moment `at`.

    Where the reports of then are gone, the finest aggregates that hold the moment answer, and `resolution` says so.
    `Link` leads to the next page, `X-Total-Count` tells how many there are in all; with `If-None-Match` an unchanged
    list is 304. As CSV or NDJSON (`Accept`) it is the whole list.
    """
    if form:
        found = pages(lambda asked: _find(request, asked, db, presence, counted=False), query)
        return await download(request, form(HostOut), "hosts", found)
    return listing(request, *await _find(request, query, db, presence), "host")


async def _find(request: Request, query: HostQuery, db: Database, presence: Presence, *, counted: bool = True) -> Found:
    """A page of hosts and how they travel: of the present, or of a moment."""
    if query.at is None:
        page, has = await db.read(tags.with_tags, hosts.page, query, presence, counted=counted)
        return Found(page, lambda row: shown(row, has.get(row.id, [])))
    then = then_at(request, query.at)
    page, has = await db.read(tags.with_tags, past_hosts.page, query, then, counted=counted)
    return Found(page, lambda row: shown(row, has.get(row.id, []), row.seconds))


@router.get(
    "/{host_id}",
    operation_id="get_host",
    response_model=Envelope[HostOut],
    responses=refusals(404, 422, 503),
    dependencies=[Depends(no_parameters)],
)
async def get_host(host_id: HostId, db: Db, presence: Online) -> Response:
    """One host with its latest state."""
    row = await db.read(hosts.get, host_id, presence)
    if row is None:
        raise Failure(Code.NOT_FOUND, "no such host")
    has = await db.read(tags.of, [host_id])
    return answer(ok(shown(row, has.get(host_id, []))))


@router.get(
    "/{host_id}/containers",
    operation_id="list_host_containers",
    response_model=Envelope[list[ContainerOut]],
    responses=LISTED | refusals(404, 422, 503),
)
async def list_host_containers(
    request: Request, host_id: HostId, query: Annotated[ContainerQuery, Query()], db: Db, form: Wanted
) -> Response:
    """The containers of a host's newest report, now or at the moment `at`; as CSV or NDJSON (`Accept`) all of them."""
    if not await db.read(hosts.has_reported, host_id):
        raise Failure(Code.NOT_FOUND, "no such host")
    if form:
        found = pages(lambda asked: containers.find(request, asked, db, host_id, counted=False), query)
        return await download(request, form(ContainerOut, query.chosen), f"host-{host_id}-containers", found)
    return listing(request, *await containers.find(request, query, db, host_id), "container")


@router.delete("/{host_id}", operation_id="delete_host", status_code=204, responses=refusals(404, 422, 503))
async def delete_host(request: Request, host_id: HostId, db: Db) -> Response:
    """Forgets a decommissioned host and frees its name; its rows go in the background.

    For admins; while no token is asked for, on the server's own machine alone, not from a web page or through a proxy.
    `python manage.py host delete NAME` always works.
    """
    allow(request)
    now = db.clock.now()
    with audited(request, "host_deleted", host_id=host_id) as told:
        told["host"] = await written(request, lambda connection: _forget(connection, host_id, now))
        if told["host"] is None:
            raise Failure(Code.NOT_FOUND, "no such host")
    state_of(request)["jobs"].purge_soon()
    return Response(status_code=204)


def _forget(connection: Any, host_id: int, now: int) -> str | None:  # noqa: ANN401 - the writer's
    """Gives the name that the host had; None if there is no such host."""
    name = hosts.named(connection, host_id)
    return name if hosts.hide(connection, host_id, now) else None
