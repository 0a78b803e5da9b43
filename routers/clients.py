"""Who a request comes from, and which host it asks for."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from starlette.types import Scope

from routers.headers import text, values
from services.access import Principal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Client = tuple[str, int]
# Where the gate notes who asks.
PRINCIPAL = "principal"
# What is remembered of whether addresses are proxies'.
_KNOWN = 4096


def peer_of(scope: Scope) -> str | None:
    """The client's address; a Unix socket shows none."""
    return scope["client"][0] if scope.get("client") else None


def principal_of(scope: Scope) -> Principal | None:
    """Who asks, as the gate noted it; None: nobody that is known, or it is not asked for."""
    principal: Principal | None = scope.get(PRINCIPAL)
    return principal


class Proxies:
    """The proxies whose word on the client's address is taken."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self.trusts = lru_cache(_KNOWN)(self._trusts)

    def client(self, scope: Scope) -> Client | None:
        """The address that a trusted peer says it speaks for; None if that cannot be read.

        Each proxy adds the address it was called from at the right, so the first from there that is no proxy of ours is
        the client. What stands to the left of it anyone may have written.
        """
        peer: Client | None = scope["client"]
        if peer is None or not self.trusts(peer[0]):
            return peer
        forwarded = values(scope, b"x-forwarded-for")
        if not forwarded:
            return peer
        address = None
        for part in reversed(b",".join(forwarded).split(b",")):
            address = _written(part.decode("latin-1").strip())
            if address is None or not self.trusts(address):
                break
        return (address, 0) if address else None

    def _trusts(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def host_of(scope: Scope) -> str:
    """The host that is asked for, in lower case, without port and brackets."""
    host = text(scope, b"host").lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _written(word: str) -> str | None:
    """An address as proxies write it: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`."""
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    address = _address(word)
    return str(address) if address else None


def _address(text: str) -> Address | None:
    """A socket for both families shows 192.0.2.1 as ::ffff:192.0.2.1; what follows a % could be anything."""
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
