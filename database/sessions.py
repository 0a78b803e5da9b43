"""Where people are signed in. Connection in, rows out; nothing here commits."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, or_, select, update

from database.revisions import changed
from database.users import COLUMNS, User
from model.models import sessions, users

# How long a session that is over is kept: every process has to have heard that it was revoked.
KEPT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Session:
    """One session as stored; moments are naive UTC."""

    id: str
    user_id: int
    refresh_hash: bytes
    created_at: datetime
    expires_at: datetime
    previous_hash: bytes | None = None
    previous_until: datetime | None = None
    revoked_at: datetime | None = None


_FIELDS = tuple(Session.__dataclass_fields__)


def begin(connection: Connection, session: Session, user: User, password_hash: str | None = None) -> bool:
    """Signs somebody in, unless password, role or leave were changed since `user` was read.

    `password_hash`: the same password, hashed anew. Sessions that are long over go.
    """
    same = [users.c[name] == getattr(user, name) for name in ("id", "password_hash", "role")]
    same.append(users.c.disabled_at.is_(None))
    if connection.execute(select(users.c.id).where(*same).with_for_update()).first() is None:
        return False
    if password_hash:
        connection.execute(update(users).where(users.c.id == user.id).values(password_hash=password_hash))
    before = session.created_at - KEPT
    over = or_(sessions.c.expires_at < before, sessions.c.revoked_at < before)
    connection.execute(delete(sessions).where(sessions.c.user_id == user.id, over))
    connection.execute(insert(sessions).values({name: getattr(session, name) for name in _FIELDS}))
    return True


def find(connection: Connection, id_: str) -> tuple[Session, User] | None:
    """A session and whose it is."""
    columns = [*(sessions.c[name] for name in _FIELDS), *COLUMNS]
    query = select(*columns).join(users, users.c.id == sessions.c.user_id).where(sessions.c.id == id_)
    row = connection.execute(query).first()
    return (Session(*row[: len(_FIELDS)]), User(*row[len(_FIELDS) :])) if row else None


def rotate(connection: Connection, id_: str, given: bytes, new: bytes, until: datetime) -> bool:
    """Gives a session another secret, if it has the given one still; that one is good until then."""
    kept = {"refresh_hash": new, "previous_hash": given, "previous_until": until}
    living = (sessions.c.id == id_, sessions.c.refresh_hash == given, sessions.c.revoked_at.is_(None))
    return connection.execute(update(sessions).where(*living).values(kept)).rowcount > 0


def revoke(connection: Connection, id_: str, now: datetime) -> bool:
    """Ends a session for ever. False if there is no such session, or no more."""
    changed(connection)
    living = (sessions.c.id == id_, sessions.c.revoked_at.is_(None))
    return connection.execute(update(sessions).where(*living).values(revoked_at=now)).rowcount > 0


def ended(connection: Connection, since: datetime) -> frozenset[str]:
    """The sessions that were revoked since then."""
    return frozenset(connection.execute(select(sessions.c.id).where(sessions.c.revoked_at >= since)).scalars())
