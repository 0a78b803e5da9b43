import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import Popen

import psutil
import pytest

from config.config import ROOT
from database.backup_dump import statements
from model.models import metadata
from tests import canary
from tests.conftest import SERVER_CLASSES
from tests.console import manage
from tests.programs import wait_for
from tests.servers import CANARY, Server, available
from tests.service import process
from tests.test_backup import refused, tables

pytestmark = pytest.mark.slow
KINDS = [name for name in SERVER_CLASSES if available()[name] is None]
PROGRAMS = ("mysqldump", "mariadb-dump")
AWAY = "mysql://app:word@127.0.0.1:1/monitor"
# What README.md has the operator grant.
RIGHTS = re.search(r"GRANT (.*?) ON", (ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    return servers(request.param)


@pytest.fixture
def url(server: Server) -> str:
    """A database with tables."""
    made = server.url(server.create_database())
    assert manage(made, "db", "upgrade").status == 0
    return made


class Held:
    """A `manage.py backup` whose client program waits for a table as long as the block lasts."""

    def __init__(self, child: Popen[str], folder: Path) -> None:
        self.child, self._folder = child, folder
        (self.client,) = psutil.Process(child.pid).children()

    @property
    def output(self) -> str:
        return (self._folder / "out.log").read_text(encoding="utf-8")


@contextmanager
def held(server: Server, url: str, target: Path, folder: Path) -> Iterator[Held]:
    database = url.rpartition("/")[2]
    waiting = "SELECT 1 FROM information_schema.processlist WHERE db = %s AND state LIKE 'Waiting for table%%'"
    with closing(server.admin()) as connection, connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLES {database}.containers WRITE")
        with process([str(ROOT / "manage.py"), "backup", str(target)], {"DATABASE_URL": url}, folder) as child:
            wait_for(lambda: bool(server.execute(waiting, database)), what=(folder / "out.log").read_text)
            yield Held(child, folder)


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """A folder with nothing but backups."""
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder


def test_the_password_is_on_no_command_line_and_in_one_private_file_meanwhile(
    server: Server, url: str, backups: Path, tmp_path: Path
) -> None:
    with held(server, url, backups / "b.sql", tmp_path) as one:
        canary.check_process(one.child.pid)
        options = Path(one.client.cmdline()[1].partition("=")[2])
        assert CANARY in options.read_text(encoding="utf-8")
        assert (options.stat().st_mode & 0o777, options.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        one.child.send_signal(signal.SIGTERM)
        one.child.wait(20)
        assert not options.parent.exists()


def test_a_client_program_that_is_killed_leaves_nothing(
    server: Server, url: str, backups: Path, tmp_path: Path
) -> None:
    with held(server, url, backups / "b.sql.gz", tmp_path) as one:
        assert list(backups.iterdir()) != []
        one.client.kill()
        assert one.child.wait(20) == 1
        assert re.fullmatch(r"Error: \S+dump failed: exit status -9\n", one.output)
    assert list(backups.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_ended_ends_its_client_and_leaves_nothing(
    server: Server, url: str, backups: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with held(server, url, backups / "b.sql", tmp_path) as one:
        one.child.send_signal(number)
        assert one.child.wait(20) == 1
        assert not one.client.is_running()
        assert one.output.strip() == "Aborted!"
    assert list(backups.iterdir()) == []


def test_without_a_client_program_the_package_is_named(
    url: str, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(backups))
    done = manage(url, "backup", str(backups / "b.sql"))
    assert refused(done, "neither mysqldump nor mariadb-dump is installed: apt-get install mariadb-client")
    assert list(backups.iterdir()) == []


@pytest.mark.parametrize("script", ["echo half a dump", "echo A reason. >&2; exit 3", "exit 3"])
def test_a_client_program_that_fails_is_one_sentence(
    url: str, backups: Path, tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PROGRAMS:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = manage(url, "backup", str(backups / "b.sql"))
    assert refused(done, {"ech": "", "exi": "failed: exit status 3"}[script[:3]])
    assert ("A reason." in done.words) == ("A reason." in script)
    assert list(backups.iterdir()) == []


def test_a_database_that_is_away_is_one_sentence(backups: Path) -> None:
    done = manage(AWAY, "backup", str(backups / "b.sql"))
    assert refused(done, "the database cannot be used: Can't connect")


def test_an_existing_file_is_refused_before_anything_else(tmp_path: Path) -> None:
    assert refused(manage(AWAY, "backup", str(tmp_path)), "exists already")


def test_the_rights_of_the_readme_are_enough(server: Server, backups: Path) -> None:
    databases = [server.create_database() for _ in range(2)]
    server.execute(f"CREATE USER IF NOT EXISTS 'least'@'%%' {server.identified} %s", CANARY)
    assert RIGHTS
    for database in databases:
        server.execute(f"GRANT {RIGHTS[1]} ON {database}.* TO 'least'@'%'")
    first, second = (server.url(database).replace("//app:", "//least:") for database in databases)
    assert manage(first, "db", "upgrade").status == 0
    assert manage(first, "backup", str(backups / "b.sql")).status == 0
    assert manage(second, "restore", str(backups / "b.sql")).status == 0


def test_the_version_comes_last_for_it_says_that_the_schema_is_complete(url: str, backups: Path) -> None:
    assert manage(url, "backup", str(backups / "b.sql")).status == 0
    made = re.findall(r"CREATE TABLE `(\w+)`", (backups / "b.sql").read_text(encoding="utf-8"))
    assert made == [*sorted(metadata.tables), "alembic_version"]


FOREIGN = "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `other`;\n"


@pytest.mark.parametrize("words", [FOREIGN, "USE `other`;\n", "DROP TABLE IF EXISTS `hosts`;\n", "\\! true;\n"])
def test_a_dump_that_reaches_further_is_refused(server: Server, url: str, backups: Path, words: str) -> None:
    file = backups / "b.sql"
    assert manage(url, "backup", str(file)).status == 0
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("CREATE TABLE `leases`", f"{words}CREATE TABLE `leases`"), encoding="utf-8")
    empty = server.url(server.create_database())
    assert refused(manage(empty, "restore", str(file)), "is not a backup made by `manage.py backup`: it holds")
    assert tables(empty) == []


def test_a_restore_that_fails_leaves_the_database_empty(server: Server, url: str, backups: Path) -> None:
    file = backups / "b.sql"
    assert manage(url, "backup", str(file)).status == 0
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("CREATE TABLE `leases` (", "CREATE TABLE `leases` (nonsense,"), encoding="utf-8")
    empty = server.url(server.create_database())
    assert refused(manage(empty, "restore", str(file)), "the database cannot be used: You have an error in your SQL")
    assert tables(empty) == []


def test_a_restore_that_is_interrupted_leaves_the_database_empty(
    server: Server, url: str, backups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = backups / "b.sql"
    assert manage(url, "backup", str(file)).status == 0
    checked = list(statements(file))
    assert any(one.startswith("CREATE TABLE") for one in checked[:-20])

    def whole(_: Path) -> Iterator[str]:
        monkeypatch.setattr("database.backup_mysql.statements", broken)
        yield from checked

    def broken(_: Path) -> Iterator[str]:
        yield from checked[:-20]
        raise KeyboardInterrupt

    monkeypatch.setattr("database.backup_mysql.statements", whole)
    empty = server.url(server.create_database())
    assert manage(empty, "restore", str(file)).words.strip() == "Aborted!"
    assert tables(empty) == []
