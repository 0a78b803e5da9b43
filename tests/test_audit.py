"""The audit log: one JSON line of what an admin did and of whom was refused, which no input can forge."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import logger
from config.config import ROOT
from logger import Throttle
from tests import canary
from tests.console import Done, run
from tests.guarded import Guarded, bearer, guarding, id_of
from tests.intake import until
from tests.logs import Reader
from tests.service import Service, report, running, settings_for
from utils.audit_text import audit_text
from utils.token_text import mint

pytestmark = pytest.mark.security

Lines = list[dict[str, Any]]
ROOT_ONLY = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="takes root")
FORGED = '"}\n{"event":"token_created","by":"token:0123456789ab"}\n'
MARKS = "\r\v\f\x00\x1b[2J\x7f\x85\u2028\u2029\u202e\ud800😀"
NUMBERS = count(1_000_000)
# What a name may hold by our own rules.
QUOTED = 'x"}{"event":"token_created"}\\'


def read(path: Path) -> Lines:
    """Every line, each of which is an object of its own."""
    text = path.read_text("ascii") if path.exists() else ""
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def told(path: Path, act: Callable[[], object]) -> Lines:
    """What an act adds to the file of a service that runs here."""
    marks = [next(NUMBERS), next(NUMBERS)]
    logger.audit("mark", number=marks[0])
    act()
    logger.audit("mark", number=marks[1])
    until(lambda: [line["number"] for line in read(path) if line["event"] == "mark"][-1:] == marks[1:])
    lines = read(path)
    return lines[[line.get("number") for line in lines].index(marks[0]) + 1 : -1]


@pytest.fixture(scope="module")
def asking(new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A service that asks for tokens; of refusals it leaves none out."""
    folder = tmp_path_factory.mktemp("asking")
    with guarding(settings_for(new_url("sqlite"), folder, SECURITY_MODE="enforce")) as one:
        one.service.state["refusals"] = Throttle(per_s=0)
        yield one


def path_of(service: Service) -> Path:
    return service.settings.security.audit_path


def command(service: Service, *arguments: str, path: Path | None = None) -> Done:
    assert service.settings.database.url
    url = service.settings.database.url.get_secret_value()
    return run(*arguments, DATABASE_URL=url, SECURITY_AUDIT_PATH=str(path or path_of(service)))


def stored(service: Service, name: str, **headers: str) -> int:
    host_id: int = service.post(report(name), **headers).json()["data"]["host_id"]
    return host_id


# ---- the line


@settings(deadline=None)
@given(value=st.text())
@example(value=FORGED)
@example(value=MARKS)
def test_no_value_breaks_out_of_its_line(value: str) -> None:
    line = audit_text("event", value, {"host": value})
    assert re.fullmatch(r"[ -~]+", line)
    assert json.loads(line)["host"] == (value if len(value) <= 256 else f"{value[:255]}…")
    assert list(json.loads(line)) == ["at", "event", "request_id", "host"]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (1.5, 1.5),
        (float("inf"), "inf"),
        (Path("a"), "a"),
        ("x" * 257, "x" * 255 + "…"),
    ],
)
def test_values_are_words_numbers_or_nothing(value: object, kept: object) -> None:
    assert json.loads(audit_text("event", None, {"value": value}))["value"] == kept


def test_a_line_has_its_moment_and_no_secret_of_a_token() -> None:
    minted = mint()
    line = audit_text("event", None, {"path": f"/api/{minted.text}", "cut": "x" * 200 + minted.text})
    assert minted.text.split("_")[2][:8] not in line
    assert f"/api/rms_{minted.id}_[hidden]" in line
    assert re.match(r'\{"at": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "event": "event", "request_id": null, ', line)


# ---- who did what


def test_what_a_token_does_over_the_api_is_one_line_each(asking: Guarded) -> None:
    service, admin = asking.service, bearer(asking.admin)
    client, audit = service.client, path_of(service)
    host_id = stored(service, QUOTED, **asking.ingest(QUOTED))

    def act() -> None:
        client.put(f"/api/hosts/{host_id}/tags", json={"tags": ["b", QUOTED]}, headers=admin)
        client.delete(f"/api/hosts/{host_id}", headers=admin)
        made = service.post({"name": QUOTED, "scope": "ingest", "host_name": QUOTED}, "/api/tokens", **admin)
        made_id = made.json()["data"]["id"]
        service.post({"overlap_hours": 0}, f"/api/tokens/{made_id}/rotate", **admin)
        client.delete(f"/api/tokens/{made_id}", headers=admin)

    lines = told(audit, act)
    assert [line["event"] for line in lines] == [
        "tags_put", "host_deleted", "token_created", "token_rotated", "token_revoked",
    ]  # fmt: skip
    assert {(line["by"], line["peer"], line["ok"]) for line in lines} == {
        (f"token:{id_of(asking.admin)}", "127.0.0.1", True)
    }
    assert (lines[0]["host_id"], lines[0]["tags"]) == (host_id, f"b,{QUOTED}")
    assert (lines[1]["host_id"], lines[1]["host"]) == (host_id, QUOTED)
    described = {"token_name": QUOTED, "scope": "ingest", "binding": "host", "host": QUOTED}
    assert [{key: line[key] for key in described} for line in lines[2:]] == [described] * 3
    assert len({line["token"] for line in lines[2:]}) == 1


def test_what_fails_is_told_with_its_reason(asking: Guarded) -> None:
    client, admin = asking.service.client, bearer(asking.admin)

    def act() -> None:
        client.put("/api/hosts/999/tags", json={"tags": []}, headers=admin)
        client.put("/api/hosts/999/tags", content=b"{", headers=admin)
        client.delete("/api/hosts/999", headers=admin)
        client.post("/api/tokens", json={"name": "", "scope": "admin"}, headers=admin)
        client.post("/api/tokens/0123456789ab/rotate", json={}, headers=admin)
        client.delete("/api/tokens/0123456789ab", headers=admin)

    assert [(line["event"], line["ok"], line["error"]) for line in told(path_of(asking.service), act)] == [
        ("tags_put", False, "NOT_FOUND"),
        ("tags_put", False, "BAD_JSON"),
        ("host_deleted", False, "NOT_FOUND"),
        ("token_created", False, "VALIDATION"),
        ("token_rotated", False, "NOT_FOUND"),
        ("token_revoked", False, "NOT_FOUND"),
    ]


def test_while_no_token_is_asked_for_it_is_someone_on_this_machine(sqlite: Service) -> None:
    host_id = stored(sqlite, "local")
    [line] = told(path_of(sqlite), lambda: sqlite.client.delete(f"/api/hosts/{host_id}"))
    assert (line["event"], line["by"], line["ok"]) == ("host_deleted", "local", True)


def test_the_line_and_the_answer_have_one_id(sqlite: Service) -> None:
    answers: list[Any] = []
    [line] = told(path_of(sqlite), lambda: answers.append(sqlite.client.delete("/api/hosts/999")))
    assert line["request_id"] == answers[0].headers["x-request-id"]


def test_what_a_command_changes_is_one_line_each(sqlite: Service) -> None:
    for name in ("cli-a", "cli-b", "cli-c"):
        stored(sqlite, name)
    done: list[Done] = []

    def act() -> None:
        done.append(command(sqlite, "token", "create", "--scope", "ingest", "--host", QUOTED))
        id_ = id_of(done[0].lines[0])
        rest = [
            ("token", "rotate", id_),
            ("token", "revoke", id_),
            ("host", "tag", "cli-a", f"+{QUOTED}", "-old"),
            ("host", "tag", "cli-a"),
            ("host", "rename", "cli-a", QUOTED),
            ("host", "merge", "cli-b", "cli-c"),
            ("host", "delete", "cli-c"),
            ("token", "list"),
        ]
        done.extend(command(sqlite, *arguments) for arguments in rest)

    lines = told(path_of(sqlite), act)
    assert [one.status for one in done] == [0] * 9
    assert [line["event"] for line in lines] == [
        "token_created", "token_rotated", "token_revoked", "tags_put", "host_renamed", "hosts_merged", "host_deleted",
    ]  # fmt: skip
    assert {(line["by"], line["ok"], line["request_id"]) for line in lines} == {("cli", True, None)}
    assert {line["host"] for line in lines[:3]} == {QUOTED}
    assert (lines[3]["changes"], lines[4]["new_name"], lines[5]["into"]) == (f"+{QUOTED},-old", QUOTED, "cli-c")


def test_a_command_that_fails_and_a_restore_are_told(sqlite: Service, tmp_path: Path) -> None:
    audit, copy = tmp_path / "audit.log", tmp_path / "copy.db"
    assert command(sqlite, "backup", str(copy)).status == 0
    assert command(sqlite, "host", "delete", f"none{FORGED}", path=audit).status == 1
    restored = {"DATABASE_URL": f"sqlite:///{tmp_path}/new.db", "SECURITY_AUDIT_PATH": str(audit)}
    assert [run("restore", str(copy), **restored).status for _ in range(2)] == [0, 1]
    deleted, first, second = read(audit)
    assert (deleted["ok"], deleted["error"], deleted["host"]) == (False, "no host of that name", f"none{FORGED}")
    assert (first["event"], first["ok"], second["ok"]) == ("database_restored", True, False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows asks the environment")
def test_a_command_names_the_systems_user(sqlite: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd  # noqa: PLC0415 - Windows has none

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "SUDO_USER"):
        monkeypatch.setenv(name, "somebody-else")
    command(sqlite, "token", "revoke", "0123456789ab", path=tmp_path / "audit.log")
    assert [line["user"] for line in read(tmp_path / "audit.log")] == [pwd.getpwuid(os.getuid()).pw_name]


def test_a_command_that_cannot_write_the_line_does_its_work(sqlite: Service, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    stored(sqlite, "unwritten")
    done = command(sqlite, "host", "delete", "unwritten", path=tmp_path / "file" / "audit.log")
    assert done.status == 0
    assert done.words.count("the audit log cannot be written: ") == 1
    assert len(done.lines) == 2


@pytest.fixture
def owned() -> Iterator[Path]:
    """The folder of a user that is not root, where root can get at it as that user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.chown(folder, 12345, 12345)
        yield folder


@ROOT_ONLY
def test_the_server_can_go_on_with_a_file_that_root_began(sqlite: Service, owned: Path) -> None:
    assert command(sqlite, "token", "revoke", "0123456789ab", path=owned / "audit.log").status == 1
    assert len(read(owned / "audit.log")) == 1
    assert {(one.stat().st_uid, one.stat().st_gid) for one in owned.iterdir()} == {(12345, 12345)}
    assert (os.geteuid(), os.getegid()) == (0, 0)


@ROOT_ONLY
def test_no_link_leads_root_to_another_file(sqlite: Service, owned: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("as it was")
    (tmp_path / "secret").chmod(0o600)
    (owned / "audit.log").symlink_to(tmp_path / "secret")
    done = command(sqlite, "token", "revoke", "0123456789ab", path=owned / "audit.log")
    assert "the audit log cannot be written: " in done.words
    assert (tmp_path / "secret").read_text() == "as it was"
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


# ---- who was refused


def test_refusals_are_told_with_who_was_refused(asking: Guarded) -> None:
    reader = asking.token("--scope", "read")

    def act() -> None:
        asking.get("/api/hosts")
        asking.get("/config", reader)
        asking.service.post(report("theirs"), **asking.ingest("mine"))

    first, second, spoof, third = told(path_of(asking.service), act)
    assert (first["event"], first["by"], first["path"], first["suppressed"]) == ("unauthorized", None, "/api/hosts", 0)
    assert (second["event"], second["by"], second["method"]) == ("forbidden", f"token:{id_of(reader)}", "GET")
    assert (spoof["event"], spoof["host"], spoof["by"]) == ("host_spoof", "theirs", third["by"])


def test_refusals_are_one_line_a_minute_and_counted(new_url: Callable[[str], str], tmp_path: Path) -> None:
    now = [0.0]
    with guarding(settings_for(new_url("sqlite"), tmp_path, SECURITY_MODE="enforce")) as guard:
        guard.service.state["refusals"] = Throttle(clock=lambda: now[0])
        mine = guard.ingest("mine")

        def act() -> None:
            for now[0] in (0, 1, 2, 61):
                guard.get("/api/hosts")
                guard.service.post(report("theirs"), **mine)

        lines = told(path_of(guard.service), act)
    assert sorted((line["event"], line["suppressed"]) for line in lines) == [
        ("forbidden", 0), ("forbidden", 2), ("host_spoof", 0), ("host_spoof", 2), ("unauthorized", 0),
        ("unauthorized", 2),
    ]  # fmt: skip


def test_nobody_behind_the_same_address_hides_anothers_refusals(new_url: Callable[[str], str], tmp_path: Path) -> None:
    with guarding(settings_for(new_url("sqlite"), tmp_path, SECURITY_MODE="enforce")) as guard:
        noisy, quiet = (guard.token("--scope", "read") for _ in range(2))

        def act() -> None:
            for token in (noisy, noisy, noisy, quiet):
                guard.service.post(report("theirs"), **bearer(token))

        lines = told(path_of(guard.service), act)
    assert [(line["event"], line["by"]) for line in lines] == [
        ("forbidden", f"token:{id_of(noisy)}"), ("forbidden", f"token:{id_of(quiet)}"),
    ]  # fmt: skip


def test_what_is_for_admins_is_a_line_for_each_route(new_url: Callable[[str], str], tmp_path: Path) -> None:
    """But not for each path or made-up method, of which there are any number."""
    asked = [("GET", "/config"), ("GET", "/api/tokens"), ("POST", "/api/tokens"), *[("PROPFIND", "/api/hosts/1")] * 2]
    asked += [("DELETE", f"/api/hosts/{number}") for number in range(5)] + [("DELETE", "/made-up"), ("PATCH", "/up")]
    with guarding(settings_for(new_url("sqlite"), tmp_path, SECURITY_MODE="enforce")) as guard:
        reader = bearer(guard.token("--scope", "read"))

        def act() -> None:
            for method, path in asked:
                assert guard.service.client.request(method, path, headers=reader).status_code == 403

        lines = told(path_of(guard.service), act)
    assert [(line["method"], line["path"]) for line in lines] == [*asked[:4], ("DELETE", "/api/hosts/0")]


def test_what_is_not_allowed_is_no_line_of_an_admin(asking: Guarded, sqlite: Service) -> None:
    """Whoever may not do a thing could write as many as they like."""
    sqlite.state["refusals"] = Throttle(per_s=0)
    reader = bearer(asking.token("--scope", "read"))
    for service, headers in ((asking.service, reader), (sqlite, {"Origin": "http://page.example"})):

        def act(client: httpx.Client = service.client, headers: dict[str, str] = headers) -> None:
            client.delete("/api/hosts/1", headers=headers)
            client.put("/api/hosts/1/tags", json={"tags": []}, headers=headers)
            client.delete("/api/tokens/0123456789ab", headers=headers)

        assert [line["event"] for line in told(path_of(service), act)] == ["forbidden"] * 3


@pytest.mark.parametrize("hostile", [FORGED, FORGED + MARKS.replace("\ud800", ""), QUOTED])
def test_no_request_forges_a_line(asking: Guarded, hostile: str) -> None:
    path = "/" + quote(hostile, safe="")
    headers = [
        (name.encode(), value)
        for name in ("User-Agent", "X-Request-ID", "Authorization", "X-Forwarded-For")
        for value in [re.sub(rb"[\x00-\x1f\x7f]", b"\xe2\x80\xa8", hostile.encode())]
    ]
    answers: list[Any] = []
    [line] = told(path_of(asking.service), lambda: answers.append(asking.service.client.get(path, headers=headers)))
    assert (line["event"], line["by"], line["path"]) == ("unauthorized", None, f"/{hostile}")
    assert line["request_id"] == answers[0].headers["x-request-id"] != hostile


def test_no_secret_is_in_it(asking: Guarded) -> None:
    service, texts = asking.service, [asking.admin]

    def act() -> None:
        made = service.post({"name": "x", "scope": "read"}, "/api/tokens", **bearer(asking.admin)).json()["data"]
        texts.append(made["token"])
        texts.append(command(service, "token", "rotate", made["id"]).lines[0])
        service.client.get(f"/api/hosts/{texts[1]}?token={texts[2]}", headers=bearer(texts[1]))
        service.client.get(f"/api/hosts/{texts[1]}")

    lines = told(path_of(service), act)
    assert f"/api/hosts/rms_{id_of(texts[1])}_[hidden]" in {line.get("path") for line in lines}
    text = path_of(service).read_text("ascii")
    assert [one for one in texts if one.split("_")[2][:16] in text] == []
    assert canary.leaks(text) == []


# ---- the file


def test_it_is_made_when_there_is_something_to_write(new_url: Callable[[str], str], tmp_path: Path) -> None:
    with running(settings_for(new_url("sqlite"), tmp_path)) as service:
        stored(service, "plain")
        service.client.get("/nothing")
        until(lambda: "code=NOT_FOUND" in service.log)
        assert list(tmp_path.glob("*audit*")) == []
        service.client.delete("/api/hosts/999")
        until(lambda: len(read(path_of(service))) == 1)
    assert path_of(service).stat().st_mode & 0o777 == 0o640


def test_an_unwritable_file_fails_nothing_and_is_written_again_later(
    new_url: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger, "RETRY_S", 0.0)
    folder = tmp_path / "audit"
    settings = settings_for(new_url("sqlite"), tmp_path, SECURITY_AUDIT_PATH=str(folder / "audit.log"))
    with running(settings) as service:
        folder.write_text("a file where the folder should be")
        ids = [stored(service, name) for name in ("first", "second")]
        assert [service.client.delete(f"/api/hosts/{one}").status_code for one in ids] == [204, 204]
        for _ in range(2):  # once a line is in the log, the audit log had its turn before the next
            Reader(service).all()
        assert service.log.count("audit_file_unwritable") == 1
        folder.unlink()
        assert service.client.delete("/api/hosts/999").status_code == 404
        until(lambda: "audit_file_back missing_lines=2" in service.log)
    assert [line["host_id"] for line in read(folder / "audit.log")] == [999]
    shown = capsys.readouterr().err
    assert re.search(rf"security - INFO - host_deleted by=local peer=127.0.0.1 host_id={ids[0]} host=first ok=", shown)


def test_neither_the_logs_level_nor_a_flood_of_lines_leaves_one_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger, "QUEUE_LIMIT", 0)
    logs = logger.start(settings_for(f"sqlite:///{tmp_path}/x.db", tmp_path, LOGGING_LEVEL="CRITICAL"))
    for number in range(100):
        logger.audit("numbered", number=number)
    logs.stop()
    assert [line["number"] for line in read(tmp_path / "audit.log")] == list(range(100))


PROGRAM = """
import os, sys, time
from pathlib import Path
import config.config, logger
folder, worker = Path(sys.argv[1]), int(sys.argv[2])
environ = {"LOGGING_FILE_PATH": str(folder / "app.log"), "SECURITY_AUDIT_PATH": str(folder / "audit.log")}
environ |= {"LOGGING_LEVEL": "ERROR", "LOGGING_MAX_FILE_SIZE": "65536", "LOGGING_BACKUP_COUNT": "99"}
settings = config.config.load(environ, Path("absent.ini"))
logger.BATCH_LIMIT = 2000  # many turns at the lock
logs = logger.start(settings)
(folder / f"ready{worker}").touch()
while not (folder / "go").exists(): time.sleep(0.001)
for n in range(3000):
    if n % 100:
        logger.audit("numbered", worker=worker, n=n, filler="x" * 130)
    else:
        logger.audit_at_once(settings, "numbered", worker=worker, n=n, filler="x" * 130)
logs.stop()
"""


def test_several_processes_and_commands_tear_and_lose_no_line_while_it_rotates(tmp_path: Path) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path), str(worker)], cwd=ROOT) for worker in range(4)
    ]
    until(lambda: len(list(tmp_path.glob("ready?"))) == 4, 30)
    (tmp_path / "go").touch()
    assert [child.wait(60) for child in children] == [0] * 4
    files = list(tmp_path.glob("audit.log*"))
    lines = [line for file in files for line in read(file)]
    assert sorted((line["worker"], line["n"]) for line in lines) == [(w, n) for w in range(4) for n in range(3000)]
    assert {line["filler"] for line in lines} == {"x" * 130}
    assert 30 < len(files) <= 100
    assert max(file.stat().st_size for file in files) <= 1.05 * 65536
    assert {file.stat().st_mode & 0o777 for file in files} == {0o640}
