"""What every JSON answer must be: an envelope as the OpenAPI document describes it for its route and status."""

from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from main import app
from model.envelope import MAX_MESSAGE, STATUS, Code

# What a message for a person never holds: a traceback, SQL, a path or a library's name.
LEAKS = ("Traceback", "SELECT", "INSERT", "/", "sqlalchemy", "pymysql", "pydantic", "starlette", "\n")
Operation = tuple[str, str]


@cache
def document() -> dict[str, Any]:
    made: dict[str, Any] = app.openapi()
    return made


@cache
def operations() -> list[Operation]:
    """Every documented method and path."""
    return [(method.upper(), path) for path, methods in document()["paths"].items() for method in methods]


@cache
def _validator(operation: Operation, status: int) -> jsonschema_rs.Draft202012Validator:
    method, path = operation
    responses = document()["paths"][path][method.lower()]["responses"]
    assert str(status) in responses, f"{method} {path} answers {status}, which is not documented"
    schema = responses[str(status)]["content"]["application/json"]["schema"]
    return jsonschema_rs.Draft202012Validator({**schema, "components": document()["components"]})


def envelope(answer: httpx.Response, operation: Operation | None = None) -> dict[str, Any]:
    """The answer's envelope; fails unless it is one, and the one that is documented for the operation."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]
    found: dict[str, Any] = answer.json()
    assert list(found) == ["success", "resultCode", "resultMessage", "data"]
    assert STATUS[Code(found["resultCode"])] == answer.status_code
    assert found["success"] is (found["resultCode"] == "0")
    assert len(found["resultMessage"]) <= MAX_MESSAGE
    assert not [leak for leak in LEAKS if leak in found["resultMessage"]]
    if operation:
        _validator(operation, answer.status_code).validate(found)
    return found
