"""The field rules of the wire: names, metrics, counts and the agents' own times.

The rules run in Pydantic's Rust core wherever they can: a report of 20 containers has 180 fields, and a Python function
per metric doubles the cost of the whole validation (`benchmarks/validation.py`).
"""

import re
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetPydanticSchema,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, core_schema
from pydantic_core.core_schema import ValidationInfo

from utils.utils import to_zone

MAX_METRIC = 1e9
MAX_COUNT = 2**31 - 1
MAX_AGE_S = 604_800

# Refused in every text: C0, DEL, C1, line and paragraph separators, bidirectional overrides and isolates.
_CONTROL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
# What follows the first letter; surrounding white space is trimmed, so no maxLength says the same.
_REST = rf"([^{_CONTROL}]{{0,253}}[^{_CONTROL}\s])?"
_NAME_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "pattern": rf"^[\t\n\r ]*[^{_CONTROL}\s]{_REST}[\t\n\r ]*$",
    "description": "1 to 255 characters after trimming; no control or bidirectional-override characters",
}
_WORD_SCHEMA = {**_NAME_SCHEMA, "minLength": 0, "pattern": rf"^[\t\n\r ]*([^{_CONTROL}\s]{_REST})?[\t\n\r ]*$"}
_PLAIN = rf"^[^{_CONTROL}]*$"

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=_PLAIN),
    WithJsonSchema(_NAME_SCHEMA),
]
Word = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=255, pattern=_PLAIN), WithJsonSchema(_WORD_SCHEMA)
]

# Every text that matches is finite and within MAX_METRIC: at most nine digits before the point and no growing exponent,
# or one digit and at most 10^8, or the bound itself.
NUMERIC = (
    r"^[+-]?(([0-9]{1,9}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE]-[0-9]{1,3})?|[0-9](\.[0-9]{0,30})?[eE]\+?0{0,2}[0-8]"
    r"|1000000000(\.0{0,30})?|1(\.0{0,30})?[eE]\+?0{0,2}9)$"
)
WHOLE = r"^\+?[0-9]{1,10}(\.0{0,10})?$"


def _number(
    number: core_schema.CoreSchema, text: core_schema.CoreSchema, pattern: str, message: str
) -> GetPydanticSchema:
    """Number, numeric string or null, never a boolean: strict types first, for their lax twins take `true` as 1."""
    string = core_schema.str_schema(strict=True, strip_whitespace=True, pattern=pattern)
    either = core_schema.union_schema(
        [number, core_schema.chain_schema([string, text])],
        mode="left_to_right",
        custom_error_type="number",
        custom_error_message=message,
    )
    schema = core_schema.nullable_schema(either)
    return GetPydanticSchema(lambda _source, _handler: schema)


Metric = Annotated[
    float | None,
    _number(
        core_schema.float_schema(strict=True, allow_inf_nan=False, ge=-MAX_METRIC, le=MAX_METRIC),
        core_schema.float_schema(allow_inf_nan=False),
        NUMERIC,
        "should be a finite number, or a numeric string, of at most 1e9 in absolute value",
    ),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": -MAX_METRIC, "maximum": MAX_METRIC},
                {"type": "string", "pattern": NUMERIC},
                {"type": "null"},
            ]
        }
    ),
]

# A float of up to 2^31 is exact, and a strict one takes 16 and 16.0 but no boolean.
_COUNT_FLOAT = core_schema.float_schema(strict=True, allow_inf_nan=False, ge=0, le=MAX_COUNT)

Count = Annotated[
    int | None,
    _number(
        core_schema.chain_schema([_COUNT_FLOAT, core_schema.int_schema()]),
        core_schema.int_schema(ge=0, le=MAX_COUNT),
        WHOLE,
        "should be a whole number from 0 to 2147483647",
    ),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_COUNT},
                {"type": "string", "pattern": r"^[0-9]{1,9}$"},
                {"type": "null"},
            ]
        }
    ),
]


def _no_boolean(value: object) -> object:
    """Refuses `true` where a number is meant, which lax mode would take as 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number", "should be a number, not a boolean")
    return value


Age = Annotated[
    float,
    BeforeValidator(_no_boolean),
    Field(ge=0, le=MAX_AGE_S, allow_inf_nan=False),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": MAX_AGE_S, "default": 0}),
]

_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])(?:[.,][0-9]+)?"
    r"(Z|z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?"
)
FIRST, LAST = datetime(2000, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - agents' times are naive by contract
_TIME_MESSAGE = "should be YYYY-MM-DD HH:MM:SS or ISO 8601, from 2000-01-01 to 2100-01-01"


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
