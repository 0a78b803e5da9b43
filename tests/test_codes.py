import json

import pytest
from pydantic import BaseModel

from model.envelope import (
    MAX_MESSAGE,
    STATUS,
    Code,
    Envelope,
    Failure,
    FieldError,
    Refused,
    failed,
    ok,
    too_often,
    unavailable,
)

STATUSES = {
    200: ["0"],
    207: ["PARTIAL"],
    400: ["BAD_JSON", "BAD_REQUEST"],
    401: ["UNAUTHORIZED"],
    403: ["FORBIDDEN"],
    404: ["NOT_FOUND"],
    405: ["METHOD_NOT_ALLOWED"],
    408: ["TIMEOUT"],
    413: ["TOO_LARGE"],
    415: ["UNSUPPORTED"],
    422: ["VALIDATION", "KEY_MISMATCH"],
    429: ["RATE_LIMITED"],
    431: ["HEADERS_TOO_LARGE"],
    500: ["INTERNAL"],
    503: ["OVERLOADED", "DB_UNAVAILABLE", "COMMIT_UNKNOWN", "STORAGE_FULL", "NOT_CONFIGURED"],
}
CODES = {code: status for status, codes in STATUSES.items() for code in codes}


def test_the_codes_on_the_wire_and_their_statuses_never_change() -> None:
    assert {str(code): STATUS[code] for code in Code} == CODES


@pytest.mark.parametrize("code", Code)
def test_a_failure_knows_its_status_and_carries_no_more_than_it_is_given(code: Code) -> None:
    failure = Failure(code, "words")
    assert (failure.status, failure.code, failure.message, str(failure)) == (CODES[code], code, "words", "words")
    assert (failure.data, failure.headers) == (None, {})


def test_a_failure_carries_data_and_headers() -> None:
    failure = Failure(Code.VALIDATION, "words", data=[1], headers={"Allow": "GET"})
    assert (failure.data, failure.headers) == ([1], {"Allow": "GET"})


def test_what_is_unavailable_may_be_tried_again_in_two_seconds() -> None:
    assert unavailable().message == "the database is not available; try again"
    assert (unavailable().code, unavailable("full", Code.OVERLOADED).code) == (Code.DB_UNAVAILABLE, Code.OVERLOADED)
    assert unavailable().headers == {"Retry-After": "2"}


@pytest.mark.parametrize(("wait_s", "told"), [(0.001, "1"), (1.0, "1"), (1.2, "2"), (59.5, "60"), (0.0, "1")])
def test_what_came_too_often_may_come_again_in_whole_seconds(wait_s: float, told: str) -> None:
    failure = too_often("words", wait_s)
    assert (failure.status, failure.code, failure.message) == (429, Code.RATE_LIMITED, "words")
    assert failure.headers == {"Retry-After": told}


def test_the_body_of_a_success() -> None:
    assert json.loads(ok([1])) == {"success": True, "resultCode": "0", "resultMessage": "", "data": [1]}
    assert json.loads(ok(None, "words"))["resultMessage"] == "words"


def test_the_body_of_a_failure() -> None:
    body = {"success": False, "resultCode": "TIMEOUT", "resultMessage": "words", "data": None}
    assert json.loads(failed(Code.TIMEOUT, "words")) == body
    assert json.loads(failed(Code.TIMEOUT, "words", [1])) == {**body, "data": [1]}


@pytest.mark.parametrize("length", [511, 512, 513])
def test_a_message_has_512_characters_at_most(length: int) -> None:
    told = [json.loads(body)["resultMessage"] for body in (ok(None, "x" * length), failed(Code.TIMEOUT, "x" * length))]
    assert told == ["x" * min(length, MAX_MESSAGE)] * 2
    assert MAX_MESSAGE == 512


def test_the_document_requires_and_limits_what_every_refusal_has() -> None:
    schema = Refused.model_json_schema()
    errors, error = schema["$defs"]["Errors"], schema["$defs"]["FieldError"]
    assert schema["required"] == ["success", "resultCode", "resultMessage", "data"]
    assert (errors["required"], error["required"]) == (["errors"], ["loc", "type", "message"])
    assert errors["properties"]["errors"]["maxItems"] == 10
    assert schema["properties"]["resultMessage"]["maxLength"] == MAX_MESSAGE


@pytest.mark.parametrize("model", [Envelope[None], FieldError])
def test_the_document_explains_each_field(model: type[BaseModel]) -> None:
    fields = model.model_json_schema()["properties"]
    assert [name for name, field in fields.items() if "description" not in field and name != "data"] == []


def test_the_document_limits_the_message_of_a_success() -> None:
    schema = Envelope[None].model_json_schema()
    assert schema["properties"]["resultMessage"]["maxLength"] == MAX_MESSAGE
