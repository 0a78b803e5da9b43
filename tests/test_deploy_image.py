import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from config.config import ROOT
from manage import cli
from tests.deployed import DEPLOY, image_environment, image_files, in_image, instructions
from tests.deployed import program as installed
from tests.elapsed import within
from tests.programs import MAIN, Program, program
from tests.service import SAMPLE

pytestmark = pytest.mark.slow
CONFINED = [str(ROOT / "tests" / "confined.py"), str(DEPLOY / "resource-monitor.service")]
# Each is refused under the unit's limits: giving files away, other networks, memory that is written and then run.
FORBIDDEN = {
    "chown": "import os; os.chown('.', 1, 1)",
    "socket": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "mmap": "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The image's files, and the folders that its Dockerfile makes."""
    folder = tmp_path / "app"
    for name in image_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    for volume in json.loads(instructions("VOLUME")[0]):
        Path(tmp_path, *Path(volume).parts[1:]).mkdir()
    return folder


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def healthy(tree: Path, port: int) -> bool:
    _, *arguments = json.loads(instructions("HEALTHCHECK")[0].partition("CMD ")[2])
    environ = {**os.environ, "SERVER_PORT": str(port), "HTTP_PROXY": "http://127.0.0.1:1"}
    return (
        subprocess.run(
            [sys.executable, *arguments], cwd=tree, env=environ, stderr=subprocess.DEVNULL, check=False
        ).returncode
        == 0
    )


def accepts(server: Program) -> bool:
    return server.ready().post(SAMPLE).status_code == 200 and len(server.get("/api/containers").json()["data"]) == 2


def test_settings_passwords_and_data_stay_out_of_the_image() -> None:
    secret = (
        "config/config.ini",
        "config/config.ini.bak",
        ".env",
        "deploy/.env",
        "data/resource_monitor.db",
        ".git/config",
    )
    other = ("logs/app.log", ".venv/bin/python", "tests/conftest.py", "deploy/compose.yaml", "model/__pycache__/a.pyc")
    assert not [path for path in (*secret, *other) if in_image(path)]
    assert in_image("config/config.py")


def test_images_files_are_a_whole_server_that_writes_to_its_volumes_only(tree: Path, tmp_path: Path) -> None:
    before = files(tree)
    no_bytecode = image_environment()["PYTHONDONTWRITEBYTECODE"]
    environ = {"PYTHONDONTWRITEBYTECODE": no_bytecode, "LOGGING_FILE_PATH": "logs/app.log"}
    with program([str(tree / "main.py")], None, tmp_path, 0, **environ) as server:
        assert accepts(server)
        assert server.get("/docs").status_code == 200
        took = server.stop()
    assert {name.partition("/")[0] for name in files(tree) - before} == {"data", "logs"}
    within(took, 20)


def test_images_files_have_all_of_the_operators_commands(tree: Path) -> None:
    command = [sys.executable, "-B", "manage.py", "--help"]
    shown = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [name for name in cli.commands if f"  {name} " not in shown.stdout] == []


def test_health_check_tells_a_server_that_answers_from_one_that_is_gone(tree: Path, tmp_path: Path) -> None:
    with program(MAIN, f"sqlite:///{tmp_path}/a.db", tmp_path) as server:
        server.ready()
        assert healthy(tree, server.port)
        server.stop()
        assert not healthy(tree, server.port)


@pytest.mark.parametrize(("engine", "workers"), [("sqlite", "1"), ("mysql", "2")])
def test_server_does_all_it_has_to_under_the_units_limits(
    engine: str, workers: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    installed("systemd-analyze")
    with program([*CONFINED, *MAIN], new_url(engine), tmp_path, SERVER_WORKERS=workers) as server:
        assert accepts(server)
        server.stop()
        assert server.child.returncode == 0


@pytest.mark.parametrize("call", FORBIDDEN)
def test_units_limits_are_in_force(call: str, tmp_path: Path) -> None:
    installed("systemd-analyze")
    commands = [[sys.executable, *confined, "-c", FORBIDDEN[call]] for confined in ([], CONFINED)]
    free, limited = (subprocess.run(one, cwd=tmp_path, capture_output=True, check=False) for one in commands)
    assert b"PermissionError" in limited.stderr
    assert os.geteuid() or free.returncode == 0
