"""A service that asks for tokens."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from config.config import Settings
from database import database
from tests.console import manage
from tests.intake import until
from tests.service import Service, running


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def made(url: str, *options: str) -> str:
    """A token that the operator makes."""
    done = manage(url, "token", "create", *options)
    assert done.status == 0, done.words
    return done.lines[0]


def id_of(token: str) -> str:
    return token.split("_")[1]


class Guarded:
    """A running service with an admin's token."""

    def __init__(self, service: Service) -> None:
        self.service = service
        assert service.settings.database.url
        self.url = service.settings.database.url.get_secret_value()
        self.admin = self.token("--scope", "admin")

    def token(self, *options: str) -> str:
        """Another token, once the service knows it."""
        text = made(self.url, *options)
        credentials = self.service.state["database"].credentials
        until(lambda: credentials.find(id_of(text)) is not None)
        return text

    def ingest(self, host: str) -> dict[str, str]:
        """The header of a token for one host."""
        return bearer(self.token("--scope", "ingest", "--host", host))

    def get(self, path: str, token: str | None = None) -> httpx.Response:
        """Reads with a token, or with none."""
        return self.service.client.get(path, headers=bearer(token) if token else {})


@contextmanager
def guarding(settings: Settings) -> Iterator[Guarded]:
    """A service with these settings, which name a mode; it learns of new tokens faster than others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "PROBE_S", 0.05)
        with running(settings) as service:
            yield Guarded(service)
