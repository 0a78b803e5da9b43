"""A request's headers as they came: what every report is asked is asked of the bytes, without building a mapping."""

import re

from starlette.types import Scope

_GZIP = re.compile(r"gzip(;q=(0\.0*[1-9]\d*|1(\.0*)?))?")


def values(scope: Scope, name: bytes) -> list[bytes]:
    """All values of a header, by its name in lower case."""
    return [value for given, value in scope["headers"] if given == name]


def text(scope: Scope, name: bytes, default: str = "") -> str:
    """The first value of a header, or the default."""
    found = values(scope, name)
    return found[0].decode("latin-1") if found else default


def takes_gzip(scope: Scope) -> bool:
    """Whether an answer may be packed: `gzip;q=0` is a no (RFC 9110, 12.5.3)."""
    asked = (coding.replace(" ", "").lower() for coding in text(scope, b"accept-encoding").split(","))
    return any(_GZIP.fullmatch(coding) for coding in asked)
