import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.config import ROOT

GROUND = ["utils", "config", "model", "database", "services"]
SERVER = [*GROUND, "routers", "main"]
OPERATOR = [*GROUND, "commands", "manage"]
PACKAGES = [*GROUND, "routers", "commands"]
PROGRAMS = [ROOT / "main.py", ROOT / "manage.py"]
MODULES = [*PROGRAMS, *(path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))]
# Of the commands, the one module that makes a command's engine and turns the database's errors into a sentence.
SENTENCES = ROOT / "commands" / "common.py"
NAMES = [str(path.relative_to(ROOT)) for path in MODULES]
every_module = pytest.mark.parametrize("path", MODULES, ids=NAMES)


def layer(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@every_module
def test_imports_point_down(path: Path) -> None:
    stack = SERVER if layer(path) in SERVER else OPERATOR
    below = stack[: stack.index(layer(path)) + 1]
    ours = [name.split(".")[0] for name in imported(path) if name.split(".")[0] in {*SERVER, *OPERATOR}]
    assert [name for name in ours if name not in below] == []


@every_module
def test_frameworks_stay_in_their_rooms(path: Path) -> None:
    tops = {name.split(".")[0] for name in imported(path)}
    if layer(path) not in ("routers", "main"):
        assert not tops & {"fastapi", "starlette", "uvicorn"}
    if layer(path) not in ("database", "model") and path != SENTENCES:
        assert "sqlalchemy" not in tops
    if layer(path) != "database":
        assert "pymysql" not in tops


@every_module
def test_engines_differ_in_the_dialect_alone(path: Path) -> None:
    if path.name.startswith("dialect"):
        return
    conditions = [
        ast.unparse(node.test)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.If | ast.IfExp)
    ]
    named = [text for text in conditions if any(engine in text.lower() for engine in ("mysql", "mariadb", "sqlite"))]
    assert [text for text in named if "sqlite_path" not in text and layer(path) != "config"] == []


def test_importing_changes_nothing() -> None:
    names = [name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in NAMES]
    names = [name for name in names if name != "main" and "migrations" not in name]
    program = (
        "import sys, threading, logging, pathlib\n"
        "before = set(pathlib.Path('logs').iterdir()), pathlib.Path('data').exists(), logging.getLogger().handlers[:]\n"
        f"for name in {names!r}: __import__(name)\n"
        "after = set(pathlib.Path('logs').iterdir()), pathlib.Path('data').exists(), logging.getLogger().handlers[:]\n"
        "assert before == after and threading.active_count() == 1, (before, after, threading.enumerate())\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_imports_without_what_windows_lacks() -> None:
    absent = "fcntl=None, resource=None, uvloop=None, grp=None, pwd=None"
    program = f"import sys\nsys.modules.update({absent})\nimport main, manage\n"
    environ = {"DATABASE_URL": "sqlite:///data/unused.db"}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60, env=environ)
