"""The tokens, for admins."""

from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ValidationError

from database import tokens
from database.database import Database
from model.envelope import Code, Envelope, Failure, ok
from model.tokens import RotateIn, TokenIn, TokenMade, TokenOut
from routers.answers import answer
from routers.audits import audited
from routers.bodies import MAX_TAGS_BYTES, read
from routers.deps import Db, no_parameters
from routers.docs import body, refusals
from routers.errors import wrong_body
from routers.gate import admins
from routers.writes import written
from services.tokens import described, issue, known
from utils.token_text import mint
from utils.utils import moment

M = TypeVar("M", bound=BaseModel)
NO_STORE = {"Cache-Control": "no-store"}


router = APIRouter(prefix="/api/tokens", tags=["access"], dependencies=[Depends(admins), Depends(no_parameters)])
TokenId = Annotated[str, Path(pattern="^[0-9a-f]{12}$")]


@router.get("", operation_id="list_tokens", response_model=Envelope[list[TokenOut]], responses=refusals(422, 503))
async def list_tokens(db: Db) -> Response:
    """Every token, the newest first; of its secret nothing is known any more."""
    now = moment(db.clock.now())
    found = [described(token, now) for token in await db.read(tokens.listed)]
    return answer(ok(found, f"token_count: {len(found)}"), headers=NO_STORE)


@router.post(
    "",
    operation_id="create_token",
    response_model=Envelope[TokenMade],
    responses=refusals(408, 413, 415, 422, 503),
    openapi_extra=body("TokenIn"),
)
async def create_token(request: Request, db: Db) -> Response:
    """Makes a token and shows it, this once."""
    now = moment(db.clock.now())
    with audited(request, "token_created") as told:
        issued = issue(await _body(request, TokenIn), now)
        told.update(known(issued.token))
        await written(request, partial(tokens.create, token=issued.token))
    await _remember(db, now)
    return answer(ok({**described(issued.token, now), "token": issued.text}, "shown this once"), headers=NO_STORE)


@router.post(
    "/{token_id}/rotate",
    operation_id="rotate_token",
    response_model=Envelope[TokenMade],
    responses=refusals(404, 408, 413, 415, 422, 503),
    openapi_extra=body("RotateIn"),
)
async def rotate_token(request: Request, token_id: TokenId, db: Db) -> Response:
    """Gives a token another secret and shows it, this once; the one before it stays good for `overlap_hours`."""
    now = moment(db.clock.now())
    minted = mint(token_id)
    with audited(request, "token_rotated", token=token_id) as told:
        told["overlap_hours"] = hours = (await _body(request, RotateIn)).overlap_hours
        until = now + timedelta(hours=hours)
        given = partial(tokens.rotate, id_=token_id, secret_hash=minted.hash, until=until)
        token = _found(await written(request, given))
        told.update(known(token))
    await _remember(db, now)
    return answer(ok({**described(token, now), "token": minted.text}, "shown this once"), headers=NO_STORE)


@router.delete("/{token_id}", operation_id="revoke_token", status_code=204, responses=refusals(404, 422, 503))
async def revoke_token(request: Request, token_id: TokenId, db: Db) -> Response:
    """Ends a token for ever: within five seconds no process takes it any more."""
    now = moment(db.clock.now())
    with audited(request, "token_revoked", token=token_id) as told:
        told.update(known(_found(await written(request, partial(tokens.revoke, id_=token_id, now=now)))))
    await _remember(db, now)
    return Response(status_code=204)


async def _body(request: Request, model: type[M]) -> M:
    try:
        return model.model_validate_json(await read(request, MAX_TAGS_BYTES))
    except ValidationError as error:
        raise wrong_body(error) from None


async def _remember(db: Database, now: datetime) -> None:
    """What is committed holds here at once; the probe tells all others, and this one if it cannot be read now."""
    if db.credentials.loaded:
        with suppress(Failure):
            await db.read(db.credentials.refresh, now)


def _found(token: tokens.Token | None) -> tokens.Token:
    if token is None:
        raise Failure(Code.NOT_FOUND, "no such token, or it was revoked")
    return token
