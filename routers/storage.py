"""What the database takes."""

from fastapi import APIRouter, Depends, Request, Response

from model.envelope import Envelope, ok
from model.operations import StorageOut
from routers.answers import answer
from routers.deps import Config, no_parameters, state_of
from routers.docs import refusals
from services.guard import GIB
from services.storage import Table, days_left, guard_of
from utils.utils import utc_text

router = APIRouter(prefix="/api/storage", tags=["operations"])


@router.get(
    "",
    operation_id="get_storage",
    response_model=Envelope[StorageOut],
    responses=refusals(422, 503),
    dependencies=[Depends(no_parameters)],
)
async def get_storage(request: Request, settings: Config) -> Response:
    """What each table holds and takes, how fast all grows, and when it is as large as it may be.

    Rows are estimated from a part of the hosts; the figures are made at most every five minutes.
    """
    survey = await state_of(request)["storage"].survey()
    limit_gib = settings.monitoring.max_database_gib
    left = days_left(survey, limit_gib)
    body = {
        "measured_at": utc_text(survey.at),
        "used_bytes": survey.used,
        "limit_bytes": int(limit_gib * GIB) or None,
        "guard": guard_of(survey, limit_gib),
        "growth_bytes_per_day": round(survey.bytes_day),
        "days_until_limit": None if left is None else round(left, 1),
        "tables": [_shown(table) for table in survey.tables],
    }
    return answer(ok(body))


def _shown(table: Table) -> dict[str, object]:
    return {
        "name": table.name,
        "rows": table.rows,
        "rows_estimated": table.estimated,
        "bytes": table.bytes,
        "bytes_per_sample": round(table.bytes / table.samples, 1) if table.samples else None,
        "growth_bytes_per_day": round(table.bytes_day),
        "oldest": utc_text(table.edges.oldest),
        "newest": utc_text(table.edges.newest),
    }
