"""People sign in and out: a JWT for some minutes, and a cookie that gives the next one."""

import asyncio
import logging
from functools import partial

from fastapi import APIRouter, Depends, Request, Response

from database import sessions, users
from database.sessions import Session
from database.users import User
from logger import audit, event
from model.envelope import Code, Envelope, Failure, ok
from model.people import LoginOut, LogoutOut
from routers.answers import answer
from routers.clients import peer_of
from routers.deps import Db, no_parameters, state_of
from routers.docs import login_body, refusals
from routers.errors import MAX_SHOWN
from routers.gate import shown
from routers.login_form import Asked, asked
from routers.origins import check_origin, over_tls
from routers.writes import written
from services import signing
from services.jwt_key import MISSING, JwtKey
from services.lockout import Attempt, attempt_of
from services.sessions import GRACE, begin, judge, parse, renewed
from utils.utils import moment

security = logging.getLogger("security")
router = APIRouter(tags=["access"], dependencies=[Depends(no_parameters)])

COOKIE, COOKIE_PATH = "resource_monitor_refresh", "/api/login"


@router.post(
    "/api/login",
    operation_id="login",
    response_model=Envelope[LoginOut],
    responses=refusals(408, 413, 415, 422, 429, 503),
    openapi_extra=login_body(),
)
async def login(request: Request, db: Db) -> Response:
    """Signs somebody in: a JWT for the header `Authorization`, and a cookie that `/api/login/refresh` takes.

    It also takes the form of OAuth 2 (`username`, `password`), as Swagger's Authorize sends it, and answers that with
    `access_token`, `token_type` and `expires_in` beside the envelope as well.
    """
    check_origin(request)
    person = await asked(request)
    _configured(request)
    user = await _proven(request, db, person)
    key = await _key(request)
    session, cookie = begin(user, moment(db.clock.now()))
    again = await state_of(request)["people"].renewed(user, person.password)
    if not await written(request, partial(sessions.begin, session=session, user=user, password_hash=again)):
        raise _wrong(request, user)  # the password was changed meanwhile
    _tell(request, "login_succeeded", user.name)
    return _signed(request, key, (session, user), cookie, beside=person.by_form)


@router.post(
    "/api/login/refresh",
    operation_id="refresh_login",
    response_model=Envelope[LoginOut],
    responses=refusals(422, 503),
)
async def refresh_login(request: Request, db: Db) -> Response:
    """Gives another JWT for the cookie of the login, and another cookie.

    Only from a page of this server. A cookie that was replaced more than ten seconds ago ends the session: somebody
    else has it.
    """
    check_origin(request, by_cookie=True)
    given = parse(request.cookies.get(COOKIE, ""))
    found = await db.read(sessions.find, given.id) if given else None
    if given is None or found is None:
        raise _over(request)
    now = moment(db.clock.now())
    verdict = judge(*found, given, now)
    if verdict == "reused":
        await _ended(request, given.id)
        _tell(request, "refresh_reused", found[1].name, logging.WARNING)
    if verdict in ("over", "reused"):
        raise _over(request)
    key = await _key(request)
    cookie, hash_ = renewed(given.id)
    rotation = partial(sessions.rotate, id_=given.id, given=given.hash, new=hash_, until=now + GRACE)
    rotated = verdict == "good" and await written(request, rotation)
    return _signed(request, key, found, cookie if rotated else None)


@router.post(
    "/api/login/logout", operation_id="logout", response_model=Envelope[LogoutOut], responses=refusals(422, 503)
)
async def logout(request: Request, db: Db) -> Response:
    """Ends the session of the JWT that is shown, or of the cookie, and takes the cookie away.

    By the cookie only from a page of this server. An expired JWT will do. This process refuses the session's JWT at
    once, every other one within five seconds.
    """
    session_id, name = await _signed_in(request, db)
    ended = session_id is not None and await _ended(request, session_id)
    if ended:
        _tell(request, "logged_out", name)
    return answer(ok({"ended": ended}), headers=_headers(request, "", 0))


async def _proven(request: Request, db: Db, person: Asked) -> User:
    """Whoever that is. Raises UNAUTHORIZED, the same for who is not known and for a wrong password, or RATE_LIMITED."""
    people, attempt = state_of(request)["people"], attempt_of(person.user, _peer(request))
    if wait := people.lockout.begin(attempt, moment(db.clock.now())):
        raise _locked(request, attempt, wait)
    try:
        user = await db.read(users.find, person.user)
        good = await people.matches(user, person.password)
    except BaseException:
        people.lockout.undecided(attempt)
        raise
    if user is None or not good:
        raise _wrong(request, user)
    people.lockout.succeeded(attempt)
    return user


async def _signed_in(request: Request, db: Db) -> tuple[str | None, str | None]:
    """Which session is shown, and whose: by a JWT, or by the cookie, which a browser adds by itself.

    Raises FORBIDDEN for a page of another server that shows no token: the answer would take the cookie away.
    """
    key, bearer = state_of(request)["people"].key.known, shown(request.scope)
    claims = signing.read(bearer, key) if key and bearer else None
    if claims:
        return claims.session_id, claims.name
    if bearer is None or COOKIE in request.cookies:
        check_origin(request, by_cookie=True)
    given = parse(request.cookies.get(COOKIE, ""))
    found = await db.read(sessions.find, given.id) if given else None
    if given and found and judge(*found, given, moment(db.clock.now())) != "over":
        return given.id, found[1].name
    return None, None


async def _ended(request: Request, session_id: str) -> bool:
    database = state_of(request)["database"]
    now = moment(database.clock.now())
    ended = await written(request, partial(sessions.revoke, id_=session_id, now=now))
    database.credentials.end(session_id, now)
    return ended


def _configured(request: Request) -> JwtKey:
    """Raises NOT_CONFIGURED where people cannot sign in at all, before a password is looked at."""
    key = state_of(request)["people"].key
    if not key.possible:
        raise Failure(Code.NOT_CONFIGURED, MISSING)
    return key


async def _key(request: Request) -> bytes:
    """The key; made now if nobody has ever signed in."""
    try:
        return await asyncio.to_thread(_configured(request).get)
    except OSError as error:
        security.error(event("jwt_key_unwritable", reason=error.strerror))
        raise Failure(Code.NOT_CONFIGURED, "the file of the key cannot be stored; the log has the reason") from None


def _signed(
    request: Request, key: bytes, found: tuple[Session, User], cookie: str | None, *, beside: bool = False
) -> Response:
    session, user = found
    now = moment(state_of(request)["database"].clock.now())
    token = {
        "access_token": signing.sign(user, session.id, key, now),
        "token_type": "bearer",
        "expires_in": signing.LIFETIME_S,
    }
    left = int((session.expires_at - now).total_seconds())
    sent = ok({**token, "user": user.name, "role": user.role}, "", token if beside else None)
    return answer(sent, headers=_headers(request, cookie, left))


def _headers(request: Request, cookie: str | None, max_age: int) -> dict[str, str]:
    """What every answer here says: kept nowhere, and which cookie the browser has from now on."""
    made = Response(headers={"Cache-Control": "no-store"})
    if cookie is not None:
        secure = over_tls(request)
        made.set_cookie(COOKIE, cookie, max_age, path=COOKIE_PATH, secure=secure, httponly=True, samesite="strict")
    return {name: value for name, value in made.headers.items() if name != "content-length"}


def _wrong(request: Request, user: User | None) -> Failure:
    """What nobody is called is not told: people type their password into the wrong field."""
    _tell(request, "login_failed", user.name if user else None, logging.WARNING)
    return Failure(Code.UNAUTHORIZED, "user or password is wrong", headers=_refused())


def _over(request: Request) -> Failure:
    headers = {**_refused(), **_headers(request, "", 0)}
    return Failure(Code.UNAUTHORIZED, "nobody is signed in here, or no more: sign in", headers=headers)


def _locked(request: Request, attempt: Attempt, wait_s: int) -> Failure:
    if state_of(request)["refusals"].allow(("login_locked", attempt.network)) is not None:
        _tell(request, "login_locked", None, logging.WARNING, wait_s=wait_s)
    headers = {"Retry-After": str(wait_s), "Cache-Control": "no-store"}
    return Failure(Code.RATE_LIMITED, "too many wrong passwords; try again later", headers=headers)


def _tell(request: Request, name: str, user: str | None, level: int = logging.INFO, wait_s: int | None = None) -> None:
    audit(name, level, user=user[:MAX_SHOWN] if user else None, peer=_peer(request), wait_s=wait_s)


def _refused() -> dict[str, str]:
    return {"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"}


def _peer(request: Request) -> str | None:
    return peer_of(request.scope)
