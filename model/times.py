"""The rules of the times on the wire: the agents' own, by clocks that may be wrong, and the engines'."""

import re
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator, GetCoreSchemaHandler, GetPydanticSchema, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema
from pydantic_core.core_schema import ValidationInfo

from utils.utils import to_zone

_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])(?:[.,][0-9]+)?"
    r"(Z|z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?"
)
FIRST, LAST = datetime(2000, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - agents' times are naive by contract
_TIME_MESSAGE: Final = "should be YYYY-MM-DD HH:MM:SS or ISO 8601, from 2000-01-01 to 2100-01-01"


@lru_cache(maxsize=8192)
def local_time(text: str, zone: tzinfo | None) -> str | None:
    """Gives an agent's time as `YYYY-MM-DD HH:MM:SS`, an offset converted to the zone; None if it is not one.

    Fractions are dropped, for MySQL would round them and MariaDB cut them. Cached: a report's containers share a time.
    """
    found = _TIME.fullmatch(text)
    if not found:
        return None
    try:
        at = datetime.fromisoformat(f"{found[1]} {found[2]}{(found[3] or '').upper()}")
        local = to_zone(at.astimezone(UTC).replace(tzinfo=None), zone) if at.tzinfo else at
    except (ValueError, OverflowError, OSError):  # February 30th; year 0 or 10000 after the conversion, on Windows 3001
        return None
    return local.isoformat(" ") if FIRST <= local <= LAST else None


def _agent_time(text: str, info: ValidationInfo) -> str:
    local = local_time(text.strip(), (info.context or {}).get("zone"))
    if local is None:
        raise ValueError  # the union around it says what is wrong
    return local


# What needs no change: a time of the agents' own form, on a day that every such month has.
_PLAIN_TIME = (
    r"^20[0-9]{2}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
    r" ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$"
)


def _time_schema(_source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
    """Most times match in Rust; Python sees only the others."""
    plain = core_schema.str_schema(strict=True, pattern=_PLAIN_TIME)
    other = handler(Annotated[str, AfterValidator(_agent_time)])
    return core_schema.union_schema(
        [plain, other], mode="left_to_right", custom_error_type="time", custom_error_message=_TIME_MESSAGE
    )


AgentTime = Annotated[
    str,
    GetPydanticSchema(_time_schema),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
            r"(\.[0-9]{1,9})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?$",
            "description": "what the agent measured by its own clock; an offset is converted to the server's zone",
        }
    ),
]


# What an engine says of a container that was never started.
_NEVER = "0001-01-01"
_FRACTION = re.compile(r"[.,]([0-9]{1,6})[0-9]*")


@lru_cache(maxsize=8192)
def utc_moment(text: str) -> str | None:
    """Gives an engine's time as `YYYY-MM-DD HH:MM:SS.ffffff`, UTC, as it also is without an offset; None if it is none.

    Engines write nanoseconds, of which microseconds are kept. Cached: a container starts once and is reported often.
    """
    second, fraction = local_time(text, UTC), _FRACTION.search(text)
    return second and f"{second}.{fraction[1] if fraction else '':0<6}"


def _engine_time(text: str | None) -> str | None:
    text = (text or "").strip()
    if not text or text.startswith(_NEVER):
        return None
    at = utc_moment(text)
    if at is None:
        raise PydanticCustomError("time", _TIME_MESSAGE)
    return at


EngineTime = Annotated[
    str | None,
    AfterValidator(_engine_time),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "string",
                    "pattern": r"^(20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
                    r"T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z)?$",
                },
                {"type": "null"},
            ],
            "description": "when the engine started it; UTC unless it has another offset",
        }
    ),
]
