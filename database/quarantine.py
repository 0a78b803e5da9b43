"""Reports that were refused. Connection in, rows out; nothing here commits."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from database.rows import Record
from model.models import quarantine

KEPT = 500
MAX_BODY = 65_535
_Q = quarantine.c
_SHOWN = [column for column in quarantine.c if column.name != "body"]


@dataclass(frozen=True, slots=True)
class Refused:
    """A report that was refused for good, as it was sent but inflated; without its body if that was larger."""

    received_at: datetime
    path: str
    host_name: str | None
    address: str
    token_id: str | None
    code: str
    message: str
    size: int
    body: bytes | None


def keep(connection: Connection, refused: Sequence[Refused]) -> None:
    """Stores them, and removes what is older than the newest 500."""
    connection.execute(insert(quarantine), [asdict(one) for one in refused])
    oldest = connection.scalar(select(_Q.id).order_by(_Q.id.desc()).offset(KEPT - 1).limit(1))
    if oldest is not None:
        connection.execute(delete(quarantine).where(_Q.id < oldest))


def listed(connection: Connection) -> Sequence[Record]:
    """All of them, the newest first, without their bodies."""
    return connection.execute(select(*_SHOWN, _Q.body.is_not(None).label("whole")).order_by(_Q.id.desc())).all()


def get(connection: Connection, id_: int) -> Record | None:
    """One with its body."""
    return connection.execute(select(quarantine).where(_Q.id == id_)).one_or_none()


def replayed(connection: Connection, id_: int, now: datetime) -> None:
    """Notes that a report was stored after all."""
    connection.execute(update(quarantine).where(_Q.id == id_).values(replayed_at=now))
