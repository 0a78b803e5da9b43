"""Tells whoever is on call that a host fell silent or is back: one POST each to `[monitoring] webhook_url`."""

import json
import urllib.error
import urllib.request
from datetime import timedelta
from http.client import HTTPException
from typing import Any

from database.presence import Call
from model.history import DARK
from utils.utils import utc_text

TIMEOUT_S = 10.0
# Nobody on call needs to hear of what is older.
GIVEN_UP_AFTER = timedelta(days=1)
# After a failure the next attempt waits so long, doubled each time up to the second.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 300.0


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET and lead elsewhere: it is a refusal."""

    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401 - the library's own arguments
        return None


def body(call: Call) -> bytes:
    """JSON; `text` is what chat services show, `id` is the same however often a call is repeated."""
    at = utc_text(call.at)
    said = f"no report since {json.loads(call.details)['last_seen']}" if call.details else "no report"
    text = f"{call.host_name} is silent: {said}" if call.kind == DARK else f"{call.host_name} is back"
    told = {"id": f"{call.host_id}-{call.kind}-{at}", "kind": call.kind, "host_id": call.host_id}
    return json.dumps({"text": text, **told, "host_name": call.host_name, "at": at}).encode()


def post(url: str, content: bytes) -> str | None:
    """Gives None if the other side took it, else why not; never the URL or what was answered: both may be secrets."""
    headers = {"Content-Type": "application/json", "User-Agent": "resource-monitor-server"}
    try:
        request = urllib.request.Request(url, content, headers)  # noqa: S310 - the settings take http and https only
        with urllib.request.build_opener(_Stay).open(request, timeout=TIMEOUT_S) as answer:
            return None if answer.status < 300 else f"status {answer.status}"  # noqa: PLR2004 - HTTP's own
    except urllib.error.HTTPError as error:
        error.close()
        return f"status {error.code}"
    except (OSError, ValueError, HTTPException) as error:
        return type(error).__name__


def is_final(refusal: str) -> bool:
    """Whether a call that was refused so would be refused again, and must not keep the next ones waiting."""
    return refusal.startswith("status 4") and refusal not in ("status 408", "status 429")


class Pauses:
    """How long to wait after failures."""

    def __init__(self) -> None:
        self._pause_s, self._until = 0.0, 0.0

    def over(self, monotonic_s: float) -> bool:
        """Whether the next attempt may be made."""
        return monotonic_s >= self._until

    def note(self, monotonic_s: float, *, failed: bool) -> None:
        """What became of an attempt."""
        self._pause_s = min(max(2 * self._pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S) if failed else 0.0
        self._until = monotonic_s + self._pause_s
