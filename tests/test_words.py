"""What the project says of itself is what it is."""

import json
import re
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from agent import sender
from config.config import ROOT, load
from config.settings import SECTIONS
from main import create_app
from model.envelope import STATUS, Code

Table = list[list[str]]
ENGLISH, KOREAN = "README.md", "README.ko.md"
BOTH = pytest.mark.parametrize("name", [ENGLISH, KOREAN])
ADRS = sorted((ROOT / "docs/decisions").glob("*.md"))
MADE = {".git", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", "__pycache__", "data", "logs"}
DEFAULTS = load({}, ROOT / "no-such-config.ini")
METHODS = {"get", "post", "put", "patch", "delete"}
# A folder of one machine, but no user in a URL. Its slashes stand in brackets, so that this line is not found itself.
MACHINE = re.compile(r"(?<![\w.$}~*-])(?<!:/)[/](?:home[/][a-z]\w*|root|work)(?![\w.-])")


@lru_cache(maxsize=1)
def files() -> list[Path]:
    """The repository's files, those that are not committed yet included; all files where git does not tell."""
    try:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60).stdout
        found = [ROOT / name for name in listed.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = [path for path in ROOT.rglob("*") if not MADE & set(path.relative_to(ROOT).parts)]
    return [path for path in found if path.is_file()]


def pages() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


def words(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def tables(name: str) -> list[Table]:
    """Each table's rows of cells, without the header and the line below it."""
    blocks = re.findall(r"(?:^\|.*\n)+", words(name), flags=re.MULTILINE)
    return [[[cell.strip() for cell in row[1:-1].split("|")] for row in block.splitlines()[2:]] for block in blocks]


def table(name: str, first: str) -> Table:
    """The one table that begins with this cell."""
    [found] = [rows for rows in tables(name) if rows[0][0] == first]
    return found


def spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def headings(text: str, level: str = "#+") -> list[str]:
    return re.findall(rf"^({level} .+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)


def default(field: FieldInfo) -> str:
    """A default as it stands in config.ini."""
    match field.default:
        case None:
            return ""
        case bool(value):
            return str(value).lower()
        case float(value):
            return f"{value:g}"
        case list(values):
            return ",".join(values)
        case Path() as path:
            return path.as_posix()
        case value:
            return str(value)


# The READMEs


@BOTH
def test_every_setting_stands_in_the_table_with_its_default(name: str) -> None:
    expected = []
    for section, model in SECTIONS.items():
        keys = [(f"`{key}`", default(field)) for key, field in model.model_fields.items()] or [("", "")]
        expected += [(f"`[{section}]`" if i == 0 else "", key, value) for i, (key, value) in enumerate(keys)]
    rows = table(name, "`[database]`")
    assert [(section, key, value.strip("`")) for section, key, value, _ in rows] == expected


@BOTH
def test_every_route_stands_in_the_table(name: str) -> None:
    paths = create_app(DEFAULTS).openapi()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in METHODS & methods.keys()}
    shown = {span for row in table(name, "`POST /api/resources`") for span in spans(row[0])}
    assert shown == routes | {"GET /docs", "GET /redoc", "GET /openapi.json"}


@BOTH
def test_every_result_code_stands_in_the_table_with_its_status(name: str) -> None:
    codes = []
    for statuses, cell, _ in table(name, "200"):
        row = [Code(span) for span in spans(cell) if span != "data.errors"]
        assert {str(STATUS[code]) for code in row} == set(statuses.split(", "))
        codes += row
    assert sorted(codes) == sorted(Code)


@BOTH
def test_the_table_has_agents_drop_what_ours_drops(name: str) -> None:
    words = {ENGLISH: "not retry", KOREAN: "재시도하지 않습니다"}
    final = [row for row in table(name, "200") if row[2] == words[name]]
    assert {int(status) for row in final for status in row[0].split(", ")} == sender.FINAL
    assert {span for row in final for span in spans(row[1])} - {"data.errors"} == sender.FINAL_CODES


def test_the_codes_say_the_same_as_the_table() -> None:
    final = [line.split("|")[1] for line in (Code.__doc__ or "").splitlines() if line.endswith("| not retry |")]
    assert set(", ".join(map(str.strip, final)).split(", ")) == sender.FINAL_CODES


def test_both_languages_have_the_same_sections() -> None:
    levels = [[len(heading.split()[0]) for heading in headings(words(name))] for name in (ENGLISH, KOREAN)]
    assert levels[0] == levels[1]


def test_both_languages_have_the_same_tables() -> None:
    first, second = ([[spans(row[0]) for row in rows] for rows in tables(name)] for name in (ENGLISH, KOREAN))
    assert first == second


def test_both_languages_have_the_same_code_but_for_its_comments() -> None:
    blocks = [re.findall(r"^```\w+\n.*?^```", words(name), re.DOTALL | re.MULTILINE) for name in (ENGLISH, KOREAN)]
    first, second = ([re.sub(r" *(#|::) .*", "", block) for block in each] for each in blocks)
    assert first == second


def test_each_language_leads_to_the_other() -> None:
    assert f"]({KOREAN})" in words(ENGLISH)
    assert f"]({ENGLISH})" in words(KOREAN).splitlines()[0]


# The other pages


def test_every_local_link_leads_somewhere() -> None:
    links = [(page, link) for page in pages() for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))]
    local = [(page, link.partition("#")[0]) for page, link in links if not re.match(r"\w+:", link)]
    assert local
    assert [(page.name, link) for page, link in local if link and not (page.parent / link).exists()] == []


def test_every_file_of_ours_that_a_page_names_is_there() -> None:
    named = [
        (page, name) for page in pages() for name in re.findall(r"`(\w+/[\w/]+\.(?:py|sh))`", page.read_text("utf-8"))
    ]
    assert named
    assert [(page.name, name) for page, name in named if not (ROOT / name).is_file()] == []


def test_every_change_that_no_test_notices_is_of_a_line_that_is_there() -> None:
    """The texts are a module's own but for its white space (`tests/mutation.py`)."""
    page = words("docs/mutation.md")
    listed = re.findall(r"^- `([\w/]+\.py)` `(.+?)` → `", page, re.MULTILINE)
    assert 0 < len(listed) == page.count("\n- `")
    assert [(path, before) for path, before in listed if before not in " ".join(words(path).split())] == []


def test_the_changelog_begins_with_the_version() -> None:
    assert headings(words("CHANGELOG.md"), "##")[0].split()[1] == DEFAULTS.app.version


@pytest.mark.parametrize("path", ADRS, ids=[path.stem for path in ADRS])
def test_every_decision_has_its_number_and_four_headings(path: Path) -> None:
    number = ADRS.index(path) + 1
    title, *rest = headings(path.read_text("utf-8"))
    assert path.name.startswith(f"{number:04}-")
    assert title.startswith(f"# {number}. ")
    assert rest == ["## Context", "## Decision", "## Consequences", "## Also weighed"]


# Every file


@pytest.mark.parametrize("text", ["see [/]work/x", "'[/]root'", "cd [/]home/ann", "([/]work)"])
def test_folders_of_one_machine_are_recognised(text: str) -> None:
    assert MACHINE.search(text.replace("[/]", "/"))


def test_no_file_names_a_folder_of_one_machine() -> None:
    texts = {path: path.read_text("utf-8", errors="replace") for path in files()}
    assert [f"{path.name}: {hit[0]}" for path, text in texts.items() for hit in MACHINE.finditer(text)] == []


def page_words(language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((ROOT / f"dashboard/static/words/{language}.json").read_text(encoding="utf-8"))
    return found


def test_the_pages_have_all_their_words_in_both_languages() -> None:
    english, korean = page_words("en"), page_words("ko")
    assert list(english) == list(korean)
    places = re.compile(r"\{\w+\}")
    told = {name for name in english if name.startswith("told.")}
    assert not [
        name for name in english.keys() - told if {*places.findall(english[name])} != {*places.findall(korean[name])}
    ]
    assert {place for name in told for place in places.findall(korean[name])} == {"{message}"}


def test_what_the_pages_translate_is_what_the_server_says() -> None:
    told = {name.removeprefix("told.") for name in page_words("ko") if name.startswith("told.")}
    assert set(Code) - told == {Code.OK, Code.PARTIAL}
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "routers").glob("*.py"))
    assert not [sentence for sentence in told - set(Code) if f'"{sentence}"' not in source]
    assert "{message}" in page_words("ko")["told.VALIDATION"]
