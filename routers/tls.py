"""TLS of the server itself: its certificate, the least version, and how long a client may take to agree on it."""

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from config.config import ConfigError, Settings

if TYPE_CHECKING:
    from uvicorn import Config

# Of a connection that has not agreed on TLS the protocol knows nothing, so that its own deadline does not hold.
HANDSHAKE_S = 10.0
# How long a client may take to say goodbye when its connection is closed.
GOODBYE_S = 2.0


def options(settings: Settings) -> dict[str, Any]:
    """Uvicorn's options; none without a certificate. Raises ConfigError if certificate and key cannot be used."""
    server = settings.server
    if server.ssl_certfile is None:
        return {}
    password = server.ssl_keyfile_password.get_secret_value() if server.ssl_keyfile_password else ""
    try:
        # Called for a password even if there is none: OpenSSL would ask for it on the terminal.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.ssl_certfile, server.ssl_keyfile, lambda: password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"[server] ssl_certfile = {server.ssl_certfile} and ssl_keyfile = {server.ssl_keyfile} are refused "
            f"({_reason(error)}): give the certificate with its chain and the key that belongs to it, as PEM, "
            "and the key's password in ssl_keyfile_password if it has one."
        ) from None
    return {
        "ssl_certfile": str(server.ssl_certfile),
        "ssl_keyfile": str(server.ssl_keyfile),
        "ssl_keyfile_password": password or None,
        "ssl_context_factory": context_of,
    }


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "no PEM, or another password").lower().replace("_", " ")
    return str(getattr(error, "strerror", None) or "the password cannot be used")


def context_of(_config: "Config", default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Uvicorn's context, whatever the system's own settings allow."""
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def limit_handshakes(loop: asyncio.AbstractEventLoop) -> None:
    """Uvicorn, which makes its servers on this loop, has no option for it; the loops' own limit is a minute."""
    make: Any = loop.create_server

    async def create_server(*args: Any, **given: Any) -> asyncio.Server:  # noqa: ANN401 - the loop's own
        limits = {"ssl_handshake_timeout": HANDSHAKE_S, "ssl_shutdown_timeout": GOODBYE_S} if given.get("ssl") else {}
        server: asyncio.Server = await make(*args, **given, **limits)
        return server

    loop.create_server = create_server  # type: ignore[method-assign]
