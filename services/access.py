"""Who may do what: with which token or sign-in, and from where while none is asked for."""

import hmac
import ipaddress
import re
from collections.abc import Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

from database.credentials import Credentials
from database.tokens import Token
from services import signing
from utils.token_text import parse

Need = Literal["nothing", "ingest", "read", "admin"]

SIGN_IN = frozenset({"/api/login", "/api/login/refresh", "/api/login/logout"})
INTAKE = frozenset({"/api/resources", "/monitor_info", "/api/resources/batch"})
# Health for balancers, pages without data, and the API's description: no number of the fleet is in them.
OPEN = frozenset({"/health", "/health/live", "/docs", "/redoc", "/openapi.json", "/favicon.ico"})
# The dashboard's pages: shells without data.
SHELL = re.compile(r"/(containers|events|compare|agents|storage|login)|/hosts/[^/]+(/containers/.+)?", re.DOTALL)
ASSETS = ("/static/", "/docs-assets/", "/assets/")
SCOPES = {"viewer": "read", "admin": "admin"}
ADMINS = ("/config", "/api/tokens", "/api/agents")
# What proxies add: whoever comes through one on this machine has its address, and may have made up the client's.
PROXIED = (
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "x-forwarded-host",
    "x-forwarded-proto",
    "via",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
)
# What browsers say of a page of this server's own, and of an address that somebody typed.
OWN_PAGE = ("none", "same-origin")
# Whoever shows no known token costs the same time as one with a wrong secret: the comparison is made all the same.
_NOBODY = bytes(32)


class Principal(NamedTuple):
    """Who asks: a token, or a person, who has none; `previous`: by the secret that was replaced."""

    scope: str
    name: str
    token: Token | None = None
    previous: bool = False

    @property
    def key(self) -> str:
        """What tells them from all others, as the audit log has it."""
        return f"token:{self.token.id}" if self.token else f"user:{self.name}"


def needed(method: str, path: str, *, page: bool) -> Need:
    """What a request takes. Whatever is not listed here takes the most: a route that is forgotten stays closed.

    `page`: a browser asks for HTML, and the page at / has no data of its own.
    """
    if method == "POST" and path in INTAKE:
        return "ingest"
    if method == "POST" and path in SIGN_IN:
        return "nothing"
    if method == "OPTIONS":  # browsers send no token with what asks for leave, and nothing is told but what is allowed
        return "nothing"
    if method not in ("GET", "HEAD"):
        return "admin"
    if path in OPEN or path.startswith(ASSETS) or SHELL.fullmatch(path) or (page and path == "/"):
        return "nothing"
    return "admin" if path.startswith(ADMINS) else "read"


def authenticate(text: str, credentials: Credentials, now: datetime) -> Principal | None:
    """Whose token it is; None if it is none, unknown, revoked, past its time or has a wrong secret."""
    shown = parse(text)
    token = credentials.find(shown.id) if shown else None
    given = shown.hash if shown else _NOBODY
    current = hmac.compare_digest(given, token.secret_hash if token else _NOBODY)
    previous = hmac.compare_digest(given, (token and token.previous_hash) or _NOBODY)
    if token is None or (token.expires_at is not None and token.expires_at <= now):
        return None
    if current:
        return Principal(token.scope, token.name, token)
    in_time = token.previous_until is not None and now < token.previous_until
    return Principal(token.scope, token.name, token, previous=True) if previous and in_time else None


def signed_in(text: str, key: bytes | None, credentials: Credentials, now: datetime) -> Principal | None:
    """Who has signed in; None if it is no JWT of ours, has expired, or its session or user is no more."""
    claims = signing.read(text, key) if key and credentials.loaded else None
    if claims is None or not signing.good(claims, now):
        return None
    if not credentials.signed_in(claims.user_id, claims.session_id):
        return None
    return Principal(SCOPES[claims.role], claims.name)


def covers(scope: str, need: Need) -> bool:
    """Whether a scope is enough: an admin reads as well, but reports for no host."""
    return need in ("nothing", scope) or (scope, need) == ("admin", "read")


def may_report(token: Token, host_name: str) -> bool:
    """Whether a token is good for a host; an unbound one is for every host, until it is bound to its first."""
    if token.binding == "pattern":
        return fnmatchcase(host_name, token.host_name or "")
    return token.host_name in (None, host_name)


def from_here(peer: str | None, host: str, headers: Mapping[str, str]) -> bool:
    """Someone on this very machine who asks it by that name; no page of another server, and nobody behind a proxy.

    A browser names the page in `Origin`, or its relation in `Sec-Fetch-Site`. A page whose name came to mean this
    machine (DNS rebinding) passes for one of ours: its name is in `host`.
    """
    if any(name in headers for name in ("origin", *PROXIED)) or headers.get("sec-fetch-site", "none") not in OWN_PAGE:
        return False
    return peer is not None and _loopback(peer) and (host == "localhost" or _loopback(host))


def _loopback(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # A socket for both families shows 127.0.0.1 as ::ffff:127.0.0.1.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
