"""The field rules of the wire: names, metrics and counts; `model.times` has those of times.

The rules run in Pydantic's Rust core wherever they can: a report of 20 containers has 180 fields, and a Python function
per metric doubles the cost of the whole validation (`benchmarks/validation.py`).
"""

from typing import Annotated

from pydantic import BeforeValidator, Field, GetPydanticSchema, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

MAX_METRIC = 1e9
MAX_COUNT = 2**31 - 1
MAX_TOTAL = 2**53 - 1
MAX_AGE_S = 604_800

# What is said of a rule that was broken, by Pydantic's name of it; of all others, what Pydantic says.
MESSAGES = {
    "string_pattern_mismatch": "should have no control or bidirectional-override characters",
    "string_too_short": "should not be empty",
    "extra_forbidden": "is not known here",
    "model_type": "should be an object",
}

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

MAX_TAGS, MAX_TAG = 50, 64
_TAG_SCHEMA = {
    **_NAME_SCHEMA,
    "pattern": str(_NAME_SCHEMA["pattern"]).replace("253", f"{MAX_TAG - 2}"),
    "description": "1 to 64 characters after trimming; no control or bidirectional-override characters",
}
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TAG, pattern=_PLAIN),
    WithJsonSchema(_TAG_SCHEMA),
]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS)]

# Every text that matches is finite and within MAX_METRIC: at most nine digits before the point and no growing exponent,
# or one digit and at most 10^8, or the bound itself.
NUMERIC = (
    r"^[+-]?(([0-9]{1,9}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE]-[0-9]{1,3})?|[0-9](\.[0-9]{0,30})?[eE]\+?0{0,2}[0-8]"
    r"|1000000000(\.0{0,30})?|1(\.0{0,30})?[eE]\+?0{0,2}9)$"
)
WHOLE = r"^[+-]?[0-9]{1,16}(\.0{0,10})?$"


def _number(
    number: core_schema.CoreSchema,
    text: core_schema.CoreSchema,
    pattern: str,
    message: str,
    document: dict[str, object],
) -> GetPydanticSchema:
    """Number, numeric string or null, never a boolean: strict types first, for their lax twins take `true` as 1.

    `document` is what OpenAPI says of the number; a string and null are added.
    """
    string = core_schema.str_schema(strict=True, strip_whitespace=True, pattern=pattern)
    either = core_schema.union_schema(
        [number, core_schema.chain_schema([string, text])],
        mode="left_to_right",
        custom_error_type="number",
        custom_error_message=message,
    )
    schema = core_schema.nullable_schema(either)
    digits = {"type": "string", "pattern": NUMERIC if document["type"] == "number" else r"^[0-9]{1,9}$"}
    words = {"anyOf": [document, digits, {"type": "null"}]}
    return GetPydanticSchema(lambda _source, _handler: schema, lambda _schema, _handler: words)


Metric = Annotated[
    float | None,
    _number(
        core_schema.float_schema(strict=True, allow_inf_nan=False, ge=-MAX_METRIC, le=MAX_METRIC),
        core_schema.float_schema(allow_inf_nan=False),
        NUMERIC,
        "should be a finite number, or a numeric string, of at most 1e9 in absolute value",
        {"type": "number", "minimum": -MAX_METRIC, "maximum": MAX_METRIC},
    ),
]


def _whole(lowest: int, highest: int) -> GetPydanticSchema:
    """A whole number: a strict float takes 16 and 16.0 but no boolean, and is exact up to 2^53."""
    number = core_schema.float_schema(strict=True, ge=lowest, le=highest)
    return _number(
        core_schema.chain_schema([number, core_schema.int_schema()]),
        core_schema.int_schema(ge=lowest, le=highest),
        WHOLE,
        f"should be a whole number from {lowest} to {highest}",
        {"type": "integer", "minimum": lowest, "maximum": highest},
    )


Count = Annotated[int | None, _whole(0, MAX_COUNT)]
# Bytes and seconds that are counted for years.
Total = Annotated[int | None, _whole(0, MAX_TOTAL)]
# Linux gives 0 to 255, Windows any 32 bits, with or without a sign.
ExitCode = Annotated[int | None, _whole(-(2**31), 2**32 - 1)]


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
