"""How a token comes to be, and what of it is shown."""

from datetime import datetime, timedelta
from typing import NamedTuple

from database.tokens import Token
from model.tokens import TokenIn
from utils.token_text import mint
from utils.utils import utc_text


class Issued(NamedTuple):
    """A new token, and its text, which is kept nowhere."""

    token: Token
    text: str


def issue(asked: TokenIn, now: datetime) -> Issued:
    """Makes the token that is asked for."""
    minted, days = mint(), asked.expires_in_days
    token = Token(
        id=minted.id,
        name=asked.name,
        scope=asked.scope,
        binding=asked.binding or ("host" if asked.scope == "ingest" else None),
        host_name=asked.host_name,
        secret_hash=minted.hash,
        created_at=now,
        expires_at=now + timedelta(days=days) if days else None,
    )
    return Issued(token, minted.text)


def known(token: Token) -> dict[str, object]:
    """What the audit log tells of a token."""
    return {
        "token": token.id,
        "token_name": token.name,
        "scope": token.scope,
        "binding": token.binding,
        "host": token.host_name,
    }


def described(token: Token, now: datetime) -> dict[str, object]:
    """A token as it travels; without any hash."""
    expired = token.expires_at is not None and token.expires_at <= now
    moments = ("created_at", "expires_at", "revoked_at", "last_used", "previous_until", "previous_used")
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope,
        "binding": token.binding,
        "host_name": token.host_name,
        "status": "revoked" if token.revoked_at else "expired" if expired else "active",
        **{name: utc_text(getattr(token, name)) for name in moments},
    }
