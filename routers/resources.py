"""The intake: where agents report."""

import asyncio
import logging
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from pydantic_core import from_json

from database.rows import Stored
from logger import event
from model.envelope import Code, Envelope, Failure, failed, ok
from model.schemas import Batch, BatchItem, BatchOut, LegacyReport, Report, StoredOut
from routers import heard
from routers.answers import answer
from routers.bodies import MAX_BATCH_BYTES, MAX_REPORT_BYTES, read
from routers.deps import state_of
from routers.docs import body, refusals
from routers.errors import log_refusal, unreadable, wrong_body
from routers.gate import check_host
from routers.headers import values
from services.oddities import MAX_SKEW_S, oddities
from services.quarantine import is_key, key_in
from utils.utils import SECOND, local_second

logger = logging.getLogger(__name__)
R = TypeVar("R", bound=Report)
router = APIRouter(tags=["intake"])
KEY = {"in": "header", "name": "Idempotency-Key", "required": False}
KEY_RULE = {"schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}}
# So many items of a batch are validated and queued at a stretch.
TURN = 8
_KEY_WORDS = {"description": "names this report: a repeat is stored once"}
_DOCS: dict[str, Any] = {"parameters": [{**KEY, **KEY_RULE, **_KEY_WORDS}]}
_REFUSALS = refusals(408, 413, 415, 422, 503)


@router.post(
    "/api/resources",
    operation_id="post_report",
    response_model=Envelope[StoredOut],
    responses=_REFUSALS,
    openapi_extra={**body("Report"), **_DOCS},
)
async def post_report(request: Request) -> Response:
    """Stores one report. 200 means that it is committed."""
    key = _key(request)
    return await _taken(request, Report, await read(request, MAX_REPORT_BYTES), key)


@router.post(
    "/monitor_info",
    operation_id="post_monitor_info",
    response_model=Envelope[StoredOut],
    responses=_REFUSALS,
    openapi_extra={**body("LegacyReport"), **_DOCS},
)
async def post_monitor_info(request: Request) -> Response:
    """Stores one report of an older agent: `node_name` may stand for `host_name`, the host's fields may be flat."""
    key = _key(request)
    return await _taken(request, LegacyReport, await read(request, MAX_REPORT_BYTES, any_type=True), key)


@router.post(
    "/api/resources/batch",
    operation_id="post_batch",
    response_model=Envelope[BatchOut],
    responses={207: {"model": Envelope[BatchOut], "description": "some reports were refused"}, **_REFUSALS},
    openapi_extra=body("Batch"),
)
async def post_batch(request: Request) -> Response:
    """Stores up to 500 reports, each by itself; a retryable code inside means: send that report again."""
    raw = await read(request, MAX_BATCH_BYTES)
    items = _reports(raw)
    _trace(raw)
    tasks: list[asyncio.Task[dict[str, Any]]] = []
    for number, item in enumerate(items):
        if number % TURN == 0:  # other requests have their turn between the items of a large batch
            await asyncio.sleep(0)
        tasks.append(asyncio.create_task(_one(request, item)))
    results = await asyncio.gather(*tasks)
    if all(result["resultCode"] == Code.OK for result in results):
        return answer(ok({"results": results}, f"report_count: {len(results)}"))
    return answer(failed(Code.PARTIAL, "some reports were refused", {"results": results}), 207)


# Of which model a report is, by where it was sent.
MODELS: dict[str, type[Report]] = {
    "/api/resources": Report,
    "/monitor_info": LegacyReport,
    "/api/resources/batch": BatchItem,
}
# What the edge hands the intake's POSTs to, past FastAPI's routing.
POSTS = {"/api/resources": post_report, "/monitor_info": post_monitor_info, "/api/resources/batch": post_batch}


def _key(request: Request) -> str | None:
    keys = values(request.scope, b"idempotency-key")
    if not keys:
        return None
    key = keys[0].decode("latin-1")
    if len(keys) > 1 or not is_key(key):
        raise Failure(Code.BAD_REQUEST, "Idempotency-Key: 1 to 255 visible ASCII characters")
    return key


def parse(model: type[R], request: Request, raw: bytes) -> R:
    """Validates the bytes in one pass."""
    try:
        report = model.model_validate_json(raw, context={"zone": state_of(request)["zone"]})
    except ValidationError as error:
        raise wrong_body(error) from None
    _trace(raw)
    return report


def _trace(raw: bytes) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("received body=%s", raw.decode(errors="replace"))


async def _taken(request: Request, model: type[Report], raw: bytes, key: str | None) -> Response:
    """Validates and stores one report, if its token is good for its host."""
    report = None
    try:
        report = parse(model, request, raw)
        token_id = await check_host(request, report.host.host_name)
        stored = await state_of(request)["writer"].submit(report, key)
    except Failure as failure:
        heard.refused(request, raw, failure, report, key)
        raise
    heard.stored(request, report, stored, token_id)
    return reply(request, report, stored)


def _note(request: Request, report: Report) -> None:
    """Warns of what is odd about a report that was stored."""
    state = state_of(request)
    now = state["database"].clock.now() // SECOND - int(report.age_s)
    earliest, latest = (local_second(now + skew, state["zone"]).replace("T", " ") for skew in (-MAX_SKEW_S, MAX_SKEW_S))
    for oddity in oddities(report, earliest, latest):
        suppressed = state["oddities"].allow((report.host.host_name, oddity))
        if suppressed is not None:
            logger.warning(event(oddity, host=report.host.host_name, suppressed=suppressed or None))


def reply(request: Request, report: Report, stored: Stored) -> Response:
    """The answer to a report that is stored."""
    _note(request, report)
    data = {
        "host_id": stored.host_id,
        "containers_count": stored.containers_count,
        "timestamp": local_second(stored.received_at // SECOND, state_of(request)["zone"]),
    }
    headers = {"Idempotent-Replayed": "true"} if stored.replayed else None
    return answer(ok(data, f"container_count: {stored.containers_count}"), headers=headers)


def _reports(raw: bytes) -> list[Any]:
    try:
        return Batch.model_validate(from_json(raw)).reports
    except ValidationError as error:
        raise wrong_body(error) from None
    except ValueError as error:
        raise unreadable(str(error)) from None


async def _one(request: Request, item: object) -> dict[str, Any]:
    """What becomes of one report of a batch."""
    report = None
    try:
        report = _item(request, item)
        token_id = await check_host(request, report.host.host_name)
        stored = await state_of(request)["writer"].submit(report, report.idempotency_key)
    except Failure as failure:
        heard.refused(request, item, failure, report, key_in(item))
        return _refused(request, failure)
    heard.stored(request, report, stored, token_id)
    _note(request, report)
    count = stored.containers_count
    return _result(Code.OK, f"container_count: {count}", stored.host_id, count, replayed=stored.replayed)


def _item(request: Request, item: object) -> BatchItem:
    try:
        return BatchItem.model_validate(item, context={"zone": state_of(request)["zone"]})
    except ValidationError as error:
        raise wrong_body(error) from None


def _refused(request: Request, failure: Failure) -> dict[str, Any]:
    log_refusal(request, failure)
    return _result(failure.code, failure.message, None, None, replayed=False)


def _result(code: Code, message: str, host_id: int | None, count: int | None, *, replayed: bool) -> dict[str, Any]:
    return {
        "resultCode": code,
        "message": message,
        "host_id": host_id,
        "containers_count": count,
        "replayed": replayed,
    }
