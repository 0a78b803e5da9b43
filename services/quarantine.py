"""What is kept of refused reports until it is in the database."""

from collections import deque
from collections.abc import Mapping, Sequence

from pydantic_core import from_json

from database.quarantine import MAX_BODY, Refused
from model.envelope import Code
from utils.token_text import hide

# What is refused for another reason than these is refused for the moment only. Of these an agent keeps and sends again
# what is FORBIDDEN: until its token was mended, if it ever is.
KEPT = frozenset({Code.BAD_JSON, Code.VALIDATION, Code.KEY_MISMATCH, Code.FORBIDDEN})
WAITING = 100
MAX_KEY = 255


class Quarantine:
    """The last reports that were refused: of a flood those that came last."""

    def __init__(self) -> None:
        self._waiting: deque[Refused] = deque(maxlen=WAITING)
        self.dropped = 0  # not kept and not told yet: more came at once than wait

    def put(self, refused: Refused) -> None:
        """Keeps a report until it is written."""
        self.dropped += len(self._waiting) == WAITING
        self._waiting.append(refused)

    def take(self) -> list[Refused]:
        """What waits to be written, the oldest first."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def put_back(self, taken: Sequence[Refused]) -> None:
        """What could not be written waits again, before what came meanwhile."""
        waiting = [*taken, *self._waiting]
        self.dropped += max(0, len(waiting) - WAITING)
        self._waiting = deque(waiting, maxlen=WAITING)

    def take_dropped(self) -> int:
        """How many were dropped since this was asked last."""
        dropped, self.dropped = self.dropped, 0
        return dropped


def fitting(raw: bytes) -> bytes | None:
    """A body that is kept whole, or not at all: half of one cannot be replayed."""
    return raw if len(raw) <= MAX_BODY else None


def is_key(key: str) -> bool:
    """Whether a report may be named so."""
    return 1 <= len(key) <= MAX_KEY and all("!" <= letter <= "~" for letter in key)


def key_in(item: object) -> str | None:
    """The key in an item of a batch that may be anything; None if none can be found."""
    key = item.get("idempotency_key") if isinstance(item, Mapping) else None
    return key if isinstance(key, str) and is_key(key) else None


def name_in(raw: bytes) -> str | None:
    """The host's name in a body that may be anything, without a secret put in its place; None if none can be found."""
    try:
        body = from_json(raw)
    except ValueError:
        return None
    host = body.get("host", body) if isinstance(body, Mapping) else None
    name = host.get("host_name", host.get("node_name")) if isinstance(host, Mapping) else None
    return hide("".join(letter for letter in name if letter.isprintable()))[:255] if isinstance(name, str) else None
