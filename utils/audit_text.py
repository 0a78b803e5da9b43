"""A line of the audit log: one JSON object, whatever its values hold."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime

from utils.token_text import hide

VALUE_LIMIT = 256  # characters


def audit_text(name: str, request_id: str | None, fields: Mapping[str, object]) -> str:
    """An event of now; names and keys are words of our code, never input."""
    at = f"{datetime.now(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    told = {"at": at, "event": name, "request_id": request_id, **fields}
    # ASCII alone: no reader takes U+2028 for the end of a line, and no terminal obeys what a name says.
    return json.dumps({key: _value(value) for key, value in told.items()}, ensure_ascii=True, allow_nan=False)


def _value(value: object) -> str | float | bool | None:
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = hide(str(value))
    return text if len(text) <= VALUE_LIMIT else f"{text[: VALUE_LIMIT - 1]}…"
