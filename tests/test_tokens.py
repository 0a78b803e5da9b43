"""Tokens: made, shown once, rotated and ended, by the command and over the API."""

import hashlib
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from commands.tokens import ONCE
from database import tokens
from database.credentials import Credentials
from database.tokens import Token
from services import jobs
from services.access import authenticate, may_report
from tests.console import manage
from tests.elapsed import within
from tests.guarded import Guarded, bearer, guarding, id_of, made
from tests.intake import refused, until
from tests.service import Service, report, running, settings_for
from tests.test_manage import url_of
from utils.token_text import FORM, hide, hide_alone, mint, parse
from utils.utils import moment

pytestmark = pytest.mark.security


def test_a_token_is_read_back_and_its_hash_is_of_its_secret_alone() -> None:
    minted = mint()
    assert FORM.fullmatch(minted.text)
    secret = minted.text.split("_")[2]
    assert parse(minted.text) == (minted.id, hashlib.sha256(secret.encode()).digest())
    assert minted.hash == hashlib.sha256(secret.encode()).digest()


def test_no_two_secrets_are_alike() -> None:
    assert len({mint().text for _ in range(1000)}) == len({mint("0" * 12).hash for _ in range(1000)}) == 1000


def test_what_is_no_token_is_none() -> None:
    text = mint().text
    for other in (text[:-1], text + "0", text.upper(), text[1:], f" {text}", f"{text}\n", "", "rms_"):
        assert parse(other) is None


def test_a_mistyped_digit_is_told_by_the_checksum() -> None:
    text = mint().text
    for place in range(4, len(text)):
        other = text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]
        assert parse(other) is None


def test_a_log_keeps_the_id_alone() -> None:
    minted = mint()
    assert hide(f"a {minted.text} b") == f"a rms_{minted.id}_[hidden] b"
    assert hide(minted.text[:40]) == f"rms_{minted.id}_[hidden]"
    assert hide("rms_web is a name") == "rms_web is a name"


def test_a_log_keeps_no_secret_whatever_stands_before_it() -> None:
    minted = mint()
    id_, secret, checksum = minted.text.split("_")[1:]
    assert hide_alone(f"/api/%72ms_{id_}_{secret}_{checksum}") == f"/api/%72ms_{id_}_[hidden]_{checksum}"
    assert hide_alone(f"{'0' * 32}.{secret}") == f"{'0' * 32}.[hidden]"
    assert hide_alone(f"/api/hosts/{secret}") == "/api/hosts/[hidden]"
    assert hide_alone("a" * 63) == "a" * 63


def test_no_log_has_the_secret_of_an_address_or_a_field(service: Service) -> None:
    """An address that is escaped twice, one of a cookie's secret, and a field of that name."""
    secret = mint().text.split("_")[2]
    for path in (f"/api/%2572ms_0123456789ab_{secret}_01234567", f"/x/{'0' * 32}.{secret}", f"/api/hosts/{secret}"):
        assert service.client.get(path).status_code in (404, 422)
    answer = service.post({f"x{secret}": 1}, "/api/tokens")
    refused(answer, 422, "VALIDATION")
    until(lambda: service.log.count("[hidden] status=404") == 1 and "[hidden]_01234567 status=404" in service.log)
    assert secret[:32] not in service.log + answer.text


def token(**fields: object) -> Token:
    minted = mint()
    given = {"id": minted.id, "name": "n", "scope": "ingest", "binding": "host", "host_name": "a"}
    return Token(**{**given, "secret_hash": minted.hash, "created_at": moment(0), **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("binding", "given", "good", "bad"),
    [
        ("host", "web-1", ["web-1"], ["web-2", "WEB-1", "web-1 ", ""]),
        ("pattern", "web-*", ["web-1", "web-"], ["db-1", "Web-1", "xweb-1"]),
        ("pattern", "db-[0-9]?", ["db-11"], ["db-1", "db-a1"]),
        ("first", "web-1", ["web-1"], ["web-2"]),
        ("first", None, ["whoever"], []),
    ],
)
def test_whom_a_token_is_good_for(binding: str, given: str | None, good: list[str], bad: list[str]) -> None:
    one = token(binding=binding, host_name=given)
    assert [may_report(one, name) for name in good + bad] == [True] * len(good) + [False] * len(bad)


def test_t38_unknown_and_wrong_secrets_are_compared_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """T38: an unknown id costs the comparisons that a known one does, and no secret is compared by `==`."""
    compared: list[int] = []

    def compare(given: bytes, stored: bytes) -> bool:
        compared.append(len(given) + len(stored))
        return given == stored

    monkeypatch.setattr("services.access.hmac.compare_digest", compare)
    known, one = Credentials(), token()
    known._known = {one.id: one}
    shown = [mint(one.id).text, mint().text, "no token", ""]
    assert [authenticate(text, known, moment(1)) for text in shown] == [None] * 4
    assert compared == [64, 64] * 4


def test_the_command_makes_a_token_and_shows_it_once(service: Service) -> None:
    done = manage(url_of(service), "token", "create", "--scope", "ingest", "--host", "once")
    assert done.status == 0
    text, words = done.lines
    assert words == f"Token {text.split('_')[1]} is made. {ONCE}"
    listed = manage(url_of(service), "token", "list").words
    assert re.search(rf"^{text.split('_')[1]}  active +ingest +host +once ", listed, re.MULTILINE)
    assert text not in listed
    assert not [row for row in service.sql("SELECT * FROM tokens") if text.split("_")[2] in str(row)]


def test_the_secret_is_stored_as_its_sha256(service: Service) -> None:
    text = made(url_of(service), "--scope", "read")
    parts = text.split("_")
    stored = service.sql("SELECT secret_hash FROM tokens WHERE id = :id", id=parts[1])
    assert bytes(stored[0][0]) == hashlib.sha256(parts[2].encode()).digest()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--scope", "ingest"], "ingest takes a host_name, or the binding first"),
        (["--scope", "read", "--host", "a"], "ingest takes a host_name, or the binding first"),
        (["--scope", "ingest", "--host", "a", "--hosts", "b*"], "exclude each other"),
        (["--scope", "ingest", "--host", "a\x1bb"], "control"),
        (["--scope", "root"], "'root' is not one of"),
        (["--scope", "read", "--expires-in-days", "0"], "0 is not in the range"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(service: Service, arguments: list[str], sentence: str) -> None:
    before = service.sql("SELECT COUNT(*) FROM tokens")
    done = manage(url_of(service), "token", "create", *arguments)
    assert done.status == 2
    assert sentence in done.words
    assert service.sql("SELECT COUNT(*) FROM tokens") == before


def test_commands_about_a_token_that_is_none_say_so(service: Service) -> None:
    for command in ("rotate", "revoke"):
        done = manage(url_of(service), "token", command, "0123456789ab")
        assert done.status == 1
        assert done.words.startswith("Error: no such token, or it was revoked")


def test_on_this_machine_the_api_makes_lists_and_ends_tokens(service: Service) -> None:
    answer = service.post({"name": "wall", "scope": "read", "expires_in_days": 1}, "/api/tokens")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    data = answer.json()["data"]
    assert data["expires_at"] > data["created_at"]
    text = data.pop("token")
    assert data in service.data("/api/tokens")
    assert text not in service.client.get("/api/tokens").text
    assert service.client.delete(f"/api/tokens/{data['id']}").status_code == 204
    refused(service.client.delete(f"/api/tokens/{data['id']}"), 404, "NOT_FOUND")
    assert {one["id"]: one["status"] for one in service.data("/api/tokens")}[data["id"]] == "revoked"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x", "scope": "ingest"},
        {"name": "x", "scope": "read", "binding": "first"},
        {"name": "x", "scope": "ingest", "binding": "first", "host_name": "a"},
        {"name": "", "scope": "read"},
        {"name": f"for {mint().text}", "scope": "read"},
        {"name": "x", "scope": "ingest", "host_name": mint().text},
        {"name": "x", "scope": "read", "secret": "mine"},
        {"name": "x", "scope": "read", "expires_in_days": True},
        [],
    ],
)
def test_a_token_that_breaks_a_rule_is_refused(sqlite: Service, body: object) -> None:
    before = sqlite.data("/api/tokens")
    refused(sqlite.post(body, "/api/tokens"), 422, "VALIDATION")
    assert sqlite.data("/api/tokens") == before


def test_a_web_page_makes_no_token(sqlite: Service) -> None:
    refused(sqlite.post({"name": "x", "scope": "admin"}, "/api/tokens", Origin=sqlite.url), 403, "FORBIDDEN")
    refused(sqlite.client.get("/api/tokens", headers={"Origin": "http://evil.example"}), 403, "FORBIDDEN")


def test_t38_rotation_leaves_two_good_secrets_for_a_while(guard: Guarded) -> None:
    old = guard.token("--scope", "read")
    new = manage(url_of(guard.service), "token", "rotate", old.split("_")[1], "--overlap-hours", "0.001").lines[0]
    assert new.split("_")[1] == old.split("_")[1]
    until(lambda: guard.get("/api/hosts", new).status_code == 200)
    assert guard.get("/api/hosts", old).status_code == 200
    until(lambda: guard.get("/api/hosts", old).status_code == 401, 10)
    assert guard.get("/api/hosts", new).status_code == 200


def test_the_api_rotates(guard: Guarded) -> None:
    old = guard.token("--scope", "read")
    path = f"/api/tokens/{old.split('_')[1]}/rotate"
    answer = guard.service.post({"overlap_hours": 0}, path, **bearer(guard.admin))
    assert answer.status_code == 200
    new = answer.json()["data"]["token"]
    until(lambda: guard.get("/api/hosts", new).status_code == 200)
    refused(guard.get("/api/hosts", old), 401, "UNAUTHORIZED")
    unknown = guard.service.post({}, "/api/tokens/0123456789ab/rotate", **bearer(guard.admin))
    refused(unknown, 404, "NOT_FOUND")


def test_the_process_that_changes_a_token_knows_it_at_once(guard: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks of the probe, which is why it looks no more."""
    admin = bearer(guard.admin)
    monkeypatch.setattr(guard.service.state["database"], "_probe", lambda: None)
    body = {"name": "at once", "scope": "read"}
    old = guard.service.post(body, "/api/tokens", **admin).json()["data"]["token"]
    assert guard.get("/api/hosts", old).status_code == 200
    path = f"/api/tokens/{id_of(old)}"
    new = guard.service.post({"overlap_hours": 0}, f"{path}/rotate", **admin).json()["data"]["token"]
    assert guard.get("/api/hosts", new).status_code == 200
    assert guard.service.client.delete(path, headers=admin).status_code == 204
    refused(guard.get("/api/hosts", new), 401, "UNAUTHORIZED")


def test_a_revoked_token_is_refused_within_five_seconds(
    engine: str, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    """On every instance, at the pace at which a server looks by itself."""
    url = new_url(engine)
    text = prepared(url, "--scope", "read")
    with running(settings_for(url, tmp_path, SECURITY_MODE="enforce")) as service:
        until(lambda: service.client.get("/api/hosts", headers=bearer(text)).status_code == 200)
        assert manage(url, "token", "revoke", id_of(text)).status == 0
        began = time.monotonic()
        until(lambda: service.client.get("/api/hosts", headers=bearer(text)).status_code == 401, 20)
        took_s = time.monotonic() - began
    within(took_s, 5)


def prepared(url: str, *options: str) -> str:
    """A token of a database whose server has yet to start."""
    assert manage(url, "db", "upgrade").status == 0
    return made(url, *options)


def test_a_token_past_its_time_is_refused_at_once(guard: Guarded) -> None:
    text = guard.token("--scope", "read", "--expires-in-days", "1")
    known = guard.service.state["database"].credentials
    at = known.find(text.split("_")[1]).expires_at
    assert authenticate(text, known, at) is None
    assert authenticate(text, known, moment(0)) is not None


def test_the_last_use_is_noted(new_url: Callable[[str], str], engine: str, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "USED_EVERY_S", 0.1)
        with guarding(settings_for(new_url(engine), tmp_path, SECURITY_MODE="enforce")) as guard:
            text = guard.token("--scope", "read")
            assert last_use(guard, text) == (None, None)
            guard.get("/api/hosts", text)
            until(lambda: last_use(guard, text)[0] is not None)
            new = manage(guard.url, "token", "rotate", id_of(text)).lines[0]
            until(lambda: guard.get("/api/hosts", new).status_code == 200)
            guard.get("/api/hosts", text)
            until(lambda: None not in last_use(guard, text))


def test_a_use_that_could_not_be_noted_is_noted_later(
    new_url: Callable[[str], str], engine: str, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "USED_EVERY_S", 0.1)
        with guarding(settings_for(new_url(engine), tmp_path, SECURITY_MODE="enforce")) as guard:
            text = guard.token("--scope", "read")
            with patch.context() as failing:
                failing.setattr(tokens, "used", _failing)
                guard.get("/api/hosts", text)
                until(lambda: "job_failed job=tokens" in guard.service.log)
            until(lambda: last_use(guard, text)[0] is not None)


def _failing(*_: object, **__: object) -> None:
    raise OperationalError("UPDATE", {}, Exception("gone"))


def last_use(guard: Guarded, text: str) -> tuple[str | None, str | None]:
    listed = {one["id"]: one for one in guard.get("/api/tokens", guard.admin).json()["data"]}
    return listed[id_of(text)]["last_used"], listed[id_of(text)]["previous_used"]


def test_tokens_made_while_the_server_runs_are_good_soon(guard: Guarded) -> None:
    text = guard.token("--scope", "ingest", "--host", "soon")
    assert guard.service.post(report("soon"), **bearer(text)).status_code == 200


def test_the_list_tells_whether_a_token_was_rotated(service: Service) -> None:
    """Whoever was not told asks here before rotating again: that would end the secret before."""
    id_ = id_of(made(url_of(service), "--scope", "read"))
    listed = [_previous_until(service, id_)]
    assert manage(url_of(service), "token", "rotate", id_).status == 0
    listed.append(_previous_until(service, id_))
    assert listed[0] == "-"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.+", listed[1])


def _previous_until(service: Service, id_: str) -> str:
    """The last but one word of the line of a token: its name is the last."""
    [line] = [line for line in manage(url_of(service), "token", "list").lines if line.startswith(id_)]
    return line.split()[-2]
