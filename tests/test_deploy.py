import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

from config.config import ROOT, env_name
from config.settings import SECTIONS, Settings
from database.database import STALE_S
from database.dialect import Role, dialect_for
from database.faults import LEAVE_SERVER
from database.writer import ACK_TIMEOUT_S, AWAY_S, MAX_BATCH_BYTES, STOP_S
from manage import cli
from routers import bodies
from routers.protocol import RECEIVE_TIMEOUT_S
from routers.serving import DRAIN_S, KEEP_ALIVE_S, WORKER_START_S
from tests.deployed import (
    DEPLOY,
    compose,
    directives,
    image_environment,
    instructions,
    program,
    seconds,
    size,
    unit,
    words,
)

NAMES = {env_name(section, key) for section, model in SECTIONS.items() for key in model.model_fields}
# What Compose and MySQL's image read, not the server.
OTHERS = {"BIND_ADDRESS", "MYSQL_ROOT_PASSWORD", "MYSQL_PWD"}
PAGES = ("README.md", "rds.md")
SERVICES = ("server", "database")
# Of 10 points in the judgement of systemd; the network it cannot do without is about one.
EXPOSURE = 1.5


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"][name]
    return found


def test_every_environment_name_is_a_setting() -> None:
    image = {name for name in image_environment() if not name.startswith("PYTHON")}
    systemd = {line.partition("=")[0] for line in unit("Environment")}
    assert image | systemd | set(service("server")["environment"]) <= NAMES


@pytest.mark.parametrize("page", PAGES)
def test_every_name_that_the_pages_set_is_a_setting(page: str) -> None:
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+(?==)", words(page)))
    assert named - OTHERS <= NAMES
    assert named


def test_image_is_of_the_python_that_the_tools_are_set_to() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    bases = {base.split()[0] for base in instructions("FROM")}
    assert bases == {f"python:{tools['mypy']['python_version']}-slim"}


def test_one_port_is_named_everywhere() -> None:
    port = str(Settings().server.port)
    published = service("server")["ports"][0].rpartition(":")[2]
    instances = [address.split()[0].rpartition(":")[2] for address in directives("server")]
    assert {image_environment()["SERVER_PORT"], instructions("EXPOSE")[0], published, *instances} == {port}


def test_nobody_kills_the_server_before_it_has_drained() -> None:
    given = [service("server")["stop_grace_period"], unit("TimeoutStopSec")[0]]
    given += [f"{period}s" for period in re.findall(r"--stop-timeout (\d+)", words("README.md"))]
    assert len(given) == 3
    assert min(map(seconds, given)) >= WORKER_START_S + DRAIN_S + STOP_S
    for name in ("compose.yaml", "resource-monitor.service"):
        comments = " ".join(words(name).replace("#", "").split())
        assert f"the {WORKER_START_S} s in which the parent may wait for a stuck worker" in comments
        assert f"the {DRAIN_S} s in which requests end and the {STOP_S:g} s in which the writer does" in comments


def test_image_runs_without_a_shell_as_a_user_without_rights() -> None:
    assert instructions("USER") == ["10001:10001"]
    check = instructions("HEALTHCHECK")[0].partition("CMD ")[2]
    assert [json.loads(command)[0] for command in (*instructions("CMD"), check)] == ["python", "python"]


def test_no_password_is_in_a_file() -> None:
    assert not re.search("PASSWORD|SECRET|TOKEN", words("Dockerfile") + words("resource-monitor.service"))
    given = [service(name)["environment"] for name in SERVICES]
    passwords = {value for one in given for name, value in one.items() if "PASSWORD" in name}
    assert all(re.fullmatch(r"\$\{\w+:\?.+\}", value) for value in passwords), "each comes from the environment"
    assert service("server")["environment"]["SECURITY_JWT_SECRET"] == "${SECURITY_JWT_SECRET:-}"


@pytest.mark.parametrize("name", SERVICES)
def test_containers_have_no_rights_to_lose(name: str) -> None:
    one = service(name)
    assert (one["cap_drop"], one["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert one["restart"] == "unless-stopped"


def test_compose_keeps_the_server_read_only_and_the_database_to_itself() -> None:
    server, database = service("server"), service("database")
    assert (server["read_only"], server["tmpfs"]) == (True, ["/tmp"])  # noqa: S108 - the container's
    volumes = {volume.partition(":")[2] for volume in server["volumes"]}
    assert volumes == set(json.loads(instructions("VOLUME")[0]))
    assert server["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert {"SECURITY_MODE", "SECURITY_JWT_SECRET"} <= set(server["environment"])
    assert ("ports" in database, database["networks"]) == (False, ["database"])
    assert compose()["networks"]["database"] == {"internal": True}


def test_nginx_lets_through_what_an_instance_takes_and_waits_as_long_as_it_does() -> None:
    [largest], [answer] = directives("client_max_body_size"), directives("proxy_read_timeout")
    assert size(largest) == bodies.MAX_BATCH_BYTES >= bodies.MAX_REPORT_BYTES
    assert seconds(directives("client_body_timeout")[0]) == RECEIVE_TIMEOUT_S
    assert seconds(answer) > ACK_TIMEOUT_S


def test_nginx_ends_idle_connections_before_an_instance_would_and_agents_connections_no_sooner() -> None:
    instances, agents = directives("keepalive_timeout")
    assert seconds(instances) < KEEP_ALIVE_S <= seconds(agents)


def test_nginx_gives_a_report_to_one_instance_only() -> None:
    assert directives("proxy_next_upstream") == ["off", "error timeout", "off"]
    reports, reading, changes = words("nginx.conf").partition("location ~")[2].split("    location ")[:3]
    assert "proxy_next_upstream off;" in reports
    assert "proxy_next_upstream error timeout;" in reading
    assert "proxy_next_upstream off;" in changes


@pytest.mark.parametrize("page", ["README.md", "rds.md", "nginx.conf"])
def test_every_command_that_the_pages_name_is_there(page: str) -> None:
    for words_ in re.findall(r"manage\.py ([a-z ]+[a-z])", words(page)):
        command: click.Command = cli
        for word in words_.split():
            command = command.commands[word] if isinstance(command, click.Group) else command
        assert not isinstance(command, click.Group), words_


def test_numbers_of_the_rds_page_are_the_servers() -> None:
    page, pool = words("rds.md"), Settings().database
    connections = pool.pool_size + pool.max_overflow + 2
    assert f"at most {connections}: `pool_size` {pool.pool_size}, `max_overflow` {pool.max_overflow}," in page
    errors = re.findall(r"\d+", page.partition("(errors ")[2].partition(")")[0])
    assert len(errors) == 3
    assert set(map(int, errors)) <= LEAVE_SERVER
    assert f"503 after at most {ACK_TIMEOUT_S:g} s, `/health` within {STALE_S:g} s" in page
    assert f"after {AWAY_S:g} s of outage `POST` at once" in page


def test_rds_values_leave_room_for_a_batch_and_for_old_connections() -> None:
    given = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", words("rds.md"), re.MULTILINE))
    assert int(given["max_allowed_packet"]) // 2 > MAX_BATCH_BYTES + 4 * bodies.MAX_REPORT_BYTES
    mysql = Settings.model_validate({"mysql": {"host": "h", "user": "u", "database": "d"}})
    engine = dialect_for(mysql).engine(Role("test"))
    assert int(given["wait_timeout"]) > engine.pool._recycle


@pytest.mark.slow
def test_dockerfile_has_no_mistakes() -> None:
    command = [program("hadolint"), "--no-color", str(DEPLOY / "Dockerfile")]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == ""


@pytest.mark.slow
def test_compose_file_keeps_to_its_schema() -> None:
    command = [program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("judgement", [["verify"], ["security", "--offline=true", f"--threshold={EXPOSURE * 10:g}"]])
def test_systemd_finds_nothing_to_object_to(judgement: list[str], tmp_path: Path) -> None:
    copy = tmp_path / "resource-monitor.service"
    copy.write_text(words(copy.name).replace("/opt/resource-monitor", str(ROOT)))
    command = [program("systemd-analyze"), *judgement, str(copy)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (judged.returncode, judged.stderr) == (0, ""), judged.stdout
