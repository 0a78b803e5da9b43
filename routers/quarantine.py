"""The last reports that were refused, for admins."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from database import quarantine
from database.rows import Record
from model.envelope import Code, Envelope, Failure, ok
from model.fields import MAX_AGE_S
from model.operations import QuarantinedOut, QuarantinedWhole
from model.queries import MAX_ID
from model.schemas import StoredOut
from routers.answers import answer
from routers.audits import audited
from routers.deps import Db, no_parameters, state_of
from routers.docs import refusals
from routers.gate import admins
from routers.resources import MODELS, parse, reply
from routers.writes import written
from utils.utils import SECOND, micros, moment, utc_text

router = APIRouter(
    prefix="/api/agents/quarantine", tags=["access"], dependencies=[Depends(admins), Depends(no_parameters)]
)
RefusedId = Annotated[int, Path(ge=1, le=MAX_ID)]


def shown(row: Record, *, whole: bool) -> dict[str, object]:
    """A refused report as it travels, without its body."""
    return {
        "id": row.id,
        "received_at": utc_text(row.received_at),
        "path": row.path,
        "host_name": row.host_name,
        "address": row.address,
        "token_id": row.token_id,
        "code": row.code,
        "message": row.message,
        "size": row.size,
        "whole": whole,
        "idempotency_key": row.idempotency_key,
        "replayed_at": utc_text(row.replayed_at),
    }


@router.get(
    "", operation_id="list_quarantine", response_model=Envelope[list[QuarantinedOut]], responses=refusals(422, 503)
)
async def list_quarantine(db: Db) -> Response:
    """The last 500 reports that were refused for what they are, the newest first; what is sent again is kept once.

    Of more than 100 in two seconds a process keeps the last 100.
    They are kept while `[security] mode` is `observe` or `enforce`, up to 64 KiB each.
    """
    found = [shown(row, whole=bool(row.whole)) for row in await db.read(quarantine.listed)]
    return answer(ok(found, f"report_count: {len(found)}"))


@router.get(
    "/{refused_id}",
    operation_id="get_quarantined",
    response_model=Envelope[QuarantinedWhole],
    responses=refusals(404, 422, 503),
)
async def get_quarantined(refused_id: RefusedId, db: Db) -> Response:
    """A refused report with its body as it was sent; what is not UTF-8 in it is replaced."""
    row = await _found(db, refused_id)
    text = None if row.body is None else row.body.decode(errors="replace")
    return answer(ok({**shown(row, whole=text is not None), "body": text}))


@router.post(
    "/{refused_id}/replay",
    operation_id="replay_quarantined",
    response_model=Envelope[StoredOut],
    responses=refusals(404, 422, 503),
)
async def replay_quarantined(request: Request, refused_id: RefusedId, db: Db) -> Response:
    """Stores a refused report at the time at which it came, whatever token it showed: under its own key, and once.

    A report that its agent brought in meanwhile is answered as a repeat. What is wrong with its fields is refused
    again, and so is a report that was replayed before.
    """
    with audited(request, "report_replayed", refused=refused_id) as told:
        row = await _found(db, refused_id)
        told.update(host=row.host_name)
        return await _replayed(request, db, row, told)


async def _replayed(request: Request, db: Db, row: Record, told: dict[str, Any]) -> Response:
    if row.replayed_at is not None:  # its key may be forgotten by now
        raise Failure(Code.VALIDATION, f"it was stored already, at {utc_text(row.replayed_at)}")
    if row.body is None:
        raise Failure(Code.VALIDATION, "its body was too large to be kept")
    report = parse(MODELS[row.path], request, row.body)
    age_s = (db.clock.now() - micros(row.received_at)) / SECOND + report.age_s
    if age_s > MAX_AGE_S:
        raise Failure(Code.VALIDATION, "it is older than a report may be")
    aged = report.model_copy(update={"age_s": age_s})
    stored = await state_of(request)["writer"].submit(aged, _key(row))
    told.update(replayed=stored.replayed)  # of several at once one stored it
    await written(request, partial(quarantine.replayed, id_=row.id, now=moment(db.clock.now())))
    return reply(request, aged, stored)


def _key(row: Record) -> str:
    """Its own, by which its agent may yet send it; one of ours if it had none, or another report's."""
    named = row.idempotency_key is not None and row.code != Code.KEY_MISMATCH
    return row.idempotency_key if named else f"quarantine-{row.id}"


async def _found(db: Db, refused_id: int) -> Record:
    row = await db.read(quarantine.get, refused_id)
    if row is None:
        raise Failure(Code.NOT_FOUND, "no such report, or it was long ago")
    return row
