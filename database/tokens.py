"""The tokens. Connection in, rows out; nothing here commits."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, insert, or_, select, update

from database.revisions import changed
from model.models import tokens


@dataclass(frozen=True, slots=True)
class Token:
    """One token as it is stored; moments are naive UTC.

    `binding` of the scope `ingest`: `host` (host_name is the one it may report for), `pattern` (host_name is one, as
    `web-*`), or `first` (host_name is the first host's that used it, None until then).
    """

    id: str
    name: str
    scope: str
    binding: str | None
    host_name: str | None
    secret_hash: bytes
    created_at: datetime
    expires_at: datetime | None = None
    previous_hash: bytes | None = None
    previous_until: datetime | None = None
    revoked_at: datetime | None = None
    last_used: datetime | None = None
    previous_used: datetime | None = None


_COLUMNS = [tokens.c[name] for name in Token.__dataclass_fields__]


def listed(connection: Connection) -> list[Token]:
    """Every token, the newest first."""
    rows = connection.execute(select(*_COLUMNS).order_by(tokens.c.created_at.desc(), tokens.c.id))
    return [Token(*row) for row in rows]


def valid(connection: Connection, now: datetime) -> list[Token]:
    """The tokens that are neither revoked nor past their time."""
    return [Token(*row) for row in connection.execute(select(*_COLUMNS).where(*_valid(now)))]


def create(connection: Connection, token: Token) -> None:
    """Stores a new token."""
    changed(connection)
    connection.execute(insert(tokens).values({name: getattr(token, name) for name in Token.__dataclass_fields__}))


def rotate(connection: Connection, id_: str, secret_hash: bytes, until: datetime) -> Token | None:
    """Gives a token another secret; the one that it had is good until then. None if there is no such token."""
    changed(connection)
    old = {"previous_hash": tokens.c.secret_hash, "previous_until": until, "previous_used": tokens.c.last_used}
    # Alone, for MySQL would give previous_hash the secret that the same statement has just stored.
    kept = connection.execute(update(tokens).where(*_living(id_)).values(old))
    connection.execute(update(tokens).where(*_living(id_)).values(secret_hash=secret_hash, last_used=None))
    return _one(connection, id_) if kept.rowcount else None


def revoke(connection: Connection, id_: str, now: datetime) -> Token | None:
    """Ends a token for ever, and gives it. None if there is no such token, or no more."""
    changed(connection)
    ended = connection.execute(update(tokens).where(*_living(id_)).values(revoked_at=now))
    return _one(connection, id_) if ended.rowcount else None


def bind(connection: Connection, id_: str, host_name: str, now: datetime) -> str | None:
    """Binds a token to the first host that uses it, and gives the host that it is bound to: another was faster.

    None: it was revoked, or the host is another token's.
    """
    changed(connection)  # until the COMMIT nobody else binds or makes one
    others = select(tokens.c.id).where(tokens.c.id != id_, tokens.c.host_name == host_name, *_valid(now))
    if connection.execute(others.where(tokens.c.binding.in_(("host", "first"))).limit(1)).first() is None:
        unbound = (*_living(id_), tokens.c.host_name.is_(None))
        connection.execute(update(tokens).where(*unbound).values(host_name=host_name))
    return connection.execute(select(tokens.c.host_name).where(*_living(id_))).scalar()


def used(connection: Connection, ids: Iterable[str], previous: Iterable[str], now: datetime) -> None:
    """Notes which tokens were used of late: by their secret, and by the one before it."""
    for column, named in ((tokens.c.last_used, sorted(ids)), (tokens.c.previous_used, sorted(previous))):
        if named:
            connection.execute(update(tokens).where(tokens.c.id.in_(named)).values({column: now}))


def _one(connection: Connection, id_: str) -> Token:
    return Token(*connection.execute(select(*_COLUMNS).where(tokens.c.id == id_)).one())


def _valid(now: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return tokens.c.revoked_at.is_(None), or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now)


def _living(id_: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return tokens.c.id == id_, tokens.c.revoked_at.is_(None)
