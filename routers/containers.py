"""The containers that operators ask for."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from database import containers, past_containers
from database.database import Database
from database.details import unpacked
from database.past import RESOLUTIONS
from database.rows import CONTAINER_DETAILS, Record
from model.envelope import Envelope
from model.queries import ContainerQuery
from model.schemas import ContainerOut
from routers.answers import Found, listing
from routers.deps import Db, each_once, then_at
from routers.docs import LISTED, refusals
from routers.downloads import Wanted, download, pages

router = APIRouter(prefix="/api/containers", tags=["containers"], dependencies=[Depends(each_once)])


def _details(text: str | None) -> dict[str, object]:
    found = unpacked(text, CONTAINER_DETAILS)
    if found["oom_killed"] is not None:
        found["oom_killed"] = bool(found["oom_killed"])
    if found["started_at"] is not None:
        found["started_at"] = f"{str(found['started_at']).replace(' ', 'T')}Z"
    return found


def shown(row: Record, seconds: int = 0) -> dict[str, object]:
    """A container as it travels; of a bucket of so many seconds, or of a report."""
    return {
        "id": row.id,
        "engine_type": row.engine_type,
        "cluster_name": row.cluster_name,
        "node_name": row.node_name,
        "container_name": row.container_name,
        "status": row.status,
        "cpu_percentage": row.cpu_percentage,
        "memory_usage": row.memory_usage,
        "memory_percentage": row.memory_percentage,
        "get_datetime": row.get_datetime,
        "host_id": row.host_id,
        "host_name": row.host_name,
        "sampled_at": row.sampled_at,
        "resolution": RESOLUTIONS[seconds],
        **_details(row.details),
    }


@router.get(
    "",
    operation_id="list_containers",
    response_model=Envelope[list[ContainerOut]],
    responses=LISTED | refusals(422, 503),
)
async def list_containers(
    request: Request, query: Annotated[ContainerQuery, Query()], db: Db, form: Wanted
) -> Response:
    """The containers of all hosts, each once: those of each host's newest report, now or at the moment `at`.

    Where the reports of then are gone, the finest aggregates that hold the moment answer, and `resolution` says so. As
    CSV or NDJSON (`Accept`) it is the whole list, with the `columns` that were asked for.
    """
    if form:
        found = pages(lambda asked: find(request, asked, db, counted=False), query)
        return await download(request, form(ContainerOut, query.chosen), "containers", found)
    return listing(request, *await find(request, query, db), "container")


async def find(
    request: Request, query: ContainerQuery, db: Database, host_id: int | None = None, *, counted: bool = True
) -> Found:
    """A page of containers and how they travel: of the present or of a moment, of all hosts or of one."""
    if query.at is None:
        return Found(await db.read(containers.page, query, host_id, counted=counted), shown)
    page = await db.read(past_containers.page, query, then_at(request, query.at), host_id)
    return Found(page, lambda row: shown(row, row.seconds))
