"""What is kept of refused reports until it is in the database."""

from collections import deque
from collections.abc import Mapping

from pydantic_core import from_json

from database.quarantine import MAX_BODY, Refused
from model.envelope import Code

# An agent sends again what is refused for another reason than these.
FOR_GOOD = frozenset({Code.BAD_JSON, Code.VALIDATION, Code.KEY_MISMATCH, Code.FORBIDDEN})
WAITING = 100


class Quarantine:
    """The last reports that were refused: of a flood those that came last."""

    def __init__(self) -> None:
        self._waiting: deque[Refused] = deque(maxlen=WAITING)

    def put(self, refused: Refused) -> None:
        """Keeps a report until it is written."""
        self._waiting.append(refused)

    def take(self) -> list[Refused]:
        """What waits to be written, the oldest first."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken


def fitting(raw: bytes) -> bytes | None:
    """A body that is kept whole, or not at all: half of one cannot be replayed."""
    return raw if len(raw) <= MAX_BODY else None


def name_in(raw: bytes) -> str | None:
    """The host's name in a body that may be anything; None if none can be found."""
    try:
        body = from_json(raw)
    except ValueError:
        return None
    host = body.get("host", body) if isinstance(body, Mapping) else None
    name = host.get("host_name", host.get("node_name")) if isinstance(host, Mapping) else None
    return "".join(letter for letter in name if letter.isprintable())[:255] if isinstance(name, str) else None
