"""What happened to containers between two reports of a host that follow each other: values in, changes out."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from database.rows import RUNNING
from database.series import Name
from model.history import APPEARED, IMAGE, RESTARTED, STATUS, VANISHED


class Life(NamedTuple):
    """What a report tells of a container's life; only some agents tell more than its status."""

    status: str
    image: str | None
    started_at: datetime | None
    restart_count: int | None


# The containers of one report.
State = dict[Name, Life]
# A container that says so has ended; if it says "running" next, it was started again.
_ENDED = frozenset({"exited", "dead", "stopped", "restarting"})


class Change(NamedTuple):
    """What happened to a container."""

    kind: str
    name: Name
    from_value: str | None
    to_value: str | None
    details: str | None = None


def changes(before: State, after: State) -> Iterator[Change]:
    """What happened between two reports that follow each other."""
    for name in before.keys() - after.keys():
        yield Change(VANISHED, name, before[name].status, None)
    for name, life in after.items():
        if name not in before:
            yield Change(APPEARED, name, None, life.status)
        elif life != before[name]:
            yield from _changes_of(name, before[name], life)


def _changes_of(name: Name, before: Life, after: Life) -> Iterator[Change]:
    if before.status != after.status:
        yield Change(STATUS, name, before.status, after.status)
    if before.image and after.image and before.image != after.image:
        yield Change(IMAGE, name, before.image, after.image)
    yield from _restart(name, before, after)


def _restart(name: Name, before: Life, after: Life) -> Iterator[Change]:
    by = _restarted_by(before, after)
    if by:
        from_value, to_value = (_text(getattr(life, by)) for life in (before, after))
        yield Change(RESTARTED, name, from_value, to_value, json.dumps({"by": by}))


def _restarted_by(before: Life, after: Life) -> str | None:
    """By the start that the engine tells, else by its count of restarts, else by what the status was."""
    if before.started_at and after.started_at:
        return "started_at" if before.started_at != after.started_at else None
    if before.restart_count is not None and after.restart_count is not None:
        return "restart_count" if before.restart_count < after.restart_count else None
    return "status" if before.status in _ENDED and after.status == RUNNING else None


def _text(value: object) -> str:
    return f"{value.isoformat()}Z" if isinstance(value, datetime) else str(value)
