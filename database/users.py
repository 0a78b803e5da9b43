"""The people who may sign in. Connection in, rows out; nothing here commits."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from database.revisions import changed
from model.models import sessions, users


@dataclass(frozen=True, slots=True)
class User:
    """Somebody as stored; moments are naive UTC."""

    id: int
    name: str
    password_hash: str
    role: str
    created_at: datetime
    disabled_at: datetime | None = None


COLUMNS = [users.c[name] for name in User.__dataclass_fields__]


def find(connection: Connection, name: str) -> User | None:
    """Whoever has that name."""
    row = connection.execute(select(*COLUMNS).where(users.c.name == name)).first()
    return User(*row) if row else None


def listed(connection: Connection) -> list[User]:
    """Everybody, by name."""
    return [User(*row) for row in connection.execute(select(*COLUMNS).order_by(users.c.name))]


def disabled(connection: Connection) -> frozenset[int]:
    """Who may not sign in."""
    return frozenset(connection.execute(select(users.c.id).where(users.c.disabled_at.is_not(None))).scalars())


def create(connection: Connection, name: str, password_hash: str, role: str, now: datetime) -> None:
    """Stores somebody new."""
    changed(connection)
    connection.execute(insert(users).values(name=name, password_hash=password_hash, role=role, created_at=now))


def change(connection: Connection, name: str, now: datetime, **values: object) -> bool:
    """Changes somebody, and signs them out everywhere. False if there is nobody of that name."""
    changed(connection)
    found = connection.execute(update(users).where(users.c.name == name).values(values)).rowcount > 0
    theirs = select(users.c.id).where(users.c.name == name).scalar_subquery()
    living = (sessions.c.user_id == theirs, sessions.c.revoked_at.is_(None))
    connection.execute(update(sessions).where(*living).values(revoked_at=now))
    return found
