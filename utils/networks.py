"""Which network counts as one client."""

import ipaddress
from functools import lru_cache

# What is remembered of the networks of addresses.
_KNOWN = 4096
PREFIX = 64


@lru_cache(_KNOWN)
def network_of(peer: str | None) -> str:
    """An IPv4 address is itself, of an IPv6 address the /64 counts: who has one has 2^64 addresses."""
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return peer or ""
    if isinstance(address, ipaddress.IPv6Address) and not address.ipv4_mapped:
        return str(ipaddress.ip_network((int(address), PREFIX), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
