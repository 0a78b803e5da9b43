"""A request's headers as they came: what every report is asked is asked of the bytes, without building a mapping."""

from starlette.types import Scope


def values(scope: Scope, name: bytes) -> list[bytes]:
    """All values of a header, by its name in lower case."""
    return [value for given, value in scope["headers"] if given == name]


def text(scope: Scope, name: bytes, default: str = "") -> str:
    """The first value of a header, or the default."""
    found = values(scope, name)
    return found[0].decode("latin-1") if found else default
