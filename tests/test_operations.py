import configparser
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import text

from config.config import ROOT, load
from database import writer
from database.writer import Writer
from model.envelope import Code
from tests.elapsed import within
from tests.faultkit import foreign
from tests.processes import free_port
from tests.servers import CANARY, Server
from tests.service import NO_FILE, Service, report, running, settings_for

EXAMPLE = ROOT / "config" / "config.ini.example"
HEALTH = {"status", "timestamp", "version", "uptime_s", "database", "queue_depth", "last_commit_age_s", "security"}
on_servers = pytest.mark.parametrize("engine", ["mariadb", "mysql"])
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
# How long /health took each time.
WAITS: list[float] = []


@pytest.fixture(autouse=True)
def _health_in_time() -> Iterator[None]:
    """Health answers within a second whatever the database does: judged when all else of a test is."""
    WAITS.clear()
    yield
    within(max(WAITS, default=0), 1, "s for /health")


def health(service: Service) -> httpx.Response:
    """What /health says."""
    began = time.monotonic()
    answer = service.client.get("/health")
    WAITS.append(time.monotonic() - began)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["success"] is (answer.status_code == 200)
    return answer


def until(service: Service, status: int) -> httpx.Response:
    deadline = time.monotonic() + 30
    while (answer := health(service)).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    return answer


@contextmanager
def undone(undo: Callable[[], object], service: Service) -> Iterator[None]:
    """Whatever a test does to the database server ends with the test."""
    try:
        yield
    finally:
        undo()
        until(service, 200)


def test_health_tells_what_runs_and_how_it_is(fresh: Service, engine: str) -> None:
    fresh.post(report("any"))
    data = until(fresh, 200).json()["data"]
    assert data.keys() == HEALTH
    assert (data["status"], data["version"], data["queue_depth"], data["security"]) == ("ok", "1.0.0", 0, "off")
    assert data["database"].keys() == {"status", "engine", "version", "durability", "warning"}
    assert (data["database"]["status"], data["database"]["engine"].lower()) == ("up", engine)
    assert 0 <= data["last_commit_age_s"] <= data["uptime_s"] < 120


def test_health_names_no_commit_before_the_first(fresh: Service) -> None:
    assert until(fresh, 200).json()["data"]["last_commit_age_s"] is None


@pytest.mark.parametrize("path", ["/health", "/health/live"])
def test_head_is_get_without_a_body(sqlite: Service, path: str) -> None:
    until(sqlite, 200)
    got, head = sqlite.client.get(path), sqlite.client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert {one.headers["cache-control"] for one in (got, head)} == {"no-store"}


def test_full_storage_is_no_good_health(sqlite: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    until(sqlite, 200)
    monkeypatch.setattr(Writer, "blocked", Code.STORAGE_FULL)
    assert health(sqlite).status_code == 503
    assert sqlite.client.head("/health").status_code == 503


def test_health_tells_of_a_lock_that_lets_nothing_be_written(
    fresh: Service, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "STUCK_S", 1.0)
    assert fresh.post(report("before")).status_code == 200
    with ThreadPoolExecutor(1) as threads, foreign(fresh) as other:
        other.execute(text("UPDATE hosts SET cpu_cores = 1" if engine == "sqlite" else "LOCK TABLES hosts WRITE"))
        post = threads.submit(fresh.post, report("before"))
        answer = until(fresh, 503)
        assert answer.json()["resultCode"] == "DB_UNAVAILABLE"
        assert answer.json()["data"]["database"]["status"] == "up"
        assert answer.json()["data"]["queue_depth"] == 1
        other.execute(text("ROLLBACK" if engine == "sqlite" else "UNLOCK TABLES"))
        assert post.result().status_code == 200
    until(fresh, 200)


@pytest.fixture(scope="module")
def homeless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose database was never there."""
    folder = tmp_path_factory.mktemp("homeless")
    url = f"mysql://app:{quote(CANARY, safe='')}@127.0.0.1:{free_port()}/none"
    with running(settings_for(url, folder)) as service:
        yield service


def test_service_without_a_database_lives_and_says_what_is_missing(homeless: Service) -> None:
    body = until(homeless, 503).json()
    assert (body["resultCode"], body["resultMessage"], body["data"]["status"]) == (
        "DB_UNAVAILABLE",
        *["unavailable"] * 2,
    )
    assert body["data"]["database"]["status"] in ("starting", "down")
    assert body["data"]["database"]["engine"] == "mysql"
    assert homeless.client.head("/health").status_code == 503
    assert homeless.client.get("/health/live").json()["data"] == {"status": "alive"}


ROUTES = (
    "GET /api/hosts",
    "GET /api/hosts/1",
    "GET /api/hosts/1/containers",
    "GET /api/containers",
    "DELETE /api/hosts/1",
)


@pytest.mark.parametrize("route", ROUTES)
def test_without_a_database_every_list_says_when_to_come_again(homeless: Service, route: str) -> None:
    answer = homeless.client.request(*route.split())
    assert (answer.status_code, answer.json()["resultCode"]) == (503, "DB_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json().keys() == {"success", "resultCode", "resultMessage", "data"}


@on_servers
def test_health_answers_at_once_while_the_database_hangs(
    fresh: Service, servers: Callable[[str], Server], engine: str
) -> None:
    until(fresh, 200)
    servers(engine).pause()
    with undone(servers(engine).resume, fresh):
        assert until(fresh, 503).json()["data"]["database"]["status"] == "down"
        assert fresh.client.get("/health/live").status_code == 200


@on_servers
def test_health_follows_a_database_that_only_reads(
    fresh: Service, servers: Callable[[str], Server], engine: str
) -> None:
    until(fresh, 200)
    servers(engine).execute("SET GLOBAL read_only = 1")
    with undone(lambda: servers(engine).execute("SET GLOBAL read_only = 0"), fresh):
        assert until(fresh, 503).json()["data"]["database"]["status"] == "read_only"
        assert fresh.client.get("/api/hosts").status_code == 200


@on_servers
def test_lists_and_deletes_are_refused_while_the_database_is_down(
    fresh: Service, servers: Callable[[str], Server], engine: str
) -> None:
    host_id = fresh.post(report("kept")).json()["data"]["host_id"]
    until(fresh, 200)
    servers(engine).kill()
    with undone(servers(engine).start, fresh):
        for method in ("DELETE", "GET"):
            answer = fresh.client.request(method, f"/api/hosts/{host_id}")
            assert (answer.status_code, answer.json()["resultCode"]) == (503, "DB_UNAVAILABLE")
            assert int(answer.headers["retry-after"]) > 0
    assert fresh.data(f"/api/hosts/{host_id}")["host_name"] == "kept"
    answer = fresh.client.delete(f"/api/hosts/{host_id}")
    if answer.status_code == 503:  # the writer may be the first to learn that its connection is from before
        answer = fresh.client.delete(f"/api/hosts/{host_id}")
    assert answer.status_code == 204


SECRET = {
    ("mysql", "password"),
    ("database", "url"),
    ("server", "ssl_keyfile_password"),
    ("monitoring", "webhook_url"),
    ("security", "jwt_secret"),
}


def test_config_shows_every_setting_with_its_source_but_no_secret(sqlite: Service) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(EXAMPLE.read_text(encoding="utf-8"))
    expected = {(section, key) for section in parser.sections() for key in parser[section]} - SECRET
    shown = sqlite.data("/config")
    assert {(section, key) for section, keys in shown.items() for key in keys} == expected
    assert all(setting.keys() == {"value", "source"} for keys in shown.values() for setting in keys.values())
    assert shown["app"]["timezone"] == {"value": "Asia/Seoul", "source": "environment"}
    assert shown["server"]["port"] == {"value": 8000, "source": "default"}


def test_config_names_what_came_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.ini"
    file.write_text("[monitoring]\noffline_after_s = 60\n")
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path}/test.db", "LOGGING_FILE_PATH": str(tmp_path / "app.log")}
    with running(load(environ, file)) as service:
        assert service.data("/config")["monitoring"]["offline_after_s"] == {"value": 60, "source": "file"}


READS = (
    "/",
    "/health",
    "/health/live",
    "/config",
    "/api/hosts",
    "/api/hosts/1",
    "/api/containers",
    "/openapi.json",
    "/docs",
)


@pytest.mark.parametrize("accept", ["*/*", BROWSER["Accept"]])
def test_password_is_in_no_body(homeless: Service, accept: str) -> None:
    for path in (*READS, "/nowhere"):
        answer = homeless.client.get(path, headers={"Accept": accept})
        for secret in (CANARY, quote(CANARY, safe=""), CANARY.encode().hex(), "canary"):
            assert secret.lower() not in (answer.text + str(answer.headers)).lower()


def test_password_of_its_own_setting_is_in_no_body(tmp_path: Path) -> None:
    mysql = {"MYSQL_HOST": "127.0.0.1", "MYSQL_PORT": str(free_port()), "MYSQL_DATABASE": "none", "MYSQL_USER": "app"}
    environ = {**mysql, "MYSQL_PASSWORD": CANARY, "LOGGING_FILE_PATH": str(tmp_path / "app.log")}
    with running(load(environ, tmp_path / NO_FILE)) as service:
        assert service.data("/config")["mysql"]["user"] == {"value": "app", "source": "environment"}
        assert not [path for path in READS if "canary" in service.client.get(path).text]


def test_root_tells_a_program_what_this_is_and_where_to_go(sqlite: Service) -> None:
    data = sqlite.data("/")
    assert (data["name"], data["version"]) == ("Resource Monitor Server", "1.0.0")
    assert [sqlite.client.get(link).status_code for link in data["links"].values()] == [200] * len(data["links"])
    assert {"/docs", "/api/hosts", "/health"} <= set(data["links"].values())


def test_root_shows_a_browser_a_page(sqlite: Service) -> None:
    answer = sqlite.client.get("/", headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Accept" in answer.headers["vary"].split(", ")
    assert all(
        text in answer.text for text in ("Resource Monitor Server", "1.0.0", 'href="/docs"', "/static/js/fleet.js")
    )


def test_title_is_text_on_the_page_whatever_it_holds(tmp_path: Path) -> None:
    title = "<script>alert('$x')</script> & \"자원\""
    settings = settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path, APP_TITLE=title, APP_DESCRIPTION="$title <b>")
    with running(settings) as service:
        text = service.client.get("/", headers=BROWSER).text
        assert service.data("/")["name"] == title
    assert text.count("<script") == text.count('<script type="module" src="/static/js/')
    assert "&lt;script&gt;alert(&#39;$x&#39;)&lt;/script&gt; &amp; &#34;자원&#34;" in text
    assert "$title &lt;b&gt;" in text
