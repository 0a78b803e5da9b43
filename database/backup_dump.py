"""Reading a dump: the statements that `mysqldump` and `mariadb-dump` write with the options of a backup."""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from database.backup_file import BackupRefused

# Nothing else is run: a dump of several databases would name the one it came from, and write there.
EXPECTED = re.compile(r"(?:/\*M?!\d+ )?SET |CREATE TABLE `|INSERT INTO `|COMMIT;")
CREATED = re.compile(r"\ACREATE TABLE (`[^`]+`)")
REVISION = re.compile(r"INSERT INTO `alembic_version` VALUES\s+\('([^']*)'\)")
COMMENTS = ("--", "/*M!999999", "\n")
END = "-- Dump completed"


def opened(path: Path, mode: str, **options: Any) -> IO[Any]:  # noqa: ANN401 - the options of `open`
    """Opens a dump, compressed or not, by its name."""
    opener = gzip.open if path.suffix == ".gz" else open
    return cast("IO[Any]", opener(path, mode, **options))


def statements(source: Path) -> Iterator[str]:
    """Gives the statements of a dump one by one; raises BackupRefused where it cannot be read to its last line."""
    try:
        with opened(source, "rt", encoding="utf-8", newline="\n") as lines:
            yield from _split(source, lines)
    except (EOFError, UnicodeDecodeError, zlib.error, gzip.BadGzipFile):
        raise BackupRefused(f"{source.name} is damaged, or no dump at all") from None
    except OSError as error:
        raise BackupRefused(f"{source.name} cannot be read: {error.strerror}") from None


def _split(source: Path, lines: Iterable[str]) -> Iterator[str]:
    """A line's end within a value is escaped, so that a semicolon before one ends a statement."""
    pieces: list[str] = []
    comment = ""
    for line in lines:
        if not pieces and line.startswith(COMMENTS):
            comment = line if line.strip() else comment
            continue
        pieces.append(line)
        if line.endswith(";\n"):
            yield "".join(pieces)
            pieces.clear()
    if not comment.startswith(END):
        raise BackupRefused(f"{source.name} is not a whole dump: its last line is missing")
