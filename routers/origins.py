"""Which page a request comes from: what a browser does by itself must come from a page of this very server."""

from urllib.parse import urlsplit

from fastapi import Request

from model.envelope import Code, Failure

_PORTS = {"http": ":80", "https": ":443"}
_OTHERS = ("cross-site", "same-site")


def check_origin(request: Request, *, by_cookie: bool = False) -> None:
    """Raises FORBIDDEN for a page of another server.

    `by_cookie`: the browser adds the cookie by itself, so that a request has to show where it is from: by Origin, by
    Sec-Fetch-Site, or by a header that no page of another server may add (X-Requested-With).
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if origin is None:
        shown = site == "same-origin" or "x-requested-with" in request.headers
        good = site not in _OTHERS and (shown or not by_cookie)
    else:
        good = _own(origin, request.headers.get("host", "")) and site not in _OTHERS
    if not good:
        raise Failure(Code.FORBIDDEN, "only from a page of this server")


def over_tls(request: Request) -> bool:
    """Whether the browser speaks TLS, to this server or to a proxy before it: the page's own address tells."""
    return request.scope["scheme"] == "https" or request.headers.get("origin", "").startswith("https://")


def _own(origin: str, host: str) -> bool:
    """Whether a page's address names the host that was asked; the scheme is a proxy's affair."""
    try:
        scheme, place, *rest = urlsplit(origin.lower())
    except ValueError:
        return False
    default = _PORTS.get(scheme)
    if default is None or not place or any(rest):
        return False
    return place.removesuffix(default) == host.lower().removesuffix(default)
