"""How a session begins, and what its cookie is worth."""

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from database.sessions import Session
from database.users import User

LIFETIME = timedelta(days=30)
# Two pages of one browser may ask at the same time: the second shows what the first has just replaced.
GRACE = timedelta(seconds=10)
_COOKIE = re.compile(r"([0-9a-f]{32})\.([0-9a-f]{64})")
Verdict = Literal["good", "just replaced", "over", "reused"]


class Shown(NamedTuple):
    """What a cookie shows: which session, and the hash of its secret."""

    id: str
    hash: bytes


def begin(user: User, now: datetime) -> tuple[Session, str]:
    """A session of somebody, and its cookie."""
    id_ = secrets.token_hex(16)
    cookie, hash_ = renewed(id_)
    return Session(id_, user.id, hash_, now, now + LIFETIME), cookie


def renewed(id_: str) -> tuple[str, bytes]:
    """Another cookie for a session, and the hash of its secret: of 256 random bits, so one SHA-256 keeps it."""
    secret = secrets.token_hex(32)
    return f"{id_}.{secret}", _hash(secret)


def parse(cookie: str) -> Shown | None:
    """Reads a cookie; None for what is none."""
    match = _COOKIE.fullmatch(cookie)
    return Shown(match[1], _hash(match[2])) if match else None


def judge(session: Session, user: User, shown: Shown, now: datetime) -> Verdict:
    """What a cookie of that session is worth.

    Its id is known to nobody who never had its cookie or a JWT of it: any other secret is one that was replaced, and
    two hold the cookie, of whom one is a thief.
    """
    if session.revoked_at or session.expires_at <= now or user.disabled_at:
        return "over"
    if hmac.compare_digest(shown.hash, session.refresh_hash):
        return "good"
    replaced = session.previous_hash is not None and hmac.compare_digest(shown.hash, session.previous_hash)
    in_time = session.previous_until is not None and now < session.previous_until
    return "just replaced" if replaced and in_time else "reused"


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
