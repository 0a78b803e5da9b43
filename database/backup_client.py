"""The client programs that dump MySQL and MariaDB: which one, how it is reached, and what comes of it."""

import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from database.backup_file import BackupRefused

# The server's own program first; what is called mysqldump may be either.
PROGRAMS = {"MySQL": ("mysqldump", "mariadb-dump"), "MariaDB": ("mariadb-dump", "mysqldump")}
# Without what only a user of all rights could load, and without DROP TABLE: nothing is ever overwritten.
OPTIONS = (
    "--single-transaction",
    "--no-tablespaces",
    "--hex-blob",
    "--skip-triggers",
    "--skip-add-locks",
    "--skip-disable-keys",
    "--skip-add-drop-table",
)
CHUNK_BYTES = 1 << 20
SIGNALS_S = 0.5


@dataclass(frozen=True, slots=True)
class Address:
    """How the server was just reached; `encrypted` tells what became of the mode `preferred`."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    ssl_mode: str
    ssl_ca: Path | None
    encrypted: bool


class Family(NamedTuple):
    """What differs between the programs of the two projects; `word` stands in their own words on themselves."""

    word: bytes
    options: tuple[str, ...]
    tls: Callable[[Address], list[str]]


def dump(server: str, address: Address, tables: Sequence[str], file: IO[bytes]) -> None:
    """Writes tables into a file in this order. The password travels in an option file, never on a command line."""
    program = _program(server)
    family = _family(program)
    with _option_file(address, family) as options:
        first = [program, f"--defaults-file={options}", *OPTIONS, *family.options]
        _run([*first, address.database, *tables], options.parent, file)


def _program(server: str) -> str:
    for name in PROGRAMS[server]:
        if found := shutil.which(name):
            return found
    raise BackupRefused(
        "neither mysqldump nor mariadb-dump is installed: apt-get install mariadb-client (or mysql-client)"
    )


def _family(program: str) -> Family:
    said = subprocess.run([program, "--no-defaults", "--version"], capture_output=True, check=False).stdout  # noqa: S603 - found by PATH
    return next(family for family in FAMILIES if family.word in said)


@contextmanager
def _option_file(address: Address, family: Family) -> Iterator[Path]:
    """The only file of options that is read, for the owner's eyes alone and gone with the block."""
    given = {"host": address.host, "port": str(address.port), "user": address.user, "password": address.password}
    lines = ["[client]", "protocol=tcp", "default-character-set=utf8mb4", *map(_option, given, given.values())]
    with tempfile.TemporaryDirectory(prefix="resource-monitor-") as folder:
        path = Path(folder, "options.cnf")
        path.touch(0o600)
        path.write_text("\n".join([*lines, *family.tls(address), ""]), encoding="utf-8")
        yield path


def _option(name: str, value: object) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'


def _run(command: Sequence[str], folder: Path, file: IO[bytes]) -> None:
    # Logins that mysql_config_editor saved would go before the option file.
    environ = {**os.environ, "MYSQL_TEST_LOGIN_FILE": str(folder / "no-logins.cnf")}
    with (
        tempfile.TemporaryFile() as words,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words, env=environ) as child,  # noqa: S603 - found by PATH
    ):
        try:
            _copy(child.stdout or file, file)
        except BaseException:
            child.kill()
            raise
        if child.wait():
            raise BackupRefused(f"{Path(command[0]).name} failed: {_last_line(words, child.returncode)}")


def _copy(source: IO[bytes], file: IO[bytes]) -> None:
    """In a thread: a signal that comes just before a read would not be noticed before that returns."""
    thread = ThreadPoolExecutor(1)
    copied = thread.submit(shutil.copyfileobj, source, file, CHUNK_BYTES)
    thread.shutdown(wait=False)
    while not copied.done():
        wait([copied], SIGNALS_S)
    copied.result()


def _last_line(words: IO[bytes], status: int) -> str:
    words.seek(0)
    lines = words.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"exit status {status}")


def _verifies(address: Address) -> bool:
    return address.ssl_mode.startswith("verify")


def _authorities(address: Address) -> list[str]:
    """The given authority, else the system's, which these programs do not look for."""
    if address.ssl_ca:
        return [_option("ssl-ca", address.ssl_ca)]
    system = ssl.get_default_verify_paths()
    return [_option(f"ssl-{kind}", path) for kind, path in (("ca", system.cafile), ("capath", system.capath)) if path]


def _mysql_tls(address: Address) -> list[str]:
    """The modes are this family's own."""
    return [f"ssl-mode={address.ssl_mode.upper()}", *(_authorities(address) if _verifies(address) else [])]


def _mariadb_tls(address: Address) -> list[str]:
    """Told to encrypt where the server was just seen to: unless they verify, these programs fall back to plain text.

    They verify the name of the host too: more than `verify_ca` asks for, not less.
    """
    if _verifies(address):
        return ["ssl", "ssl-verify-server-cert", *_authorities(address)]
    return ["ssl", "skip-ssl-verify-server-cert"] if address.encrypted else ["skip-ssl"]


# Asked for GTIDs, MySQL's program would write statements that only an administrator may run.
FAMILIES = (Family(b"MariaDB", (), _mariadb_tls), Family(b"", ("--set-gtid-purged=OFF",), _mysql_tls))
