"""The hosts that operators ask for."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from database import containers, hosts
from database.database import Database
from database.details import unpacked
from database.hosts import Presence
from database.rows import HOST_DETAILS, Record
from database.writer import ACK_TIMEOUT_S, Writer
from model.envelope import Code, Envelope, Failure, ok, unavailable
from model.queries import MAX_ID, ContainerQuery, HostQuery
from model.schemas import ContainerOut, HostOut
from routers.answers import answer, listing
from routers.containers import shown as shown_container
from routers.deps import Db, Online, Writing, state_of
from routers.docs import LISTED, refusals
from routers.downloads import Wanted, download, pages
from services.access import may_delete
from utils.utils import utc_text

router = APIRouter(prefix="/api/hosts", tags=["hosts"])
HostId = Annotated[int, Path(ge=1, le=MAX_ID)]


def shown(row: Record, presence: Presence) -> dict[str, object]:
    """A host as it travels."""
    return {
        "id": row.id,
        "host_name": row.host_name,
        "cpu_percentage": row.cpu_percentage,
        "cpu_cores": row.cpu_cores,
        "cpu_threads": row.cpu_threads,
        "memory_usage": row.memory_usage,
        "memory_percentage": row.memory_percentage,
        "get_datetime": row.get_datetime.isoformat() if row.get_datetime else None,
        "status": "online" if presence.holds(row) else "offline",
        "last_seen": utc_text(row.last_seen),
        "sampled_at": utc_text(row.sampled_at),
        "containers_count": row.containers_count,
        "containers_running": row.containers_running,
        **unpacked(row.details, HOST_DETAILS),
    }


@router.get(
    "", operation_id="list_hosts", response_model=Envelope[list[HostOut]], responses=LISTED | refusals(422, 503)
)
async def list_hosts(
    request: Request, query: Annotated[HostQuery, Query()], db: Db, presence: Online, form: Wanted
) -> Response:
    """Every host that has reported, with its latest state.

    `Link` leads to the next page, `X-Total-Count` tells how many there are in all; with `If-None-Match` an unchanged
    list is 304. As CSV or NDJSON (`Accept`) it is the whole list.
    """
    if form:
        found = pages(
            lambda asked: db.read(hosts.page, asked, presence, counted=False), query, lambda row: shown(row, presence)
        )
        return await download(request, form(HostOut), "hosts", found)
    page = await db.read(hosts.page, query, presence)
    return listing(request, page, [shown(row, presence) for row in page.rows], "host")


@router.get("/{host_id}", operation_id="get_host", response_model=Envelope[HostOut], responses=refusals(404, 422, 503))
async def get_host(host_id: HostId, db: Db, presence: Online) -> Response:
    """One host with its latest state."""
    row = await db.read(hosts.get, host_id)
    if row is None:
        raise Failure(Code.NOT_FOUND, "no such host")
    return answer(ok(shown(row, presence)))


@router.get(
    "/{host_id}/containers",
    operation_id="list_host_containers",
    response_model=Envelope[list[ContainerOut]],
    responses=LISTED | refusals(404, 422, 503),
)
async def list_host_containers(
    request: Request, host_id: HostId, query: Annotated[ContainerQuery, Query()], db: Db, form: Wanted
) -> Response:
    """The containers of a host's newest report; as CSV or NDJSON (`Accept`) all of them."""
    if await db.read(hosts.get, host_id) is None:
        raise Failure(Code.NOT_FOUND, "no such host")
    if form:
        found = pages(lambda asked: db.read(containers.page, asked, host_id, counted=False), query, shown_container)
        return await download(request, form(ContainerOut), f"host-{host_id}-containers", found)
    page = await db.read(containers.page, query, host_id)
    return listing(request, page, [shown_container(row) for row in page.rows], "container")


@router.delete("/{host_id}", operation_id="delete_host", status_code=204, responses=refusals(403, 404, 422, 503))
async def delete_host(request: Request, host_id: HostId, db: Db, writer: Writing) -> Response:
    """Forgets a decommissioned host and frees its name; its rows go in the background.

    Only from the server's own machine, and not from a web page. `python manage.py host delete NAME` always works.
    """
    peer = request.client.host if request.client else None
    if not may_delete(peer, request.headers.get("origin")):
        raise Failure(Code.FORBIDDEN, "only from the server's own machine, or by manage.py host delete")
    if not await _forget(db, writer, host_id):
        raise Failure(Code.NOT_FOUND, "no such host")
    state_of(request)["jobs"].purge_soon()
    return Response(status_code=204)


async def _forget(db: Database, writer: Writer, host_id: int) -> bool:
    """Hides the host between two batches; raises a Failure if that is not done by the deadline of a report."""
    if not db.ready or db.seen.status in ("down", "read_only"):
        raise unavailable()
    now = db.clock.now()
    hidden = writer.run(lambda connection: hosts.hide(connection, host_id, now))
    try:
        return await asyncio.wait_for(hidden, ACK_TIMEOUT_S)
    except TimeoutError:
        raise unavailable("the outcome was not known in time; look for the host", Code.COMMIT_UNKNOWN) from None
