import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
import trustme
from sqlalchemy.exc import DBAPIError

from tests.conftest import ENGINES, LEFT_OUT
from tests.deployed import compose, words
from tests.earlier import small
from tests.programs import wait_for
from tests.schema_engine import target
from tests.servers import CANARY, MySql, Server, Tls
from tests.service import SAMPLE, Service, report, running, settings_for

pytestmark = pytest.mark.slow
PAGE = words("rds.md")
# The page's parameters with a value of their own, and what it lets the second user do.
PARAMETERS = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", PAGE, re.MULTILINE))
RIGHTS = re.findall(r"GRANT (.+) ON \S+ TO 'monitor_migrations'", PAGE)[0].split(", ")
mysql_only = pytest.mark.skipif("mysql" in LEFT_OUT, reason=f"MySQL: {LEFT_OUT.get('mysql')}")


class Recipe(NamedTuple):
    """What the page's SQL made: a database's name, and its URL for each user."""

    database: str
    urls: dict[str, str]


@pytest.fixture(scope="module", params=[engine for engine in ENGINES if engine != "sqlite"])
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    return servers(request.param)


@contextmanager
def recipe(server: Server, number: int, *, tls: bool = False) -> Iterator[Recipe]:
    """Runs the page's SQL for one user (0) or two (1), under names of its own."""
    block, own = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)[number], f"_{secrets.token_hex(4)}"
    sql = re.sub(r"\b(resource_monitor|monitor(?:_migrations)?)\b", rf"\1{own}", block)
    sql = re.sub(r"BY '.*?'", f"BY '{CANARY}'", sql)
    users = re.findall(r"CREATE USER '(\w+)'", sql)
    database = f"resource_monitor{own}"
    at = f":{quote(CANARY, safe='')}@{server.host}:{server.port}/{database}"
    try:
        for statement in (sql if tls else sql.replace(" REQUIRE SSL", "")).strip().splitlines():
            server.execute(statement.removesuffix(";"))
        yield Recipe(database, {user.removesuffix(own): f"mysql://{user}{at}" for user in users})
    finally:
        server.execute(f"DROP DATABASE IF EXISTS {database}")
        for user in users:
            server.execute(f"DROP USER IF EXISTS {user}")


def does_everything(service: Service) -> bool:
    """Stores, shows, deletes and purges a host."""
    answers = [service.post(report(name, "web")) for name in ("old", "new")]  # the newest host's row would stay
    host_id = answers[0].json()["data"]["host_id"]
    assert [row["host_name"] for row in service.data("/api/containers")] == ["new", "old"]
    assert service.client.delete(f"/api/hosts/{host_id}").status_code == 204
    left = "SELECT COUNT(*) FROM {} WHERE {} = :id"
    tables = {"hosts": "id", "reports": "host_id", "containers": "host_id", "rollup_pending": "host_id"}
    wait_for(lambda: all(service.sql(left.format(*pair), id=host_id) == [(0,)] for pair in tables.items()))
    return True


def test_pages_user_can_do_all_that_a_new_database_needs(server: Server, tmp_path: Path) -> None:
    with recipe(server, 0) as made, running(settings_for(made.urls["monitor"], tmp_path)) as service:
        assert does_everything(service)


def test_pages_user_can_take_over_an_earlier_servers_database(server: Server, tmp_path: Path) -> None:
    with recipe(server, 0) as made:
        with target(made.urls["monitor"]) as one:
            small(one)
        with running(settings_for(made.urls["monitor"], tmp_path)) as service:
            assert [row["host_name"] for row in service.data("/api/hosts")] == ["web-1", "web-2"]


def test_server_that_may_not_migrate_waits_for_the_user_that_may(server: Server, tmp_path: Path) -> None:
    with recipe(server, 1) as made:
        settings = settings_for(made.urls["monitor"], tmp_path, DATABASE_MIGRATE_ON_START="false")
        with running(settings) as service:
            assert service.post(SAMPLE).json()["resultCode"] == "DB_UNAVAILABLE"
            with target(made.urls["monitor_migrations"]) as one:
                one.prepare()
            wait_for(lambda: service.client.get("/health").status_code == 200)
            assert does_everything(service)


def test_start_that_may_not_make_views_names_the_right_and_goes_on_once_it_is_granted(
    server: Server, tmp_path: Path
) -> None:
    with recipe(server, 0) as made:
        user = made.urls["monitor"].split("/")[2].split(":")[0]
        server.execute(f"REVOKE CREATE VIEW ON {made.database}.* FROM {user}")
        with running(settings_for(made.urls["monitor"], tmp_path)) as service:
            wait_for(lambda: "CREATE VIEW command denied" in service.log, lambda: service.log)
            assert service.post(SAMPLE).json()["resultCode"] == "DB_UNAVAILABLE"
            server.execute(f"GRANT CREATE VIEW ON {made.database}.* TO {user}")
            wait_for(lambda: service.client.get("/health").status_code == 200)
            assert does_everything(service)


@mysql_only
@pytest.mark.parametrize("right", RIGHTS)
def test_user_for_migrations_has_no_right_to_spare(right: str, servers: Callable[[str], Server]) -> None:
    server = servers("mysql")
    with recipe(server, 1) as made:
        with target(server.url(made.database)) as everyone:
            server.execute(f"GRANT ALL ON {made.database}.* TO app")
            small(everyone)
        url = made.urls["monitor_migrations"]
        server.execute(f"REVOKE {right} ON {made.database}.* FROM {url.split('/')[2].split(':')[0]}")
        with target(url) as one, pytest.raises(DBAPIError, match="denied"):
            one.prepare()


@mysql_only
def test_pages_parameters_tls_and_user_work_together(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    bundle = tmp_path / "bundle.pem"
    authority.cert_pem.write_to_path(bundle)
    tls = Tls(bundle.read_bytes(), issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes())
    options = [f"--{name.replace('_', '-')}={value}" for name, value in PARAMETERS.items()]
    with MySql(*options, tls=tls) as server, recipe(server, 0, tls=True) as made:
        verified = {"MYSQL_SSL_MODE": "verify_identity", "MYSQL_SSL_CA": str(bundle)}
        with running(settings_for(made.urls["monitor"], tmp_path, **verified)) as service:
            assert service.data("/health")["database"]["durability"] == "full"
            assert does_everything(service)
        with running(settings_for(made.urls["monitor"], tmp_path, MYSQL_SSL_MODE="disabled")) as service:
            assert service.client.get("/health").status_code == 503


@mysql_only
def test_compose_files_database_is_durable_and_takes_every_option(tmp_path: Path) -> None:
    options = compose()["services"]["database"]["command"]
    with MySql(*options) as server, running(settings_for(server.url(server.create_database()), tmp_path)) as service:
        database = service.data("/health")["database"]
        assert (database["status"], database["durability"], database["warning"]) == ("up", "full", None)
        assert service.post(SAMPLE).status_code == 200
