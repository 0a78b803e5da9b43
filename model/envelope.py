"""The one shape of every JSON answer, and the codes it may carry."""

import math
from enum import StrEnum
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, Field
from pydantic_core import to_json

T = TypeVar("T")
MAX_MESSAGE = 512


class Code(StrEnum):
    """What `resultCode` may say.

    | code | HTTP | an agent should |
    |---|---|---|
    | 0 | 200 | drop the report: it is committed |
    | PARTIAL | 207 | look at each result of the batch |
    | BAD_JSON, BAD_REQUEST | 400 | not retry |
    | UNAUTHORIZED, FORBIDDEN | 401, 403 | keep the report and retry, with growing pauses, until its token was mended |
    | NOT_FOUND, METHOD_NOT_ALLOWED, HEADERS_TOO_LARGE | 404, 405, 431 | the same, until its address or headers were |
    | TIMEOUT | 408 | retry |
    | TOO_LARGE, UNSUPPORTED | 413, 415 | not retry |
    | VALIDATION, KEY_MISMATCH | 422 | not retry |
    | RATE_LIMITED | 429 | retry after Retry-After |
    | INTERNAL | 500 | retry |
    | OVERLOADED, DB_UNAVAILABLE, COMMIT_UNKNOWN, STORAGE_FULL | 503 | retry the same report and key |
    | NOT_CONFIGURED | 503 | not ask: people cannot sign in before the operator has set what it takes |
    """

    OK = "0"
    PARTIAL = "PARTIAL"
    BAD_JSON = "BAD_JSON"
    BAD_REQUEST = "BAD_REQUEST"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    TIMEOUT = "TIMEOUT"
    TOO_LARGE = "TOO_LARGE"
    UNSUPPORTED = "UNSUPPORTED"
    HEADERS_TOO_LARGE = "HEADERS_TOO_LARGE"
    VALIDATION = "VALIDATION"
    KEY_MISMATCH = "KEY_MISMATCH"
    RATE_LIMITED = "RATE_LIMITED"
    INTERNAL = "INTERNAL"
    OVERLOADED = "OVERLOADED"
    DB_UNAVAILABLE = "DB_UNAVAILABLE"
    COMMIT_UNKNOWN = "COMMIT_UNKNOWN"
    STORAGE_FULL = "STORAGE_FULL"
    NOT_CONFIGURED = "NOT_CONFIGURED"


STATUS = {
    Code.OK: 200,
    Code.PARTIAL: 207,
    Code.BAD_JSON: 400,
    Code.BAD_REQUEST: 400,
    Code.UNAUTHORIZED: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.TIMEOUT: 408,
    Code.TOO_LARGE: 413,
    Code.UNSUPPORTED: 415,
    Code.HEADERS_TOO_LARGE: 431,
    Code.VALIDATION: 422,
    Code.KEY_MISMATCH: 422,
    Code.RATE_LIMITED: 429,
    Code.INTERNAL: 500,
    Code.OVERLOADED: 503,
    Code.DB_UNAVAILABLE: 503,
    Code.COMMIT_UNKNOWN: 503,
    Code.STORAGE_FULL: 503,
    Code.NOT_CONFIGURED: 503,
}


class Failure(Exception):
    """An answer other than success: knows its code, its words for a person, its data and its headers."""

    def __init__(self, code: Code, message: str, *, data: object = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.headers = headers or {}

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return STATUS[self.code]


def unavailable(message: str = "the database is not available; try again", code: Code = Code.DB_UNAVAILABLE) -> Failure:
    """What cannot be done now but may be soon: 503 with the moment to try again."""
    return Failure(code, message, headers={"Retry-After": "2"})


def too_often(message: str, wait_s: float) -> Failure:
    """What is over a client's own limit: 429 with the moment to try again."""
    return Failure(Code.RATE_LIMITED, message, headers={"Retry-After": str(max(1, math.ceil(wait_s)))})


class Envelope(BaseModel, Generic[T]):
    """Every JSON answer, good or bad."""

    success: bool = Field(description="true exactly when resultCode is 0")
    resultCode: str = Field(description="0, or what went wrong", examples=["0"])  # noqa: N815 - the owner's wire name
    resultMessage: str = Field(description="a sentence for a person", max_length=MAX_MESSAGE)  # noqa: N815 - same
    data: T


class FieldError(BaseModel):
    """One rule that one field broke."""

    loc: list[str | int] = Field(description="the way to the field", examples=[["host", "cpu_percentage"]])
    type: str = Field(description="the rule's name", examples=["number"])
    message: str = Field(description="what would be right")


class Errors(BaseModel):
    """What a refusal tells about the fields: at most ten of them."""

    errors: list[FieldError] = Field(max_length=10)


class Refused(BaseModel):
    """The envelope of everything but success."""

    success: Literal[False]
    resultCode: Code = Field(examples=["VALIDATION"])  # noqa: N815 - the owner's wire name
    resultMessage: str = Field(max_length=MAX_MESSAGE)  # noqa: N815 - same
    data: Errors | None


def ok(data: object, message: str = "", beside: dict[str, object] | None = None) -> bytes:
    """Builds the body of a success; `beside`: what another standard wants to find at its top."""
    body = {"success": True, "resultCode": "0", "resultMessage": message[:MAX_MESSAGE], "data": data}
    return to_json({**body, **(beside or {})})


def failed(code: Code, message: str, data: object = None) -> bytes:
    """Builds the body of anything else."""
    return to_json({"success": False, "resultCode": code, "resultMessage": message[:MAX_MESSAGE], "data": data})
