"""What happened to hosts and containers."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic_core import from_json

from database import events
from database.database import Database
from database.rows import Record
from model.envelope import Envelope
from model.past import EventOut
from model.queries import EventQuery
from routers.answers import Found, listing
from routers.deps import Db, each_once
from routers.docs import PAGED, refusals
from routers.downloads import Wanted, download, pages
from utils.utils import utc_text

router = APIRouter(prefix="/api/events", tags=["history"], dependencies=[Depends(each_once)])


def shown(row: Record) -> dict[str, object]:
    """An event as it travels."""
    return {
        "host_id": row.host_id,
        "host_name": row.host_name,
        "engine_type": row.engine_type or None,
        "container_name": row.container_name or None,
        "kind": row.shown_kind,
        "at": utc_text(row.at),
        "from": row.from_value,
        "to": row.to_value,
        "details": from_json(row.details) if row.details else None,
    }


@router.get(
    "", operation_id="list_events", response_model=Envelope[list[EventOut]], responses=PAGED | refusals(422, 503)
)
async def list_events(request: Request, query: Annotated[EventQuery, Query()], db: Db, form: Wanted) -> Response:
    """What happened, the newest first: what a minute's reports tell is known some 70 seconds after its beginning.

    As CSV or NDJSON (`Accept`) it is the whole list.
    """
    if form:
        return await download(request, form(EventOut), "events", pages(lambda asked: _find(asked, db), query))
    return listing(request, *await _find(query, db), "event")


async def _find(query: EventQuery, db: Database) -> Found:
    return Found(await db.read(events.page, query), shown)
