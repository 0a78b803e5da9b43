import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from config.config import ROOT
from tests.deployed import in_image, instructions, program

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
# An entry is a line that is continued by its hashes; what stands further in is a hash or who asks for it.
ENTRIES = {line.partition(" \\")[0]: rest for line, rest in re.findall(r"^(\w.*)\n((?: +.*\n)*)", LOCK, re.MULTILINE)}
LOCKED = {canonicalize_name(one.name): one for one in map(Requirement, ENTRIES)}
ASKED = [
    Requirement(line.partition("#")[0])
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PLATFORMS = [
    {"sys_platform": system, "platform_machine": machine, "platform_python_implementation": python}
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64"))
    for python in ("CPython", "PyPy")
]


def installed(name: str) -> bool:
    try:
        return bool(distribution(name))
    except PackageNotFoundError:
        return False


@pytest.mark.parametrize("asked", ASKED, ids=[one.name for one in ASKED])
def test_lock_has_what_the_server_asks_for_where_it_asks_for_it(asked: Requirement) -> None:
    locked = LOCKED[canonicalize_name(asked.name)]
    [pinned] = locked.specifier
    assert asked.specifier.contains(pinned.version)
    for platform in PLATFORMS:
        wanted, given = (one.marker is None or one.marker.evaluate(platform) for one in (asked, locked))
        assert wanted is given, platform


@pytest.mark.parametrize("entry", ENTRIES)
def test_entry_is_one_version_with_the_hashes_of_its_files(entry: str) -> None:
    assert [one.operator for one in Requirement(entry).specifier] == ["=="]
    assert re.match(r"( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+ +# via", ENTRIES[entry])


def test_lock_names_no_index_and_no_folder() -> None:
    lines = [line for line in LOCK.splitlines() if not line.startswith("#")]
    assert [line for line in lines if "://" in line or "/" in line or line.startswith("-")] == []
    assert len(ENTRIES) == len([line for line in lines if not line.startswith(" ")]) > len(ASKED)


def test_image_installs_the_lock_and_nothing_else() -> None:
    assert in_image("requirements.lock")
    [install] = [run for run in instructions("RUN") if "pip" in run]
    assert install.endswith("--require-hashes -r /requirements.lock")


def test_every_licence_is_one_that_is_allowed() -> None:
    """Of what is installed here; `make audit` looks at all that is locked."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    ignored = tools["pip-licenses"]["ignore-packages"]
    names = [name for name in LOCKED if installed(name) and name not in ignored]
    command = [program("pip-licenses"), "--python", sys.executable, "--packages", *names]
    judged = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr
    assert len(judged.stdout.splitlines()) == 1 + len(names)  # with the header
