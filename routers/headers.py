"""A request's headers as they came: what every report is asked is asked of the bytes, without building a mapping."""

import re
from collections.abc import Iterable

from starlette.types import Scope

_QUALITY = re.compile(r";\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*(?:;|$)", re.IGNORECASE)


def values(scope: Scope, name: bytes) -> list[bytes]:
    """All values of a header, by its name in lower case."""
    return [value for given, value in scope["headers"] if given == name]


def text(scope: Scope, name: bytes, default: str = "") -> str:
    """The first value of a header, or the default."""
    found = values(scope, name)
    return found[0].decode("latin-1") if found else default


def takes_gzip(scope: Scope) -> bool:
    """Whether an answer may be packed: `gzip;q=0` is a no (RFC 9110, 12.5.3)."""
    asked = map(_range, text(scope, b"accept-encoding").split(","))
    return any(coding == "gzip" and liked for coding, liked in asked)


def best(scope: Scope, types: Iterable[str]) -> str:
    """Which of some media types `Accept` likes best: the first, where it does not tell them apart."""
    ranges = dict(map(_range, b",".join(values(scope, b"accept")).decode("latin-1").split(",")))
    return max(types, key=lambda media_type: _liking(ranges, media_type))


def _range(given: str) -> tuple[str, float]:
    """A media range or coding, and how much it is liked, from 0 to 1."""
    quality = _QUALITY.search(given)
    return given.partition(";")[0].strip().lower(), float(quality[1]) if quality else 1.0


def _liking(ranges: dict[str, float], media_type: str) -> tuple[float, bool]:
    """What the closest range says, and whether that is the type by its name."""
    kind = media_type.partition("/")[0]
    found = next((name for name in (media_type, f"{kind}/*", "*/*") if name in ranges), None)
    return (ranges[found], found == media_type) if found and ranges[found] else (0.0, False)
