"""The agent's settings: where they come from, and what is said of bad ones."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from agent import VERSION
from agent.settings import _SETTINGS, SettingsError, load
from config.config import ROOT

pytestmark = pytest.mark.agent

NO_USER = "should have no user and no password: it would be shown in the log; there is --token"
EXAMPLE = ROOT / "agent" / "agent.ini.example"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ini(folder: Path, **values: str) -> Path:
    path = folder / "agent.ini"
    path.write_text("[agent]\n" + "".join(f"{name} = {value}\n" for name, value in values.items()), encoding="utf-8")
    return path


def test_defaults_need_nothing() -> None:
    settings = load([], {})
    assert (settings.server, settings.interval, settings.spool_max_hours) == ("http://127.0.0.1:8000", 10, 24)


def test_a_flag_beats_the_environment_and_that_the_file(tmp_path: Path) -> None:
    ini(tmp_path, interval="30", host_name="file", cluster_name="file")
    environ = {"AGENT_INTERVAL": "20", "AGENT_HOST_NAME": "environment"}
    settings = load(["--interval", "15"], environ)
    assert (settings.interval, settings.host_name, settings.cluster_name) == (15, "environment", "file")


def test_another_file_can_be_named(tmp_path: Path) -> None:
    ini(tmp_path, interval="30")
    other = tmp_path / "other.ini"
    other.write_text("\ufeff[agent]\ninterval = 40\n", encoding="utf-8")
    assert load(["--config", str(other)], {}).interval == 40
    assert load([], {"AGENT_CONFIG": str(other)}).interval == 40


def test_every_setting_is_in_the_example_with_its_default() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(EXAMPLE.read_text(encoding="utf-8"))
    assert dict(parser["agent"]) == {name: setting.default for name, setting in _SETTINGS.items()}


def test_every_setting_is_in_the_readme() -> None:
    words = (ROOT / "agent" / "README.md").read_text(encoding="utf-8")
    for name, setting in _SETTINGS.items():
        assert f"| `{name}` | {f'`{setting.default}`' if setting.default else ''}" in words


@pytest.mark.parametrize("name", _SETTINGS)
def test_every_setting_is_a_flag_and_a_variable(name: str) -> None:
    good = {"interval": "60", "spool_max_mb": "5", "spool_max_hours": "5", "server": "https://a:1"}.get(name, "x")
    flag, variable = load([f"--{name.replace('_', '-')}", good], {}), load([], {f"AGENT_{name.upper()}": good})
    assert getattr(flag, name) == getattr(variable, name) != getattr(load([], {}), name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--server", "monitor:8000"], "--server 'monitor:8000': should be like http://monitor.example:8000"),
        (["--server", "http://a:99999"], "--server 'http://a:99999': Port out of range 0-65535"),
        (["--interval", "0.5"], "--interval '0.5': should be from 1 to 3600"),
        (["--interval", "x"], "--interval 'x': should be from 1 to 3600"),
        (["--interval", "nan"], "--interval 'nan': should be from 1 to 3600"),
        (["--spool-max-hours", "169"], "--spool-max-hours '169': should be from 0.01 to 168"),
        (["--host-name", "a\x07"], "--host-name 'a\\x07': should be at most 255 printable characters"),
        (["--server", "http://me:hidden@a"], f"--server: {NO_USER}"),
        (["--server", "https://me@a:99999"], f"--server: {NO_USER}"),
        (["--server", "http://me:hid/den@a"], f"--server: {NO_USER}"),
        (["--server", "ftp://me:hidden@a"], f"--server: {NO_USER}"),
        (["--token", "se cret"], "--token: should be visible ASCII characters"),
    ],
)
def test_a_bad_value_is_one_line_that_says_what_would_be_right(arguments: list[str], said: str) -> None:
    with pytest.raises(SettingsError) as told:
        load(arguments, {})
    assert str(told.value) == said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("interval = 5\n", "agent.ini, line 1: should be [agent], or name = value below it"),
        ("[agent]\n\ninterval\n", "agent.ini, line 3: should be [agent], or name = value below it"),
        ("[agent]\ninterval = 5\ninterval = 6\n", "agent.ini, line 3: is there a second time"),
        ("[agent]\n[agent]\n", "agent.ini, line 2: is there a second time"),
        ("[agnt]\ninterval = 5\n", "agent.ini: has no section [agent]; unknown: [agnt]"),
        ("[agent]\n[agnt]\ninterval = 5\n", "agent.ini: has more than the section [agent]; unknown: [agnt]"),
        ("[Agent]\ninterval = 5\n", "agent.ini: has no section [agent]"),
        ("", "agent.ini: has no section [agent]"),
        ("[agent]\nintervall = 5\n", "agent.ini: unknown: intervall; known: server, interval"),
        ("[agent]\ninterval = 0\n", "interval in the file '0': should be from 1 to 3600"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "agent.ini").write_text(content)
    for arguments in ([], ["--config", "agent.ini"]):
        with pytest.raises(SettingsError) as told:
            load(arguments, {})
        assert str(told.value).startswith(said)
        assert "\n" not in str(told.value)


def test_a_misspelt_variable_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    load([], {"AGENT_INTERVAL": "20", "AGENT_CONFIG": "", "PATH": "", "AGENT_SERVR": "x", "AGENT_INTERVALL": "secret"})
    [line] = caplog.records
    assert (line.levelname, line.message.partition(";")[0]) == (
        "WARNING",
        "no settings of this agent: AGENT_INTERVALL, AGENT_SERVR",
    )
    assert "secret" not in line.message


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agent", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_it_tells_its_version() -> None:
    assert run("--version").stdout == f"resource-monitor-agent {VERSION}\n"


def test_help_names_every_flag() -> None:
    shown = run("--help").stdout
    assert [name for name in _SETTINGS if f"--{name.replace('_', '-')}" not in shown] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--interval", "0"], "--interval '0': should be from 1 to 3600\n"),
        (["--server", "https://a", "--ca-file", "/nowhere.pem"], "--ca-file /nowhere.pem: No such file or directory\n"),
        (["--inter", "5"], "python -m agent: error: unrecognized arguments: --inter 5\n"),
        (["--config", "/nowhere.ini"], "/nowhere.ini: No such file or directory\n"),
        (["--spool", "/dev/null"], "spool /dev/null: should be a folder\n"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(arguments: list[str], said: str) -> None:
    ended = run(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines(keepends=True)[-1] == said
    assert "Traceback" not in ended.stderr
