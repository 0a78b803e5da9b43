"""How the agents report, for admins."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from database import agents
from database.rows import Record
from model.envelope import Envelope
from model.operations import AgentOut
from model.queries import AgentQuery
from routers.answers import listing
from routers.deps import Db, each_once
from routers.docs import LISTED, refusals
from routers.gate import admins
from utils.utils import utc_text

router = APIRouter(prefix="/api/agents", tags=["access"], dependencies=[Depends(admins), Depends(each_once)])


def shown(row: Record) -> dict[str, object]:
    """An agent as it travels."""
    return {
        "host_id": row.host_id,
        "host_name": row.host_name,
        "address": row.address,
        "agent": row.agent,
        "token_id": row.token_id,
        "first_seen": utc_text(row.first_seen),
        "last_seen": utc_text(row.last_seen),
        "interval_s": row.interval_s,
        "reports": row.reports,
        "repeats": row.repeats,
        "gaps": row.gaps,
        "refused": row.refused,
        "last_refusal": row.last_refusal,
        "refused_at": utc_text(row.refused_at),
        "skew_s": row.skew_s,
        "utc_offset": None if row.utc_offset_min is None else _offset(row.utc_offset_min),
    }


def _offset(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


@router.get(
    "", operation_id="list_agents", response_model=Envelope[list[AgentOut]], responses=LISTED | refusals(422, 503)
)
async def list_agents(request: Request, query: Annotated[AgentQuery, Query()], db: Db) -> Response:
    """Which hosts report, from where and how well; `with_token=false`: those without a token that is good for them.

    Each process notes what it heard about once a minute, so that a figure may be that old, and a host be missing.
    """
    return listing(request, await db.read(agents.page, query), shown, "agent")
