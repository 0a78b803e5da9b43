import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from config.config import ROOT
from database.dialect import Role, dialect_for
from model.models import metadata
from tests.console import Done, manage
from tests.processes import free_port
from tests.servers import CANARY, Server
from tests.service import Service, process, report, settings_for

pytestmark = pytest.mark.slow

UPGRADED = "the schema is up to date"


def tables(url: str, folder: Path) -> set[str]:
    engine = dialect_for(settings_for(url, folder)).engine(Role("test"))
    listing = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if url.startswith("sqlite")
        else "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
    )
    with closing(engine.connect()) as connection:
        found = {name for (name,) in connection.execute(text(listing))}
    engine.dispose()
    return found


def test_upgrade_makes_the_tables_of_an_empty_database(
    engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    url = new_url(engine)
    done = manage(url, "db", "upgrade")
    assert (done.status, done.words) == (0, UPGRADED)
    assert tables(url, tmp_path) >= set(metadata.tables)


def test_upgrade_of_what_is_up_to_date_changes_nothing(service: Service) -> None:
    service.post(report("kept", "web"))
    done = manage(url_of(service), "db", "upgrade")
    assert (done.status, done.words) == (0, UPGRADED)
    assert [one["host_name"] for one in service.data("/api/hosts", host_name="kept")] == ["kept"]


def url_of(service: Service) -> str:
    assert service.settings.database.url
    return service.settings.database.url.get_secret_value()


def test_a_command_of_its_own_says_one_line_and_has_an_exit_status(tmp_path: Path) -> None:
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/test.db"}
    for arguments, said in ((("db", "upgrade"), UPGRADED), (("host", "delete", "x"), "Error: no host of that name")):
        with process([str(ROOT / "manage.py"), *arguments], environ, tmp_path) as child:
            status = child.wait(30)
        assert (status, (tmp_path / "out.log").read_text(encoding="utf-8")) == (int("Error" in said), f"{said}\n")


def test_upgrade_makes_the_folder_and_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "test.db"
    assert manage(f"sqlite:///{path}", "db", "upgrade").status == 0
    assert sys.platform == "win32" or path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("command", [("db", "upgrade"), ("host", "delete", "any")])
def test_a_database_that_is_away_is_one_sentence(command: tuple[str, ...]) -> None:
    done = manage(f"mysql://app:word@127.0.0.1:{free_port()}/monitor", *command)
    assert done.status == 1
    assert done.words.startswith("Error: the database cannot be used: ")
    assert "\n" not in done.words
    assert "refused" in done.words


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mariadb", "mysql"])
def test_a_wrong_password_is_one_sentence_without_it(name: str, servers: Callable[[str], Server]) -> None:
    server = servers(name)
    url = server.url(server.create_database()).replace("canary", "other")
    done = manage(url, "db", "upgrade")
    assert done.status == 1
    assert done.words.startswith("Error: the database cannot be used: Access denied for user 'app'")
    assert "\n" not in done.words
    assert "비밀" not in done.words


def test_a_file_that_is_no_database_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    path.write_text("no database at all, but long enough to be looked at" * 100)
    done = manage(f"sqlite:///{path}", "db", "upgrade")
    assert (done.status, done.words) == (1, "Error: the database cannot be used: file is not a database")


def test_a_deleted_host_is_gone_from_every_list(service: Service) -> None:
    service.post(report("deleted", "web"))
    host = service.data("/api/hosts", host_name="deleted")[0]["id"]
    done = manage(url_of(service), "host", "delete", "deleted")
    assert (done.status, done.words) == (0, f"host {host} is forgotten")
    assert service.data("/api/hosts", host_name="deleted") == []
    assert service.data("/api/containers", host_name="deleted") == []
    assert service.client.get(f"/api/hosts/{host}").status_code == 404


def test_a_deleted_name_is_free_again_beside_a_running_server(service: Service) -> None:
    first = service.post(report("again", "web")).json()["data"]["host_id"]
    assert manage(url_of(service), "host", "delete", "again").status == 0
    second = service.post(report("again", "db")).json()["data"]["host_id"]
    assert second != first
    assert [one["container_name"] for one in service.data(f"/api/hosts/{second}/containers")] == ["db"]


def test_any_name_can_be_deleted(service: Service) -> None:
    name = "호스트 'x' \"y\" \\ %s 😀"
    service.post(report(name))
    assert manage(url_of(service), "host", "delete", name).status == 0
    assert service.data("/api/hosts", host_name=name) == []


@pytest.mark.parametrize("name", ["stranger", "known ", "KNOWN"])
def test_an_unknown_host_is_an_error(service: Service, name: str) -> None:
    service.post(report("known"))
    done = manage(url_of(service), "host", "delete", name)
    assert (done.status, done.words) == (1, "Error: no host of that name")
    assert len(service.data("/api/hosts", host_name="known")) == 1


def test_without_tables_delete_says_what_to_do(engine: str, new_url: Callable[[str], str]) -> None:
    done = manage(new_url(engine), "host", "delete", "any")
    assert done.status == 1
    assert "\n" not in done.words
    assert "python manage.py db upgrade" in done.words


@pytest.fixture
def busy(service: Service) -> Iterator[Service]:
    """A service that commits all the time."""
    done = threading.Event()

    def post() -> None:
        while not done.is_set():
            assert service.post(report("busy", "web")).status_code == 200

    thread = threading.Thread(target=post)
    thread.start()
    yield service
    done.set()
    thread.join()


def test_commands_work_beside_a_server_under_load(busy: Service) -> None:
    for number in range(5):
        assert busy.post(report(f"beside{number}")).status_code == 200
        done = manage(url_of(busy), "host", "delete", f"beside{number}")
        assert (done.status, "forgotten" in done.words) == (0, True), done.words


def test_a_command_waits_for_a_writer_that_holds_the_file(sqlite: Service) -> None:
    sqlite.post(report("waited-for"))
    engine = dialect_for(sqlite.settings).engine(Role("other"))
    result: list[Done] = []
    command = threading.Thread(target=lambda: result.append(manage(url_of(sqlite), "host", "delete", "waited-for")))
    with engine.begin():
        command.start()
        command.join(0.5)
        assert command.is_alive()
    command.join()
    engine.dispose()
    assert result[0].status == 0


def test_the_password_is_in_no_output(service: Service) -> None:
    for command in (("config", "check"), ("db", "upgrade"), ("host", "delete", "nobody")):
        assert CANARY not in manage(url_of(service), *command).words
