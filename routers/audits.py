"""The audit log's lines of what admins do over the API."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request

from logger import audit
from model.envelope import Failure
from routers.clients import peer_of, principal_of


def actor(request: Request) -> str | None:
    """Who asks, by the token or the sign-in that was shown; None if none was, or none is asked for."""
    principal = principal_of(request.scope)
    return principal.key if principal else None


@contextmanager
def audited(request: Request, name: str, /, **fields: object) -> Iterator[dict[str, Any]]:
    """Tells what an admin did, or failed to do; what the block learns of it goes into the fields.

    Only behind `allow`: what it refuses has its own line, of which there are not too many.
    """
    told: dict[str, Any] = {"by": actor(request) or "local", "peer": peer_of(request.scope), **fields}
    try:
        yield told
    except BaseException as error:
        reason = error.code if isinstance(error, Failure) else type(error).__name__
        audit(name, logging.WARNING, **told, ok=False, error=reason)
        raise
    audit(name, **told, ok=True)
