"""The text of a token: `rms_`, its id, its secret and a checksum, each in hexadecimal digits.

The secret has 256 random bits, so that one plain SHA-256 keeps it as well as a slow hash would keep a password. The
checksum tells a mistyped token from one that was revoked, without anything being looked up.
"""

import hashlib
import re
import secrets
import zlib
from typing import NamedTuple

ID_BYTES, SECRET_BYTES = 6, 32
FORM = re.compile(r"rms_([0-9a-f]{12})_([0-9a-f]{64})_([0-9a-f]{8})")
# What may be left of a token in a log.
HIDDEN = r"rms_\1_[hidden]"
_ANY = re.compile(r"rms_([0-9a-f]{12})_[0-9a-f]+(?:_[0-9a-f]*)?")
# A secret alone, of a token or a sign-in's cookie.
_SECRET = re.compile(r"[0-9a-f]{64}")
# A JWT begins with an object, which is `eyJ` in its letters, and has dots between its parts. Within a word,
# which may be an escape (\x0a, %0A) before it, it is told by the object behind the dot.
_JWT = re.compile(r"(?:(?<![A-Za-z0-9])eyJ[\w-]+|eyJ[\w-]{1,200}(?=\.eyJ))\.[\w-]+(?:\.[\w-]*)?", re.ASCII)


class Shown(NamedTuple):
    """What someone shows: which token, and the hash of the secret."""

    id: str
    hash: bytes


class Minted(NamedTuple):
    """What was made: the text is shown once, the hash is kept."""

    id: str
    hash: bytes
    text: str


def mint(id_: str | None = None) -> Minted:
    """Makes a token, or another secret for one."""
    id_, secret = id_ or secrets.token_hex(ID_BYTES), secrets.token_hex(SECRET_BYTES)
    body = f"rms_{id_}_{secret}"
    return Minted(id_, _hash(secret), f"{body}_{_checksum(body)}")


def parse(text: str) -> Shown | None:
    """Reads a token; None for what is none."""
    match = FORM.fullmatch(text)
    if match is None or match[3] != _checksum(text.rpartition("_")[0]):
        return None
    return Shown(match[1], _hash(match[2]))


def hide(text: str) -> str:
    """The text without the secrets of the tokens in it, and without what people sign in with."""
    text = _ANY.sub(HIDDEN, text) if "rms_" in text else text
    return _JWT.sub("[hidden]", text) if "eyJ" in text else text


def hide_alone(text: str) -> str:
    """As `hide`, and a secret whatever stands before it: in an address that may be escaped twice, or be left out."""
    return _SECRET.sub("[hidden]", hide(text))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
