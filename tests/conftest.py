"""The database servers of a test session, and services on fresh databases of each engine."""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from pytest_timeout import _get_item_settings  # type: ignore[import-untyped]

from services import jobs, lockout
from tests.dashboard import Console, Fleet, at_work, browsing, filled, opened
from tests.guarded import Guarded, guarding
from tests.people import SECRET
from tests.schema_engine import Target, target
from tests.servers import MariaDb, MySql, Server, available
from tests.service import Service, running, settings_for

# What cannot run here is left out, and the end of `make test` says so in red.
LEFT_OUT: dict[str, str] = {name: reason for name, reason in available().items() if reason}
ENGINES = [name for name in ("sqlite", "mariadb", "mysql") if name not in LEFT_OUT]
SERVER_CLASSES: dict[str, type[Server]] = {"mariadb": MariaDb, "mysql": MySql}


def pytest_configure() -> None:
    """The clients' own lines would drown the services'.

    A shell lets what it runs in the background ignore Ctrl-C, and so would every program that a test starts and ends.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Each takes minutes, and one process: begun last, they would be waited for alone. test_adoption_steps does so too, but
# measures how long something takes, and has its minute more easily apart from these.
LONG = {"test_benchmarks", "test_processes", "test_schemathesis"}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts long modules first, and marks what needs a database server as slow: `make check` leaves it out."""
    items.sort(key=lambda item: item.path.stem not in LONG)
    for item in items:
        engine = item.callspec.params.get("engine") if hasattr(item, "callspec") else None
        if engine in SERVER_CLASSES:
            item.add_marker("slow")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Limits the time of a further try too: pytest-timeout's own limit ends with the first failure."""
    if getattr(item, "execution_count", 1) > 1 and (settings := _get_item_settings(item)).timeout:
        item.ihook.pytest_timeout_set_timer(item=item, settings=settings)


@pytest.fixture(scope="session", autouse=True)
def _aggregates_by_hand() -> Iterator[None]:
    """In the services of this process: tests count the statements of the writer's connection, which the jobs use."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ROLL_EVERY_S", "PRESENCE_EVERY_S", "FIRST_S"):
            patch.setattr(jobs, name, 3_600.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _audit_log_aside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of what gets its settings from the environment, as commands do: the project's own folder stays as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECURITY_AUDIT_PATH", str(tmp_path_factory.mktemp("audit") / "audit.log"))
        yield


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Server]]:
    """Gives the session's server of an engine, started when it is first asked for."""
    started: dict[str, Server] = {}
    with ExitStack() as stack:

        def server(engine: str) -> Server:
            if engine in LEFT_OUT:
                pytest.skip(LEFT_OUT[engine])
            if engine not in started:
                started[engine] = stack.enter_context(SERVER_CLASSES[engine]())
            return started[engine]

        yield server


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def new_url(servers: Callable[[str], Server], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Gives the URL of a fresh, empty database of an engine."""

    def url(engine: str) -> str:
        if engine == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/test.db"
        server = servers(engine)
        return server.url(server.create_database())

    return url


@pytest.fixture(scope="module")
def service(engine: str, new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on each engine, shared by a module's tests: they use host names of their own."""
    with running(settings_for(new_url(engine), tmp_path_factory.mktemp("service"))) as one:
        yield one


@pytest.fixture
def fresh(engine: str, new_url: Callable[[str], str], tmp_path: Path) -> Iterator[Service]:
    """A service on each engine with an empty database of this test alone."""
    with running(settings_for(new_url(engine), tmp_path)) as one:
        yield one


@pytest.fixture(scope="module")
def sqlite(new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on SQLite alone, for what no engine has a say in."""
    with running(settings_for(new_url("sqlite"), tmp_path_factory.mktemp("service"))) as one:
        yield one


@pytest.fixture(scope="module")
def guard(engine: str, new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A service on each engine that asks for tokens, shared by a module's tests."""
    folder = tmp_path_factory.mktemp("guarded")
    with guarding(settings_for(new_url(engine), folder, SECURITY_MODE="enforce")) as one:
        yield one


@pytest.fixture(scope="module")
def staffed(engine: str, new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The same, where people can sign in; a module's tests all come from one address."""
    given = {"SECURITY_MODE": "enforce", "SECURITY_JWT_SECRET": SECRET}
    settings = settings_for(new_url(engine), tmp_path_factory.mktemp("staffed"), **given)
    with pytest.MonkeyPatch.context() as patch, guarding(settings) as one:
        patch.setattr(lockout, "LIMIT_OF_ALL_NAMES", 10_000)
        yield one


@pytest.fixture
def store(engine: str, new_url: Callable[[str], str]) -> Iterator[Target]:
    """A database with our tables, without a service."""
    with target(new_url(engine)) as one:
        one.prepare()
        yield one


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all pages."""
    with browsing() as browser:
        yield browser


@pytest.fixture(scope="module")
def fleet(new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A made-up fleet on SQLite, whose events are made at once."""
    settings = settings_for(new_url("sqlite"), tmp_path_factory.mktemp("fleet"))
    with pytest.MonkeyPatch.context() as patch, at_work(patch), running(settings) as one:
        yield filled(one)


@pytest.fixture
def console(fleet: Fleet) -> Console:
    """What must stay empty while a page is open."""
    return Console(fleet.url)


@pytest.fixture
def page(browser: Browser, console: Console) -> Iterator[Page]:
    """A page of the fleet's service, 1280 px wide, in English, in Seoul."""
    with opened(browser, console) as page:
        yield page


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests measured, for whoever wants the figures."""
    for kind in ("passed", "failed", "rerun"):
        for one in terminalreporter.getreports(kind):
            for name, value in one.user_properties if one.when == "call" else ():
                terminalreporter.write_line(f"{one.nodeid.rpartition('::')[2]}: {name}: {value:.1f}")
