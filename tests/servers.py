"""The database servers of the tests: MariaDB and MySQL, which of them can run here, and which ran."""

import importlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.database_server import CANARY, Server, ServerError, Tls, external, is_root

__all__ = ["CANARY", "MariaDb", "MySql", "Server", "ServerError", "Tls", "available", "left_out", "summary"]

RED, PLAIN = "\033[31m", "\033[0m"


class MariaDb(Server):
    """MariaDB as the system's package installs it."""

    name, title, identified = "mariadb", "MariaDB", "IDENTIFIED BY"

    @classmethod
    def missing(cls) -> str | None:
        """Look for the package's two programs."""
        found = _program("mariadbd") and _program("mariadb-install-db")
        return None if found else "mariadbd is not installed (apt-get install mariadb-server)"

    @classmethod
    def root(cls) -> Path:
        """It sees the file system as it is."""
        return Path("/")

    def _initialise(self, options: Sequence[str]) -> Sequence[str]:
        program = _program("mariadb-install-db")
        return [program, "--no-defaults", *options, "--auth-root-authentication-method=normal", "--skip-test-db"]

    def _command(self, options: Sequence[str]) -> Sequence[str]:
        return [_program("mariadbd"), "--no-defaults", *options]


class MySql(Server):
    """MySQL in the Debian tree that tests/install.sh made."""

    name, title, identified = "mysql", "MySQL", "IDENTIFIED WITH caching_sha2_password BY"

    @classmethod
    def missing(cls) -> str | None:
        """Look for the right to make a tree the root directory, and for the tree."""
        if not is_root():
            return "only root can start it"
        found = (cls.root() / "usr/sbin/mysqld").exists()
        return None if found else "it is not installed (tests/install.sh does that as root on Debian)"

    @classmethod
    def root(cls) -> Path:
        """The tree is shared by all sessions; each has directories of its own in it."""
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(cache, "resource-monitor", "mysql-sid")

    def _initialise(self, options: Sequence[str]) -> Sequence[str]:
        return self._command([*options, "--initialize-insecure"])

    def _command(self, options: Sequence[str]) -> Sequence[str]:
        chroot = [_program("chroot"), str(self.root()), "/usr/sbin/mysqld"]
        return [*chroot, "--no-defaults", "--secure-file-priv=", "--mysqlx=OFF", *options]


def available() -> dict[str, str | None]:
    """Tell for each engine why it is left out; None: it runs. TEST_ENGINES=sqlite,mysql chooses some."""
    chosen = os.environ.get("TEST_ENGINES", "sqlite,mariadb,mysql").split(",")
    reasons: dict[str, str | None] = {"sqlite": None}
    for engine in (MariaDb, MySql):
        reasons[engine.name] = None if external(engine.name) else engine.missing()
    return {name: reason if name in chosen else "not in TEST_ENGINES" for name, reason in reasons.items()}


def summary(*ran: str) -> str:
    """Say in one line what the tests ran on; `ran` are titles and versions of servers, repeated ones count once."""
    sqlite = importlib.import_module("pysqlite3" if importlib.util.find_spec("pysqlite3") else "sqlite3")
    return "Ran on: " + ", ".join([f"SQLite {sqlite.sqlite_version}", *sorted(set(ran))])


def left_out(reasons: Iterable[tuple[str, str | None]]) -> list[str]:
    """Say in one line for each engine that did not run why it did not."""
    titles = {engine.name: engine.title for engine in (MariaDb, MySql)}
    return [f"Left out: {titles.get(name, name)}, {reason}" for name, reason in reasons if reason]


def _program(name: str) -> str:
    """Find a program, also where only root's PATH looks; empty if there is none."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])) or ""


def main() -> None:
    """Print what the tests ran on, from the file that TEST_RAN_ON named while they ran."""
    path = Path(sys.argv[1])
    ran = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = [summary(*ran), *(f"{RED}{line}{PLAIN}" for line in left_out(available().items()))]
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
