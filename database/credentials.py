"""Tokens and people as a process remembers them: the probe reads them again when they changed, and who changes them."""

import threading
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from database import revisions, sessions, tokens, users
from database.tokens import Token

# A session that ended is remembered for longer than what was signed for it is good (`services/signing.py`).
REMEMBERED = timedelta(minutes=20)


class Credentials:
    """Found by their ids. What was revoked is gone with the probe that follows: within five seconds, everywhere."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._revision = -1
        self._known: dict[str, Token] = {}
        self._used: tuple[set[str], set[str]] = (set(), set())
        self._ended: frozenset[str] = frozenset()
        self._ended_here: dict[str, datetime] = {}
        self._disabled: frozenset[int] = frozenset()

    @property
    def loaded(self) -> bool:
        """Whether they were ever read: until then nobody can be told from anybody."""
        return self._revision >= 0

    def refresh(self, connection: Connection, now: datetime) -> None:
        """Reads them if they have changed: one reading at a time, as none may put an older state over a newer one."""
        with self._reading:
            self._refresh(connection, now)

    def _refresh(self, connection: Connection, now: datetime) -> None:
        revision = revisions.revision(connection)  # before the rest: what changes in between is read once more
        if revision == self._revision:
            return
        since = now - REMEMBERED
        known = {token.id: token for token in tokens.valid(connection, now)}
        ended, disabled = sessions.ended(connection, since), users.disabled(connection)
        with self._lock:
            self._ended_here = {id_: at for id_, at in self._ended_here.items() if at > since}
            self._ended, self._disabled = ended, disabled
            self._known, self._revision = known, revision

    def find(self, id_: str) -> Token | None:
        """The token of that id."""
        return self._known.get(id_)

    def signed_in(self, user_id: int, session_id: str) -> bool:
        """Whether what was signed for a session still counts."""
        return not (user_id in self._disabled or session_id in self._ended or session_id in self._ended_here)

    def end(self, session_id: str, now: datetime) -> None:
        """A session was just ended, as the next reading will tell as well; one that is under way may not know it."""
        with self._lock:
            self._ended_here = {**self._ended_here, session_id: now}

    def holder(self, host_name: str, now: datetime) -> Token | None:
        """A token that is for this host and no other."""
        for token in self._known.values():
            exact = token.host_name == host_name and token.binding in ("host", "first")
            if exact and (token.expires_at is None or token.expires_at > now):
                return token
        return None

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

    def put_back(self, taken: tuple[set[str], set[str]]) -> None:
        """What could not be written of that was used all the same."""
        for used, ids in zip(self._used, taken, strict=True):
            used.update(ids)
