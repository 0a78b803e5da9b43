"""The tokens as a process remembers them: the probe reads them again when they have changed, no request does."""

import threading
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from database import tokens
from database.tokens import Token


class Credentials:
    """Found by their ids. What was revoked is gone with the probe that follows: within five seconds, everywhere."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._revision = -1
        self._known: dict[str, Token] = {}
        self._used: tuple[set[str], set[str]] = (set(), set())

    @property
    def loaded(self) -> bool:
        """Whether they were ever read: until then nobody can be told from anybody."""
        return self._revision >= 0

    def refresh(self, connection: Connection, now: datetime) -> None:
        """Reads them if they have changed."""
        revision = tokens.revision(connection)  # before the tokens: what changes in between is read once more
        if revision == self._revision:
            return
        known = {token.id: token for token in tokens.valid(connection, now)}
        with self._lock:
            self._known, self._revision = known, revision

    def find(self, id_: str) -> Token | None:
        """The token of that id."""
        return self._known.get(id_)

    def bound(self, id_: str, host_name: str) -> None:
        """A token was just bound to a host, as the next reading will tell as well."""
        with self._lock:
            if token := self._known.get(id_):
                self._known = {**self._known, id_: replace(token, host_name=host_name)}

    def note(self, id_: str, *, previous: bool) -> None:
        """A token was used, by its secret or by the one before it."""
        self._used[previous].add(id_)

    def take_used(self) -> tuple[set[str], set[str]]:
        """Which tokens were used since this was asked last."""
        taken, self._used = self._used, (set(), set())
        return taken
