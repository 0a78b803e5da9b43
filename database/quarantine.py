"""Reports that were refused. Connection in, rows out; nothing here commits."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from database.rows import Record
from model.envelope import Code
from model.models import quarantine

KEPT = 500
MAX_BODY = 65_535
_Q = quarantine.c
# What names a report that is sent again. A key that is another report's names none.
_NAMED = [_Q.host_name, _Q.token_id, _Q.code, _Q.idempotency_key]
_SHOWN = [column for column in quarantine.c if column.name != "body"]


@dataclass(frozen=True, slots=True)
class Refused:
    """A report that was refused, as it was sent but inflated; without its body if that was larger."""

    received_at: datetime
    path: str
    host_name: str | None
    address: str
    token_id: str | None
    code: str
    message: str
    size: int
    body: bytes | None
    idempotency_key: str | None = None


def keep(connection: Connection, refused: Sequence[Refused]) -> None:
    """Stores them, each once however often it was sent, and removes what is older than the newest 500."""
    new = _new(connection, refused)
    if not new:
        return
    connection.execute(insert(quarantine), [asdict(one) for one in new])
    oldest = connection.scalar(select(_Q.id).order_by(_Q.id.desc()).offset(KEPT - 1).limit(1))
    if oldest is not None:
        connection.execute(delete(quarantine).where(_Q.id < oldest))


def _new(connection: Connection, refused: Sequence[Refused]) -> list[Refused]:
    """Those that are not kept yet. What is sent again may differ in its age, so that the key alone tells."""
    keys = sorted({one.idempotency_key for one in refused if one.idempotency_key})
    kept = connection.execute(select(*_NAMED).where(_Q.idempotency_key.in_(keys))).all() if keys else []
    known, new = {tuple(row) for row in kept}, []
    for one in refused:
        name = tuple(getattr(one, column.name) for column in _NAMED)
        if name not in known or None in (one.idempotency_key, one.host_name) or one.code == Code.KEY_MISMATCH:
            new.append(one)
        known.add(name)
    return new


def listed(connection: Connection) -> Sequence[Record]:
    """All of them, the newest first, without their bodies."""
    return connection.execute(select(*_SHOWN, _Q.body.is_not(None).label("whole")).order_by(_Q.id.desc())).all()


def get(connection: Connection, id_: int) -> Record | None:
    """One with its body."""
    return connection.execute(select(quarantine).where(_Q.id == id_)).one_or_none()


def replayed(connection: Connection, id_: int, now: datetime) -> None:
    """Notes that a report was stored after all."""
    connection.execute(update(quarantine).where(_Q.id == id_).values(replayed_at=now))
