"""What a person shows who has signed in: a JWT that is good for minutes, signed by this service for itself alone."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from database.users import User
from utils.utils import EPOCH

# One algorithm, which no token chooses: RFC 8725, 3.1. The headers jku, x5u and kid are not looked at.
ALGORITHM = "HS256"
ISSUER, AUDIENCE = "resource-monitor-server", "resource-monitor-api"
# RFC 9068: no other JWT that the key may ever sign is taken for one of these.
TYPE = "at+jwt"
LIFETIME_S = 600
MAX_LIFETIME_S = 900
ROLES = ("viewer", "admin")
# PyJWT reads the machine's clock, ours is the database's: the moments are checked here. `strict_aud`: no list.
OPTIONS: Any = {
    "require": ["iss", "aud", "sub", "sid", "role", "name", "iat", "exp"],
    "strict_aud": True,
    "enforce_minimum_key_length": True,
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
}


class Claims(NamedTuple):
    """Who it is, by which session, until when (seconds since 1970)."""

    user_id: int
    session_id: str
    name: str
    role: str
    expires: int


def seconds(now: datetime) -> int:
    """Whole seconds since 1970."""
    return (now - EPOCH) // timedelta(seconds=1)


def sign(user: User, session_id: str, key: bytes, now: datetime) -> str:
    """A JWT of somebody's session."""
    import jwt  # noqa: PLC0415 - with its cryptography 9 MiB, and a tenth of a second at a start without people

    began = seconds(now)
    who = {"sub": str(user.id), "name": user.name, "role": user.role, "sid": session_id}
    when = {"iat": began, "exp": began + LIFETIME_S}
    claims = {"iss": ISSUER, "aud": AUDIENCE, **who, **when}
    return jwt.encode(claims, key, ALGORITHM, headers={"typ": TYPE})


def read(text: str, key: bytes) -> Claims | None:
    """What was signed by `sign`, however long ago; None for everything else."""
    import jwt  # noqa: PLC0415 - the same

    try:
        found = jwt.decode_complete(
            text, key, algorithms=[ALGORITHM], options=OPTIONS, audience=AUDIENCE, issuer=ISSUER
        )
    except jwt.PyJWTError:
        return None
    return _claims(found["payload"]) if found["header"].get("typ") == TYPE else None


def good(claims: Claims, now: datetime) -> bool:
    """Whether it has not expired."""
    return seconds(now) < claims.expires


def _claims(payload: dict[str, Any]) -> Claims | None:
    who, began, expires = payload["sub"], payload["iat"], payload["exp"]
    texts = all(isinstance(payload[name], str) for name in ("sub", "sid", "name", "role"))
    moments = type(began) is int and type(expires) is int and 0 < expires - began <= MAX_LIFETIME_S
    if not (texts and moments and who.isascii() and who.isdecimal() and payload["role"] in ROLES):
        return None
    return Claims(int(who[:20]), payload["sid"], payload["name"], payload["role"], expires)
