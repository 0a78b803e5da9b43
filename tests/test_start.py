import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.config import ROOT, Settings
from tests.elapsed import within
from tests.processes import free_port
from tests.programs import MAIN, MAIN_AS_USER, Program, program, uvicorn, wait_for
from tests.servers import CANARY, Server
from tests.service import SAMPLE, Service, process, running, settings_for

pytestmark = pytest.mark.slow

SOURCES = ("config", "dashboard", "database", "model", "routers", "services", "utils", "main.py", "logger.py")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the project as it comes, without anyone's settings."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "config.ini"))
        else:
            shutil.copy(ROOT / name, folder)
    return folder


def ended(arguments: list[str], folder: Path, **environ: str) -> tuple[int, str]:
    """The exit status and the whole output of a start that does not succeed."""
    given = {
        "DATABASE_URL": f"sqlite:///{folder}/test.db",
        "LOGGING_FILE_PATH": str(folder / "app.log"),
        "SERVER_PORT": str(free_port()),
    }
    with process(arguments, {**given, **environ}, folder) as child:
        status = child.wait(30)
    return status, (folder / "out.log").read_text(encoding="utf-8")


def test_one_command_serves_on_sqlite_without_any_configuration(checkout: Path, tmp_path: Path) -> None:
    port = free_port()
    with process([str(checkout / "main.py")], {"SERVER_PORT": str(port)}, tmp_path) as child:
        one = Program(child, tmp_path, port).ready()
        assert one.post(SAMPLE).status_code == 200
        assert one.get("/health").json()["data"]["database"]["engine"] == "SQLite"
        one.stop()
    assert (checkout / "data" / "resource_monitor.db").exists()
    assert "commit reports=1" in (checkout / "logs" / "app.log").read_text(encoding="utf-8")


def test_a_log_folder_that_may_not_be_entered_ends_no_start(url: str, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir(mode=0)
    try:
        with program(MAIN_AS_USER, url, tmp_path, LOGGING_FILE_PATH=str(logs / "app.log")) as one:
            assert one.ready().post(SAMPLE).status_code == 200
            one.stop()
    finally:
        logs.chmod(0o700)  # or pytest could not tidy up
    assert one.child.returncode == 0
    assert one.output.count("log_file_unwritable") == 1
    assert "commit reports=1" in one.output


def test_the_start_prints_where_to_look(url: str, tmp_path: Path) -> None:
    with program(MAIN, url, tmp_path) as one:
        one.ready()
        for path in ("/", "/docs", "/api/hosts", "/health"):
            assert f"{one.url}{path}\n" in one.output
            assert one.get(path).status_code == 200


def test_a_start_answers_within_three_seconds(url: str, tmp_path: Path) -> None:
    times: list[float] = []
    while not times or (min(times) >= 3 and len(times) < 5):
        began = time.monotonic()
        with program(MAIN, url, tmp_path, COVERAGE_PROCESS_CONFIG="") as one:
            wait_for(lambda: one.answers("/health/live"))
            times.append(time.monotonic() - began)
            one.stop()
    within(min(times), 3)


@pytest.mark.parametrize("arguments", [MAIN, uvicorn(free_port())], ids=["main.py", "uvicorn"])
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SERVER_PORT", "80x", r"\[server\] port = '80x' .*: give .*\."),
        ("MYSQL_SSL_MODE", "maybe", r"\[mysql\] ssl_mode = 'maybe' .*: give disabled, preferred, .*\."),
        ("DATABASE_URL", f"oracle://app:{CANARY}@db/x", r"\[database\] url .*: give .*\."),
    ],
    ids=["number", "choice", "secret"],
)
def test_a_wrong_setting_is_one_sentence(
    arguments: list[str], name: str, value: str, said: str, tmp_path: Path
) -> None:
    status, output = ended(arguments, tmp_path, **{name: value})
    assert status == 1
    assert re.fullmatch(rf"configuration: {said}\n", output), output
    assert CANARY not in output


@pytest.mark.parametrize("arguments", [MAIN, uvicorn(free_port())], ids=["main.py", "uvicorn"])
def test_an_authority_file_without_a_certificate_is_one_sentence(arguments: list[str], tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("nothing")
    given = {"DATABASE_URL": "mysql://a:b@127.0.0.1/c", "MYSQL_SSL_MODE": "verify_ca", "MYSQL_SSL_CA": str(ca)}
    status, output = ended(arguments, tmp_path, **given)
    assert status != 0
    assert output.count(f"configuration: [mysql] ssl_ca = {ca} is refused: give ") == 1
    assert "Traceback" not in output


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, output = ended(MAIN, tmp_path, SERVER_HOST="127.0.0.1", SERVER_PORT=str(port))
    assert (status, output.count("\n")) == (1, 1)
    assert output.startswith(f"configuration: [server] port = {port} is refused by the system (Address already in use)")


def test_an_address_of_another_machine_is_one_sentence(tmp_path: Path) -> None:
    status, output = ended(MAIN, tmp_path, SERVER_HOST="192.0.2.1", SERVER_PORT=str(free_port()))
    assert (status, output.count("\n")) == (1, 1)
    assert output.startswith("configuration: [server] host = 192.0.2.1 is refused by the system")


def test_a_second_server_on_one_sqlite_file_is_one_sentence(url: str, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir()
    with program(MAIN, url, tmp_path) as first:
        first.ready()
        status, output = ended(MAIN, second, DATABASE_URL=url, SERVER_HOST="127.0.0.1", SERVER_PORT=str(free_port()))
        assert first.post(SAMPLE).status_code == 200
    assert status != 0
    assert output.count("test.db is in use by another server process") == 1
    assert "Traceback" not in output


def test_a_link_to_the_file_is_the_file(url: str, tmp_path: Path) -> None:
    link, second = tmp_path / "link.db", tmp_path / "second"
    link.symlink_to(url.removeprefix("sqlite:///"))
    second.mkdir()
    with program(MAIN, url, tmp_path) as first:
        first.ready()
        given = {"DATABASE_URL": f"sqlite:///{link}", "SERVER_HOST": "127.0.0.1", "SERVER_PORT": str(free_port())}
        status, output = ended(MAIN, second, **given)
    assert status != 0
    assert "in use by another server process" in output


def test_several_workers_on_sqlite_are_one_sentence(tmp_path: Path) -> None:
    status, output = ended(MAIN, tmp_path, SERVER_WORKERS="2")
    assert (status, output.count("\n")) == (1, 1)
    assert "[server] workers = 2 is refused on SQLite" in output


class Away:
    """A database that is not there yet; `come` brings it after so many tries."""

    def __init__(self, settings: Settings, come: Callable[[], object], tries: int = 3) -> None:
        self.settings = settings
        self.come = come
        self.tries = tries


def port_without_server(server: Server, folder: Path, _patch: pytest.MonkeyPatch) -> Away:
    url = server.url(server.create_database())
    server.shutdown()
    return Away(settings_for(url, folder), server.start)


def wrong_password(server: Server, folder: Path, _patch: pytest.MonkeyPatch) -> Away:
    database = server.create_database()
    name = f"user{time.monotonic_ns()}"
    server.execute(f"CREATE USER {name}@'%%' {server.identified} %s", "other")
    server.execute(f"GRANT ALL ON {database}.* TO {name}@'%'")
    url = server.url(database).replace("//app:", f"//{name}:")
    statement = f"ALTER USER {name}@'%%' {server.identified} %s"
    return Away(settings_for(url, folder), lambda: server.execute(statement, CANARY))


def unknown_database(server: Server, folder: Path, _patch: pytest.MonkeyPatch) -> Away:
    name = server.create_database()
    server.execute(f"DROP DATABASE {name}")
    return Away(settings_for(server.url(name), folder), lambda: server.execute(f"CREATE DATABASE IF NOT EXISTS {name}"))


def unknown_host(server: Server, folder: Path, patch: pytest.MonkeyPatch) -> Away:
    """The system's resolver learns the name while the service runs."""
    real, known = socket.getaddrinfo, {"db.invalid": ""}

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the real one
        if known.get(host) == "":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(known.get(host, host), *args, **kwargs)

    patch.setattr(socket, "getaddrinfo", resolve)
    url = server.url(server.create_database()).replace("127.0.0.1", "db.invalid")
    return Away(settings_for(url, folder), lambda: known.update({"db.invalid": "127.0.0.1"}))


def silent_port(server: Server, folder: Path, _patch: pytest.MonkeyPatch) -> Away:
    """Something accepts connections there and says nothing."""
    url = server.url(server.create_database())
    server.shutdown()
    silent = socket.create_server(("127.0.0.1", server.port))

    def come() -> None:
        silent.close()
        server.start()

    return Away(settings_for(url, folder), come, tries=1)


# MariaDB where the server has to start again: it is quicker at that.
WAYS = {
    port_without_server: "mariadb",
    silent_port: "mariadb",
    wrong_password: "mysql",
    unknown_database: "mysql",
    unknown_host: "mysql",
}


@pytest.fixture
def away(
    engine: str,
    way: Callable[[Server, Path, pytest.MonkeyPatch], Away],
    servers: Callable[[str], Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Away]:
    server = servers(engine)
    if not server.controllable and way in (port_without_server, silent_port):
        pytest.skip("the server in use is not ours to end")
    one = way(server, tmp_path, monkeypatch)
    yield one
    one.come()


@pytest.mark.parametrize(("way", "engine"), list(WAYS.items()), ids=[way.__name__ for way in WAYS])
def test_a_database_that_is_away_at_the_start_may_come_later(away: Away) -> None:
    began = time.monotonic()
    with running(away.settings, patient=False) as service:
        assert service.client.get("/health/live").status_code == 200
        live_s = time.monotonic() - began
        assert service.client.get("/health").status_code == 503
        asked = time.monotonic()
        answer = service.post(SAMPLE)
        refused_s = time.monotonic() - asked
        assert (answer.status_code, answer.json()["resultCode"]) == (503, "DB_UNAVAILABLE")
        wait_for_tries(service, away.tries)
        away.come()
        wait_for(lambda: service.client.get("/health").status_code == 200, what=lambda: service.log)
        assert service.post(SAMPLE).status_code == 200
        reasons = re.findall(r"database_down .*", service.log)
        assert len(reasons) == len(set(reasons)) <= 2
        assert CANARY not in service.log
    within(live_s, 3, "s to answer")
    within(refused_s, 5, "s to a refusal")


def wait_for_tries(service: Service, number: int) -> None:
    """Waits until the service has asked after its database so many times."""
    moments: set[float] = set()

    def tried() -> bool:
        moments.add(service.state["database"].seen.at)
        return len(moments) > number

    wait_for(tried)
