"""What somebody signs in with: JSON, or the form that OAuth 2 has for it (RFC 6749, 4.3.2), which Swagger sends."""

from typing import NamedTuple
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import ValidationError

from model.envelope import Code, Failure
from model.people import LoginIn
from routers.bodies import read
from routers.errors import wrong_body
from routers.headers import text

FORM = "application/x-www-form-urlencoded"
# 1024 characters, of which JSON may write each with twelve, and what stands around them.
MAX_LOGIN_BYTES = 1 << 14
MAX_FIELDS = 20
_NAMES = {"username": "user", "password": "password"}


class Asked(NamedTuple):
    """Who signs in, and whether by the form."""

    user: str
    password: str
    by_form: bool


async def asked(request: Request) -> Asked:
    """Reads the body; raises what `read` does, and VALIDATION or BAD_REQUEST. No failure repeats what was sent."""
    by_form = text(request.scope, b"content-type").partition(";")[0].strip().lower() == FORM
    body = await read(request, MAX_LOGIN_BYTES, any_type=by_form)
    try:
        given = LoginIn.model_validate(_fields(body)) if by_form else LoginIn.model_validate_json(body)
    except ValidationError as error:
        raise wrong_body(error) from None
    return Asked(given.user, given.password.get_secret_value(), by_form)


def _fields(body: bytes) -> dict[str, str]:
    """What counts of the form; clients add fields of their own, as Swagger does with `client_id`."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Failure(Code.BAD_REQUEST, "this is no form in UTF-8") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Failure(Code.BAD_REQUEST, "a field is there more than once")
    if found.get("grant_type", "password") != "password":
        raise Failure(Code.VALIDATION, "grant_type: should be password")
    return {_NAMES[name]: value for name, value in found.items() if name in _NAMES}
