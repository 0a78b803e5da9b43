"""Signing in and out over HTTP: the cookie, where it is asked from, and what is refused afterwards (T33, T37, T39)."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.cookies import Morsel, SimpleCookie
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from argon2 import PasswordHasher

from database import database, sessions
from database.dialect import Role, dialect_for
from database.users import User
from services import passwords, people, signing
from services.sessions import GRACE
from services.sessions import begin as begun
from tests.console import manage
from tests.elapsed import within
from tests.guarded import Guarded, bearer, guarding
from tests.intake import refused, stored, until
from tests.logs import Reader
from tests.people import COOKIE, PASSWORD, SECRET, cookie_of, jwt_of, login, person, refresh
from tests.service import Service, report, running, settings_for
from tests.test_manage import url_of
from utils.utils import moment

pytestmark = pytest.mark.security
FOREIGN = ["http://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "{url}.evil.example", "{url}/", "x"]


def signed_in(one: Guarded, name: str, role: str = "viewer") -> httpx.Response:
    """Somebody new, who signs in."""
    answer = login(one.service, person(one.url, name, role))
    assert answer.status_code == 200, answer.text
    return answer


def logout(service: Service, **headers: str) -> httpx.Response:
    service.client.cookies.clear()
    return service.client.post("/api/login/logout", headers=headers)


def cookie_in(answer: httpx.Response) -> Morsel[str]:
    return SimpleCookie(answer.headers["set-cookie"])[COOKIE]


# Signing in


def test_whoever_signs_in_reads_with_what_they_get(staffed: Guarded) -> None:
    answer = signed_in(staffed, "reads")
    data = answer.json()["data"]
    text = data.pop("access_token")
    assert data == {"token_type": "bearer", "expires_in": 600, "user": "reads", "role": "viewer"}
    assert answer.headers["cache-control"] == "no-store"
    assert staffed.get("/api/hosts", text).status_code == 200
    refused(staffed.get("/config", text), 403, "FORBIDDEN")
    refused(staffed.service.post(report("reads"), **bearer(text)), 403, "FORBIDDEN")


def test_an_admin_changes_things_but_reports_nothing(staffed: Guarded) -> None:
    text = jwt_of(signed_in(staffed, "changes", "admin"))
    stored(staffed.service.post(report("changed"), **staffed.ingest("changed")))
    [host] = staffed.get("/api/hosts?host_name=changed", text).json()["data"]
    path = f"/api/hosts/{host['id']}/tags"
    assert staffed.service.client.put(path, json={"tags": ["x"]}, headers=bearer(text)).status_code == 200
    assert staffed.get("/config", text).status_code == 200
    refused(staffed.service.post(report("changed"), **bearer(text)), 403, "FORBIDDEN")


def test_a_refusal_names_the_person_in_the_log(staffed: Guarded) -> None:
    text = jwt_of(signed_in(staffed, "refused-name"))
    staffed.service.state["refusals"]._lines.clear()
    staffed.get("/config", text)
    line = "security - WARNING - forbidden peer=127.0.0.1 method=GET path=/config user=refused-name"
    until(lambda: line in staffed.service.log)


def test_swagger_signs_in_by_its_form(staffed: Guarded) -> None:
    service = staffed.service
    person(staffed.url, "swagger")
    document = service.client.get("/openapi.json").json()
    flow = document["components"]["securitySchemes"]["password"]["flows"]["password"]
    assert {"password": []} in document["security"]
    form = {"grant_type": "password", "username": "swagger", "password": PASSWORD, "scope": "", "client_id": ""}
    headers = {"Authorization": "Basic Og==", "Origin": service.url}
    answer = service.client.post(urljoin("/openapi.json", flow["tokenUrl"]), data=form, headers=headers)
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["success"]) == ("bearer", 600, True)
    assert body["access_token"] == body["data"]["access_token"]
    assert staffed.get("/api/hosts", body["access_token"]).status_code == 200
    assert cookie_of(answer)


def test_json_is_answered_with_the_envelope_alone(staffed: Guarded) -> None:
    assert list(signed_in(staffed, "json").json()) == ["success", "resultCode", "resultMessage", "data"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"username=a&username=b&password=c", "application/x-www-form-urlencoded", 400, "BAD_REQUEST"),
        (b"username=%ff&password=c", "application/x-www-form-urlencoded", 400, "BAD_REQUEST"),
        (b"&".join(b"a%d=1" % i for i in range(30)), "application/x-www-form-urlencoded", 400, "BAD_REQUEST"),
        (b"username=a", "application/x-www-form-urlencoded", 422, "VALIDATION"),
        (b"username=a&password=b&grant_type=code", "application/x-www-form-urlencoded", 422, "VALIDATION"),
        (b"username=a&password=" + b"x" * 20_000, "application/x-www-form-urlencoded", 413, "TOO_LARGE"),
        (b"--x", "multipart/form-data; boundary=x", 415, "UNSUPPORTED"),
        (b"user=a&password=b", "application/json", 400, "BAD_JSON"),
        (b'{"user": "a", "password": ""}', "application/json", 422, "VALIDATION"),
        (b'{"user": "a", "password": "%s"}' % (b"x" * 1025), "application/json", 422, "VALIDATION"),
        (b'{"user": "a", "password": "%s"}' % (b"x" * 20_000), "application/json", 413, "TOO_LARGE"),
        (b'{"user": "a", "password": ["CANARY"]}', "application/json", 422, "VALIDATION"),
    ],
)
def test_what_is_no_sign_in_is_refused_without_an_echo(
    staffed: Guarded, body: bytes, kind: str, status: int, code: str
) -> None:
    answer = staffed.service.client.post("/api/login", content=body, headers={"Content-Type": kind})
    refused(answer, status, code)
    assert "CANARY" not in answer.text


def test_t39_unknown_wrong_and_disabled_are_refused_alike(staffed: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same text and headers, and the same time: each costs one verification of the same hash."""
    known, disabled = person(staffed.url, "alike"), person(staffed.url, "alike-disabled")
    manage(staffed.url, "user", "disable", disabled)
    verified: list[str] = []

    def verify(stored_: str, password: str) -> bool:
        verified.append(stored_.rpartition("$")[0].rpartition("$")[0])
        return bool(passwords.HASHER.verify(passwords.hashed(password), password)) and password == PASSWORD

    monkeypatch.setattr(passwords, "_verified", verify)
    tries = [("alike-nobody", PASSWORD), (known, "wrong"), (disabled, PASSWORD)]
    answers = [login(staffed.service, *one) for one in tries]
    for answer in answers:
        refused(answer, 401, "UNAUTHORIZED")
    assert len({answer.text for answer in answers}) == 1
    assert len({answer.headers["www-authenticate"] for answer in answers}) == 1
    assert not any("set-cookie" in answer.headers for answer in answers)
    assert verified == ["$argon2id$v=19$m=19456,t=2,p=1"] * 3


def test_t39_after_five_failures_even_the_password_waits(staffed: Guarded) -> None:
    name, other = person(staffed.url, "locked"), person(staffed.url, "not-locked")
    staffed.service.state["refusals"]._lines.clear()  # at most a line a minute for each address
    for _ in range(5):
        refused(login(staffed.service, name, "wrong"), 401, "UNAUTHORIZED")
    answer = login(staffed.service, name)
    refused(answer, 429, "RATE_LIMITED")
    assert 890 < int(answer.headers["retry-after"]) <= 900
    assert login(staffed.service, other).status_code == 200
    until(lambda: "login_locked peer=127.0.0.1" in staffed.service.log)


def test_t39_nobody_is_locked_like_somebody(staffed: Guarded) -> None:
    codes = [login(staffed.service, "locked-nobody", "wrong").status_code for _ in range(6)]
    assert codes == [401] * 5 + [429]


def test_t39_many_at_once_are_no_more_than_five(staffed: Guarded) -> None:
    name = person(staffed.url, "at-once")
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: login(staffed.service, name, "wrong"), range(12)))
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 7


def test_t39_a_success_forgets_the_failures(staffed: Guarded) -> None:
    name = person(staffed.url, "forgetful")
    for _ in range(2):
        codes = [login(staffed.service, name, "wrong").status_code for _ in range(4)]
        assert (codes, login(staffed.service, name).status_code) == ([401] * 4, 200)


def test_two_passwords_are_tried_at_once_and_no_more(staffed: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    now, most, lock = [0], [0], threading.Lock()

    def slow(*_: object) -> bool:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        return False

    monkeypatch.setattr(passwords, "matches", slow)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: login(staffed.service, f"slow-{number}"), range(8)))
    assert most == [2]


def test_whoever_waits_too_long_in_line_may_come_again(staffed: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    name = person(staffed.url, "patient")
    monkeypatch.setattr(people, "WAIT_S", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(passwords, "matches", lambda *_: time.sleep(0.3))
        for _ in range(6):
            answer = login(staffed.service, name)
            refused(answer, 503, "OVERLOADED")
            assert answer.headers["retry-after"]
    monkeypatch.setattr(people, "WAIT_S", 5.0)
    assert login(staffed.service, name).status_code == 200


def test_a_hash_of_other_parameters_is_made_anew(staffed: Guarded) -> None:
    name = person(staffed.url, "weak")
    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    staffed.service.sql("UPDATE users SET password_hash = :weak WHERE name = :name", weak=weak, name=name)
    assert [login(staffed.service, name).status_code for _ in range(2)] == [200, 200]
    [(strong,)] = staffed.service.sql("SELECT password_hash FROM users WHERE name = :name", name=name)
    assert strong.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_whose_password_was_changed_meanwhile_is_not_signed_in(staffed: Guarded) -> None:
    name = person(staffed.url, "meanwhile")
    [row] = staffed.service.sql("SELECT id, name, password_hash, role FROM users WHERE name = :name", name=name)
    engine = dialect_for(staffed.service.settings).engine(Role("test", size=2))
    for change, begins in (({}, True), ({"password_hash": "another"}, False), ({"role": "admin"}, False)):
        user = User(
            **{**dict(zip(("id", "name", "password_hash", "role"), row, strict=True)), **change}, created_at=moment(0)
        )
        session, _ = begun(user, moment(0))
        with engine.begin() as connection:
            assert sessions.begin(connection, session, user) is begins
    engine.dispose()


# The cookie


def test_t33_the_cookie_is_for_the_refresh_alone_and_for_no_script(staffed: Guarded) -> None:
    cookie = cookie_in(signed_in(staffed, "cookie"))
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "strict", "/api/login")
    assert (cookie["secure"], cookie["domain"]) == ("", "")
    assert 30 * 86_400 - 60 < int(cookie["max-age"]) <= 30 * 86_400


def test_t33_over_tls_the_cookie_is_for_tls_alone(staffed: Guarded) -> None:
    """A proxy speaks TLS for us, and the page's address tells."""
    name = person(staffed.url, "tls")
    answer = login(staffed.service, name, Origin=staffed.service.url.replace("http:", "https:"))
    assert cookie_in(answer)["secure"] is True


@pytest.mark.parametrize("origin", FOREIGN)
def test_t33_a_page_of_another_server_signs_nobody_in_or_on(staffed: Guarded, origin: str) -> None:
    origin = origin.replace("{url}", staffed.service.url)
    if not hasattr(staffed, "cookie"):
        staffed.cookie = cookie_of(signed_in(staffed, "foreign"))  # type: ignore[attr-defined]
    refused(login(staffed.service, "foreign", Origin=origin), 403, "FORBIDDEN")
    refused(refresh(staffed.service, staffed.cookie, Origin=origin), 403, "FORBIDDEN")  # type: ignore[attr-defined]
    given = {"Origin": origin, "Cookie": f"{COOKIE}={staffed.cookie}"}  # type: ignore[attr-defined]
    refused(logout(staffed.service, **given), 403, "FORBIDDEN")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_t33_what_the_browser_says_of_the_page_counts(staffed: Guarded, site: str) -> None:
    refused(login(staffed.service, "foreign", Sec_Fetch_Site=site), 403, "FORBIDDEN")
    given = {"Origin": staffed.service.url, "Sec-Fetch-Site": site}
    refused(staffed.service.client.post("/api/login/refresh", headers=given), 403, "FORBIDDEN")


def test_t33_without_an_origin_a_refresh_shows_where_it_is_from(staffed: Guarded) -> None:
    cookie = {"Cookie": f"{COOKIE}={cookie_of(signed_in(staffed, 'shows'))}"}
    client = staffed.service.client
    client.cookies.clear()
    for extra in ({}, {"Sec-Fetch-Site": "none"}):
        refused(client.post("/api/login/refresh", headers={**cookie, **extra}), 403, "FORBIDDEN")
        refused(client.post("/api/login/logout", headers={**cookie, **extra}), 403, "FORBIDDEN")
    answer = client.post("/api/login/refresh", headers={**cookie, "Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 200
    client.cookies.clear()
    cookie = {"Cookie": f"{COOKIE}={cookie_of(answer)}"}
    assert client.post("/api/login/refresh", headers={**cookie, "X-Requested-With": "fetch"}).status_code == 200


def test_a_refresh_gives_another_jwt_and_another_cookie(staffed: Guarded) -> None:
    first = cookie_of(signed_in(staffed, "again", "admin"))
    answer = refresh(staffed.service, first)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["data"]["role"] == "admin"
    assert staffed.get("/config", jwt_of(answer)).status_code == 200
    second = cookie_of(answer)
    assert second != first
    assert cookie_of(refresh(staffed.service, second)) not in (first, second)


def test_two_pages_that_refresh_at_once_both_go_on(staffed: Guarded) -> None:
    first = cookie_of(signed_in(staffed, "two-pages"))
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: refreshed(staffed.service, first), range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    [cookie] = [cookie_of(answer) for answer in answers if "set-cookie" in answer.headers]
    assert refresh(staffed.service, cookie).status_code == 200


def refreshed(service: Service, cookie: str) -> httpx.Response:
    """With a client of its own, which keeps no cookie of another thread's."""
    return httpx.post(
        f"{service.url}/api/login/refresh", headers={"Origin": service.url, "Cookie": f"{COOKIE}={cookie}"}
    )


def test_a_cookie_that_was_replaced_ends_the_session(staffed: Guarded) -> None:
    first = cookie_of(signed_in(staffed, "stolen"))
    answer = refresh(staffed.service, first)
    second, text = cookie_of(answer), jwt_of(answer)
    later(staffed, first, GRACE)
    stale = refresh(staffed.service, first)
    refused(stale, 401, "UNAUTHORIZED")
    assert cookie_in(stale)["max-age"] == "0"
    refused(refresh(staffed.service, second), 401, "UNAUTHORIZED")
    refused(staffed.get("/api/hosts", text), 401, "UNAUTHORIZED")
    until(lambda: "security - WARNING - refresh_reused user=stolen peer=127.0.0.1" in staffed.service.log)


def test_a_cookie_that_was_replaced_twice_ends_it_at_once(staffed: Guarded) -> None:
    first = cookie_of(signed_in(staffed, "older"))
    third = cookie_of(refresh(staffed.service, cookie_of(refresh(staffed.service, first))))
    refused(refresh(staffed.service, first), 401, "UNAUTHORIZED")
    refused(refresh(staffed.service, third), 401, "UNAUTHORIZED")


def later(one: Guarded, cookie: str, passed: timedelta) -> None:
    """Time goes by for a session."""
    [(until_, expires)] = one.service.sql(
        "SELECT previous_until, expires_at FROM sessions WHERE id = :id", id=cookie.partition(".")[0]
    )
    moments = {"previous": minus(until_, passed), "expires": minus(expires, passed)}
    statement = "UPDATE sessions SET previous_until = :previous, expires_at = :expires WHERE id = :id"
    one.service.sql(statement, id=cookie.partition(".")[0], **moments)


def minus(at: object, passed: timedelta) -> object:
    """SQLite gives moments as text."""
    from datetime import datetime  # noqa: PLC0415 - of this helper alone

    if at is None:
        return None
    value = datetime.fromisoformat(at) if isinstance(at, str) else at
    assert isinstance(value, datetime)
    return (value - passed).isoformat(" ", "microseconds")


def test_a_session_ends_after_thirty_days(staffed: Guarded) -> None:
    cookie = cookie_of(signed_in(staffed, "month"))
    later(staffed, cookie, timedelta(days=29, hours=23))
    answer = refresh(staffed.service, cookie)
    assert 3500 < int(cookie_in(answer)["max-age"]) <= 3600
    later(staffed, cookie, timedelta(hours=1))
    refused(refresh(staffed.service, cookie_of(answer)), 401, "UNAUTHORIZED")


@pytest.mark.parametrize("cookie", [None, "", "x", "0" * 32, f"{'0' * 32}.{'0' * 64}", f"{'0' * 32}.{'0' * 63}"])
def test_what_is_no_cookie_of_ours_refreshes_nothing(staffed: Guarded, cookie: str | None) -> None:
    refused(refresh(staffed.service, cookie), 401, "UNAUTHORIZED")


def test_sessions_that_are_long_over_are_removed_at_the_next_login(staffed: Guarded) -> None:
    name = person(staffed.url, "tidy")
    login(staffed.service, name)
    count = "SELECT COUNT(*) FROM sessions JOIN users ON users.id = user_id WHERE name = :name"
    later(staffed, cookie_of(login(staffed.service, name)), timedelta(days=31))
    login(staffed.service, name)
    assert staffed.service.sql(count, name=name) == [(2,)]


# Signing out


def test_after_a_logout_neither_jwt_nor_cookie_counts(staffed: Guarded) -> None:
    answer = signed_in(staffed, "leaves")
    text, cookie = jwt_of(answer), cookie_of(answer)
    gone = logout(staffed.service, **bearer(text))
    assert (gone.status_code, gone.json()["data"]) == (200, {"ended": True})
    assert (cookie_in(gone).value, cookie_in(gone)["max-age"], cookie_in(gone)["path"]) == ("", "0", "/api/login")
    refused(staffed.get("/api/hosts", text), 401, "UNAUTHORIZED")
    refused(refresh(staffed.service, cookie), 401, "UNAUTHORIZED")
    assert logout(staffed.service, **bearer(text)).json()["data"] == {"ended": False}
    until(lambda: "security - INFO - logged_out user=leaves peer=127.0.0.1" in staffed.service.log)


def test_the_cookie_signs_out_as_well(staffed: Guarded) -> None:
    answer = signed_in(staffed, "leaves-by-cookie")
    given = {"Origin": staffed.service.url, "Cookie": f"{COOKIE}={cookie_of(answer)}"}
    assert logout(staffed.service, **given).json()["data"] == {"ended": True}
    refused(staffed.get("/api/hosts", jwt_of(answer)), 401, "UNAUTHORIZED")


@pytest.mark.parametrize("leaves", [True, False])
def test_a_browser_sends_the_cookie_where_it_is_for(staffed: Guarded, *, leaves: bool) -> None:
    """A client with a store of cookies that goes by their paths."""
    name, page = person(staffed.url, f"browser-{leaves}"), {"Origin": staffed.service.url}
    with httpx.Client(base_url=staffed.service.url, headers=page) as browser:
        text = jwt_of(browser.post("/api/login", json={"user": name, "password": PASSWORD}))
        assert browser.post("/api/login/refresh").status_code == 200
        if leaves:
            assert browser.post("/api/login/logout").json()["data"] == {"ended": True}
        assert browser.post("/api/login/refresh").status_code == (401 if leaves else 200)
    assert staffed.get("/api/hosts", text).status_code == (401 if leaves else 200)


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}])
def test_t33_a_page_of_another_server_takes_no_cookie_away(staffed: Guarded, headers: dict[str, str]) -> None:
    """A form of it is sent without the cookie, but the answer may take the cookie away."""
    answer = logout(staffed.service, **headers)
    refused(answer, 403, "FORBIDDEN")
    assert "set-cookie" not in answer.headers


def test_only_this_session_ends(staffed: Guarded) -> None:
    name = person(staffed.url, "two-sessions")
    first, second = (jwt_of(login(staffed.service, name)) for _ in range(2))
    logout(staffed.service, **bearer(first))
    assert [staffed.get("/api/hosts", one).status_code for one in (first, second)] == [401, 200]


def test_an_expired_jwt_signs_out(staffed: Guarded) -> None:
    answer = signed_in(staffed, "late")
    session_id = cookie_of(answer).partition(".")[0]
    [(id_,)] = staffed.service.sql("SELECT id FROM users WHERE name = 'late'")
    old = signing.sign(User(id_, "late", "", "viewer", moment(0)), session_id, SECRET.encode(), moment(0))
    refused(staffed.get("/api/hosts", old), 401, "UNAUTHORIZED")
    assert logout(staffed.service, **bearer(old)).json()["data"] == {"ended": True}


def test_whoever_is_not_signed_in_may_sign_out(staffed: Guarded) -> None:
    page = {"Origin": staffed.service.url}
    for headers in (page, bearer("nonsense"), bearer(staffed.admin), {**page, "Cookie": f"{COOKIE}=x"}):
        assert logout(staffed.service, **headers).json()["data"] == {"ended": False}


@pytest.mark.parametrize("arguments", [["disable"], ["role", "--role", "admin"], ["password", "--password-stdin"]])
def test_what_the_operator_changes_signs_out_within_five_seconds(
    engine: str, new_url: Callable[[str], str], tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the pace at which a server looks by itself."""
    monkeypatch.setattr(database, "PROBE_S", 2.0)
    url, given = new_url(engine), {"SECURITY_MODE": "enforce", "SECURITY_JWT_SECRET": SECRET}
    with running(settings_for(url, tmp_path, **given)) as service:
        answer = login(service, person(url, "changed"))
        text = jwt_of(answer)
        assert service.client.get("/api/hosts", headers=bearer(text)).status_code == 200
        assert manage(url, "user", *arguments[:1], "changed", *arguments[1:], typed="another one\n").status == 0
        began = time.monotonic()
        until(lambda: service.client.get("/api/hosts", headers=bearer(text)).status_code == 401, 20)
        took_s = time.monotonic() - began
        refused(refresh(service, cookie_of(answer)), 401, "UNAUTHORIZED")
    within(took_s, 5)


def test_a_logout_counts_on_every_instance_within_five_seconds(
    staffed: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if staffed.service.settings.sqlite_path:
        return  # one process a file: there is no other instance
    monkeypatch.setattr(database, "PROBE_S", 2.0)
    given = {"SECURITY_MODE": "enforce", "SECURITY_JWT_SECRET": SECRET}
    with running(settings_for(staffed.url, tmp_path, **given)) as other:
        text = jwt_of(signed_in(staffed, "everywhere"))
        assert other.client.get("/api/hosts", headers=bearer(text)).status_code == 200
        logout(staffed.service, **bearer(text))
        refused(staffed.get("/api/hosts", text), 401, "UNAUTHORIZED")
        began = time.monotonic()
        until(lambda: other.client.get("/api/hosts", headers=bearer(text)).status_code == 401, 20)
        took_s = time.monotonic() - began
    within(took_s, 5)


# The key, and the modes


def test_on_sqlite_the_key_is_made_at_the_first_login_and_kept(new_url: Callable[[str], str], tmp_path: Path) -> None:
    url = new_url("sqlite")
    file = Path(f"{url.removeprefix('sqlite:///')}.jwt")
    with running(settings_for(url, tmp_path, SECURITY_MODE="enforce")) as service:
        person(url, "first")
        refused(login(service, "first", "wrong"), 401, "UNAUTHORIZED")
        assert not file.exists()
        text = jwt_of(login(service, "first"))
        left = jwt_of(login(service, "first"))
        logout(service, **bearer(left))
        assert file.stat().st_mode & 0o777 == 0o600
    with running(settings_for(url, tmp_path, SECURITY_MODE="enforce")) as service:
        until(lambda: service.state["database"].credentials.loaded)
        assert service.client.get("/api/hosts", headers=bearer(text)).status_code == 200
        refused(service.client.get("/api/hosts", headers=bearer(left)), 401, "UNAUTHORIZED")
        assert file.read_text() not in service.client.get("/config").text + service.log


def test_without_people_no_key_is_made(new_url: Callable[[str], str], tmp_path: Path) -> None:
    url = new_url("sqlite")
    with guarding(settings_for(url, tmp_path, SECURITY_MODE="enforce")) as guard:
        refused(guard.get("/api/hosts", "eyJhbGciOiJIUzI1NiJ9.e30.x"), 401, "UNAUTHORIZED")
    assert not Path(f"{url.removeprefix('sqlite:///')}.jwt").exists()


def test_where_the_key_has_to_be_given_a_login_says_so(guard: Guarded) -> None:
    name = person(guard.url, "keyless")
    answer = login(guard.service, name)
    if guard.service.settings.sqlite_path:
        assert answer.status_code == 200
        return
    refused(answer, 503, "NOT_CONFIGURED")
    assert "[security] jwt_secret" in answer.json()["resultMessage"]
    assert guard.get("/api/hosts", guard.admin).status_code == 200


def test_a_key_that_cannot_be_stored_is_said_in_the_log(sqlite: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.jwt_key._make", full)
    refused(login(sqlite, person(url_of(sqlite), "no-space")), 503, "NOT_CONFIGURED")
    until(lambda: 'jwt_key_unwritable reason="No space left on device"' in sqlite.log)


@pytest.mark.parametrize("mode", ["off", "observe", "enforce"])
def test_people_sign_in_whatever_the_mode(new_url: Callable[[str], str], tmp_path: Path, mode: str) -> None:
    """While it is off, what they show changes nothing."""
    url = new_url("sqlite")
    with running(settings_for(url, tmp_path, SECURITY_MODE=mode)) as service:
        until(lambda: mode == "off" or service.state["database"].credentials.loaded)
        headers = bearer(jwt_of(login(service, person(url, "anybody", "admin"))))
        assert service.client.get("/api/hosts", headers=headers).status_code == 200
        assert service.post(report("h"), **headers).status_code == (403 if mode == "enforce" else 200)
        answer = service.client.get("/api/tokens", headers={"Origin": "http://dashboard.example", **headers})
        assert answer.status_code == (403 if mode == "off" else 200)
        assert logout(service, **headers).json()["data"] == {"ended": True}


# What is told of it


def test_what_people_do_is_in_the_log_and_what_they_show_is_not(
    engine: str, new_url: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A canary in the password, everything else as it comes; with all that a log can be made to say."""
    monkeypatch.setattr(logging.getLogger("httpcore"), "disabled", True)  # the test's own client, in this process
    for name in ("http11", "connection"):
        monkeypatch.setattr(logging.getLogger(f"httpcore.{name}"), "disabled", True)
    noisy = {"DATABASE_ECHO": "true", "APP_DEBUG": "true", "LOGGING_LEVEL": "DEBUG"}
    settings = settings_for(new_url(engine), tmp_path, SECURITY_MODE="enforce", SECURITY_JWT_SECRET=SECRET, **noisy)
    with running(settings) as service:
        until(lambda: service.state["database"].credentials.loaded)
        log = Reader(service)
        name = person(url_of(service), "told", password="CANARY-password")
        answer = login(service, name, "CANARY-password")
        login(service, name, "CANARY-wrong")
        login(service, "CANARY-typed-as-a-name", "wrong")
        service.client.post("/api/login", data={"username": name, "password": "CANARY-form", "x": "CANARY-x"})
        service.client.get(f"/api/hosts/{jwt_of(answer)}", headers=bearer(jwt_of(answer)))
        again = refresh(service, cookie_of(answer))
        logout(service, **bearer(jwt_of(again)))
        text = "\n".join(log.all())
    for line in ("login_succeeded user=told", "login_failed user=told", "logged_out user=told"):
        assert f"{line} peer=127.0.0.1" in text
    shown = [jwt_of(answer), jwt_of(again), *jwt_of(answer).split(".")[1:], SECRET]
    secrets = [cookie_of(one).partition(".")[2] for one in (answer, again)]
    assert [word for word in ("CANARY", "argon2", *shown, *secrets) if word in text] == []


def test_the_secret_of_a_cookie_is_stored_as_its_hash(staffed: Guarded) -> None:
    cookie = cookie_of(signed_in(staffed, "hashed"))
    rows = staffed.service.sql("SELECT * FROM sessions WHERE id = :id", id=cookie.partition(".")[0])
    assert len(rows) == 1
    assert cookie.partition(".")[2] not in str(rows)
