import base64
import html
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from fastapi import routing

from tests import canary
from tests.envelopes import operations
from tests.servers import CANARY, Server
from tests.service import SAMPLE, Service, running, settings_for

DATABASES = pytest.mark.parametrize("kind", ["mariadb", "mysql"])
DISGUISES = {
    "plain": CANARY,
    "as PyMySQL would decode it": CANARY.encode().decode("latin-1"),
    "in a URL": quote(CANARY, safe=""),
    "twice in a URL": quote(quote(CANARY, safe=""), safe=""),
    "every letter of a URL": "".join(f"%{byte:02X}" for byte in CANARY.encode()),
    "in JSON": json.dumps(CANARY),
    "in HTML": html.escape(CANARY),
    "as bytes": repr(CANARY.encode()),
    "as SQL": CANARY.encode().hex().upper(),
    "as base64": base64.b64encode(CANARY.encode()).decode(),
    "in capitals": CANARY.upper(),
}
EVERYTHING = {"DATABASE_ECHO": "true", "APP_DEBUG": "true", "LOGGING_LEVEL": "DEBUG"}


def visit(service: Service) -> None:
    """Every operation and page; what the client's hook finds fails right here."""
    service.client.event_hooks["response"] = [canary.check_response]
    for method, path in [*operations(), ("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/nothing")]:
        body = SAMPLE if method == "POST" else None
        named = path.format(host_id=999, token_id="0" * 12)
        service.client.request(method, named, json=body, headers={"Accept": "text/html"})


def explode(error: Exception) -> Callable[..., object]:
    async def endpoint(**_: object) -> None:
        raise error

    return endpoint


@pytest.mark.parametrize("text", DISGUISES.values(), ids=DISGUISES)
def test_the_watch_sees_through_every_disguise(text: str) -> None:
    assert canary.leaks(f"first line\nmysql+pymysql://app:{text}@host\nlast") != []
    assert canary.leaks("mysql+pymysql://app:***@host/Pa55") == []


def test_the_watch_looks_at_bodies_and_heads() -> None:
    for leaking in (httpx.Response(200, text=CANARY), httpx.Response(204, headers={"x": quote(CANARY)})):
        with pytest.raises(AssertionError):
            canary.check_response(leaking)
    canary.check_response(httpx.Response(200, json={"password": "***"}))


@pytest.mark.parametrize("name", ["app.log", "app.log.1"])
def test_the_watch_looks_at_every_log_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f"url={quote(CANARY)}\n", encoding="utf-8")
    with pytest.raises(AssertionError):
        canary.check_logs(tmp_path / "app.log")


def test_the_watch_looks_at_the_titles_of_processes() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", CANARY], stdin=subprocess.PIPE) as process:
        try:
            with pytest.raises(AssertionError):
                canary.check_process(process.pid)
        finally:
            process.kill()
    canary.check_process(process.pid)


@DATABASES
def test_the_password_is_nowhere_when_everything_is_logged(
    servers: Callable[[str], Server], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = servers(kind)
    settings = settings_for(server.url(server.create_database()), tmp_path, **EVERYTHING)
    with running(settings) as service:
        visit(service)
        monkeypatch.setattr(routing, "run_endpoint_function", explode(RuntimeError(repr(settings), str(settings))))
        visit(service)
    assert "RuntimeError" in service.log
    assert "INTO reports (" in service.log
    canary.check_logs(settings.logging.file_path)


@DATABASES
@pytest.mark.parametrize("fault", ["another user", "no such database", "no server"])
def test_the_password_is_nowhere_when_the_database_refuses(
    servers: Callable[[str], Server], kind: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = servers(kind).url("none")
    wrong = {"another user": ("//app:", "//other:"), "no server": (f":{servers(kind).port}/", ":1/")}
    settings = settings_for(url.replace(*wrong.get(fault, ("", ""))), tmp_path, **EVERYTHING)
    with running(settings) as service:
        visit(service)
        assert service.client.get("/health").status_code == 503
    assert "database_down" in service.log
    canary.check_logs(settings.logging.file_path)
    assert canary.leaks(capsys.readouterr().err) == []


@DATABASES
def test_the_password_is_nowhere_when_the_server_ends_below_a_statement(
    servers: Callable[[str], Server], kind: str, tmp_path: Path
) -> None:
    server = servers(kind)
    settings = settings_for(server.url(server.create_database()), tmp_path, **EVERYTHING)
    with running(settings) as service:
        visit(service)
        for (number,) in server.execute("SELECT id FROM information_schema.processlist WHERE user = 'app'"):
            with suppress(Exception):  # it may have ended by itself
                server.execute(f"KILL {number}")
        visit(service)
    canary.check_logs(settings.logging.file_path)
