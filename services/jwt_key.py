"""What sign-ins are signed with: `[security] jwt_secret`, or a file beside the SQLite database."""

import os
import secrets
import tempfile
import threading
from pathlib import Path

from config.config import Settings

KEY_BYTES = 32
MISSING = "nobody can sign in before [security] jwt_secret is set, to the same 32 or more random characters everywhere"


class JwtKey:
    """A key that is known, or can be made, or neither: several instances cannot agree on one by themselves."""

    def __init__(self, settings: Settings) -> None:
        given, database = settings.security.jwt_secret, settings.sqlite_path
        self._lock = threading.Lock()
        # Beside the file itself, as its log is: a link to it is the same database.
        self._path = Path(f"{database.resolve()}.jwt") if database and not given else None
        self.known = given.get_secret_value().encode() if given else self._read()

    @property
    def possible(self) -> bool:
        """Whether there is a key, or one can be made."""
        return self.known is not None or self._path is not None

    def get(self) -> bytes:
        """The key, made and stored if there is none yet. Raises OSError where it cannot be stored."""
        with self._lock:
            if self.known is None:
                if self._path is None:
                    raise ValueError(MISSING)
                self.known = self._read() or _make(self._path)
            return self.known

    def _read(self) -> bytes | None:
        """What is stored; a file that is cut off is made anew, which signs everybody out."""
        try:
            stored = self._path.read_bytes().strip() if self._path else b""
        except OSError:
            return None
        return stored if len(stored) >= 2 * KEY_BYTES else None


def _make(path: Path) -> bytes:
    """Either the whole file is there or none, for its owner alone: mkstemp gives it the mode 0600."""
    key = secrets.token_hex(KEY_BYTES).encode()
    number, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(number)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return key
