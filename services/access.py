"""Who may do what while no tokens are asked for."""

import ipaddress


def may_delete(peer: str | None, origin: str | None) -> bool:
    """Only someone on this very machine may delete, and no web page: a browser names the page in `Origin`."""
    if origin is not None or peer is None:
        return False
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    # A socket for both families shows 127.0.0.1 as ::ffff:127.0.0.1.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
