"""The agent stands alone: it needs nothing of the server, an older Python, and what its folder brings to run it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from agent.settings import _SETTINGS
from config.config import ROOT
from tests.deployed import program

pytestmark = pytest.mark.agent
AGENT = ROOT / "agent"
MODULES = sorted(AGENT.glob("*.py"))
# Of 10 points in the judgement of systemd; network and the engine's group are most of it.
EXPOSURE = 1.5


def test_it_imports_itself_psutil_and_the_standard_library() -> None:
    found = {name.partition(".")[0] for path in MODULES for name in _imported(path)}
    assert found - sys.stdlib_module_names == {"agent", "psutil"}


def _imported(path: Path) -> list[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return names + [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]


def test_it_runs_on_python_3_9() -> None:
    checked = subprocess.run(
        [program("vermin"), "-t=3.9-", "--no-tips", AGENT], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_a_copied_folder_is_enough(tmp_path: Path) -> None:
    for path in MODULES:
        copy = tmp_path / "agent" / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "agent", "--once"]
    environ = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock", "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30, check=True)
    assert '"containers": []' in done.stdout


def test_without_psutil_it_says_what_to_install() -> None:
    hidden = "import runpy, sys; sys.modules['psutil'] = None; runpy.run_module('agent', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", hidden], cwd=ROOT, capture_output=True, text=True, check=False)
    expected = f"psutil is missing: {sys.executable} -m pip install -r agent/requirements.txt\n"
    assert (done.returncode, done.stderr) == (1, expected)


def made_by_make(folder: Path, **environ: str) -> str:
    """The spool that `make agent` gives the agent; the program that would run is one that tells it."""
    tools = folder / ".venv" / "bin"
    tools.mkdir(parents=True, exist_ok=True)
    (tools / "pip").touch()
    (tools / "python").write_text('#!/bin/sh\necho "$AGENT_SPOOL"\n')
    (tools / "python").chmod(0o755)
    (folder / "agent").mkdir(exist_ok=True)
    (folder / "agent" / "requirements.txt").touch()
    (folder / ".venv" / ".installed-agent").touch()
    command = ["make", "-s", "-f", str(ROOT / "Makefile"), "agent"]
    environ = {"PATH": os.environ["PATH"], **environ}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=True).stdout.strip()


def test_make_leaves_the_spool_to_the_file_or_the_environment(tmp_path: Path) -> None:
    assert made_by_make(tmp_path) == "data/spool"
    assert made_by_make(tmp_path, AGENT_SPOOL="mine") == "mine"
    (tmp_path / "agent.ini").write_text("[agent]\nspool_max_mb = 5\n")
    assert made_by_make(tmp_path) == "data/spool"
    (tmp_path / "agent.ini").rename(tmp_path / "other.ini")
    (tmp_path / "other.ini").write_text("[agent]\nspool = there\n")
    assert made_by_make(tmp_path) == "data/spool"
    assert made_by_make(tmp_path, AGENT_CONFIG="other.ini") == ""


def test_dockerfile_has_no_mistakes() -> None:
    command = [program("hadolint"), "--no-color", str(AGENT / "Dockerfile")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_compose_file_keeps_to_its_schema_and_gives_no_rights() -> None:
    command = [program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(AGENT / "compose.yaml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    one = yaml.safe_load((AGENT / "compose.yaml").read_text(encoding="utf-8"))["services"]["agent"]
    assert (one["cap_drop"], one["security_opt"], one["read_only"]) == (["ALL"], ["no-new-privileges:true"], True)
    mounts = {"/var/run/docker.sock:/var/run/docker.sock:ro", "/etc/os-release:/etc/os-release:ro", "spool:/spool"}
    assert set(one["volumes"]) == mounts
    names = {name.removeprefix("AGENT_").lower() for name in one["environment"]}
    assert {"server", "token", "host_name"} <= names <= set(_SETTINGS)


@pytest.mark.parametrize("judgement", [["verify"], ["security", "--offline=true", f"--threshold={EXPOSURE * 10:g}"]])
def test_systemd_finds_nothing_to_object_to(judgement: list[str], tmp_path: Path) -> None:
    copy = tmp_path / "resource-monitor-agent.service"
    words = (AGENT / copy.name).read_text(encoding="utf-8")
    assert "/opt/resource-monitor/.venv/bin/python -m agent " in words
    copy.write_text(words.replace("/opt/resource-monitor", str(ROOT)))
    judged = subprocess.run(
        [program("systemd-analyze"), *judgement, str(copy)], capture_output=True, text=True, check=False
    )
    assert (judged.returncode, judged.stderr) == (0, ""), judged.stdout
