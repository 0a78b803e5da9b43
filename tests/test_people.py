"""People: let in by the command, known by what was signed for them, and locked out for a while (T37, T39)."""

import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from config.config import ConfigError, load
from database import credentials, revisions, sessions, tokens, users
from database.credentials import Credentials
from database.users import User
from services import passwords, signing
from services.access import signed_in
from services.jwt_key import JwtKey
from services.lockout import Lockout, attempt_of
from services.passwords import HASHER, NOBODY
from tests.console import manage
from tests.people import PASSWORD, SECRET, person
from tests.service import Service, settings_for
from tests.test_manage import url_of
from utils.token_text import hide, mint
from utils.utils import moment

pytestmark = pytest.mark.security

NOW = moment(1_800_000_000_000_000)
KEY = SECRET.encode()
ANN = User(7, "ann", "hash", "admin", NOW)


def known(**state: object) -> Credentials:
    """What a process remembers once it has read everything."""
    one = Credentials()
    one._revision = 1
    for name, value in state.items():
        setattr(one, name, value)
    return one


def claims(**others: object) -> dict[str, Any]:
    """What `sign` signs, but for what is given; None leaves a claim out."""
    began = signing.seconds(NOW)
    who = {"sub": "7", "name": "ann", "role": "admin", "sid": "s"}
    made = {"iss": signing.ISSUER, "aud": signing.AUDIENCE, **who, "iat": began, "exp": began + 600, **others}
    return {name: value for name, value in made.items() if value is not None}


def signed(payload: dict[str, Any], key: bytes | str = KEY, algorithm: str = "HS256", **header: object) -> str:
    return jwt.encode(payload, key, algorithm, headers={"typ": signing.TYPE, **header})


def who(text: str, credentials_: Credentials | None = None, after_s: float = 0) -> tuple[str, str] | None:
    found = signed_in(text, KEY, credentials_ or known(), NOW + timedelta(seconds=after_s))
    return (found.name, found.scope) if found else None


# What is signed


def test_t37_what_was_signed_tells_who_it_is_until_it_expires() -> None:
    text = signing.sign(ANN, "s", KEY, NOW)
    assert who(text) == who(text, after_s=599) == ("ann", "admin")
    assert who(text, after_s=600) is who(text, after_s=1e6) is None
    assert signing.LIFETIME_S <= signing.MAX_LIFETIME_S == 900


def test_t37_roles_are_scopes_and_neither_reports() -> None:
    viewer = User(8, "bob", "hash", "viewer", NOW)
    assert who(signing.sign(viewer, "s", KEY, NOW)) == ("bob", "read")


def test_t37_only_our_algorithm_counts() -> None:
    assert who(signed(claims())) == ("ann", "admin")
    unsigned = signed(claims(), "", "none")
    assert who(unsigned) is None
    assert who(unsigned + signed(claims()).rpartition(".")[2]) is None
    long = KEY * 2  # which every one of them would take
    judged = [signed_in(signed(claims(), long, one), long, known(), NOW) for one in ("HS256", "HS384", "HS512")]
    assert [one is not None for one in judged] == [True, False, False]


def test_t37_another_key_counts_for_nothing() -> None:
    assert who(signed(claims(), KEY[::-1])) is None
    assert signed_in(signed(claims()), None, known(), NOW) is None


@pytest.mark.parametrize("name", claims())
def test_t37_every_claim_is_required(name: str) -> None:
    assert who(signed(claims(**{name: None}))) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "resource-monitor"),
        ("aud", "another-api"),
        ("aud", [signing.AUDIENCE]),
        ("sub", 7),
        ("sub", "seven"),
        ("sub", "-7"),
        ("sub", "\u0667"),  # a seven, of other digits
        ("sid", 5),
        ("role", "root"),
        ("role", ["admin"]),
        ("name", {"a": 1}),
        ("iat", "1800000000"),
        ("iat", True),
        ("exp", "1800000600"),
        ("exp", 1_800_000_600.5),
        ("exp", 1_800_000_901),
        ("exp", 10**400),
    ],
)
def test_t37_a_claim_that_we_would_not_have_made_is_refused(name: str, value: object) -> None:
    assert who(signed(claims(**{name: value}))) is None


@pytest.mark.parametrize("kind", ["JWT", "jwt", "", "refresh", 5])
def test_t37_another_type_of_jwt_is_refused(kind: object) -> None:
    assert who(signed(claims(), typ=kind)) is None


def test_t37_headers_that_name_a_key_lead_nowhere() -> None:
    """A key that the token itself offers is not taken, nor is ours refused because another is named."""
    offered: dict[str, Any] = {"jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/x", "kid": "../../dev/null"}
    assert who(signed(claims(), **offered)) == ("ann", "admin")
    assert who(signed(claims(), KEY[::-1], **offered)) is None


def test_t37_a_role_that_was_tampered_with_is_refused() -> None:
    head, body, signature = signed(claims(role="viewer")).split(".")
    payload = json.loads(jwt.utils.base64url_decode(body))
    other = jwt.utils.base64url_encode(json.dumps({**payload, "role": "admin"}).encode()).decode()
    assert who(f"{head}.{body}.{signature}") == ("ann", "read")
    assert who(f"{head}.{other}.{signature}") is None


@pytest.mark.parametrize("text", ["", "x", "..", "a.b.c", "eyJhbGciOiJIUzI1NiJ9..", "eyJ" * 2000, "\xff.\xff.\xff"])
def test_t37_what_is_no_jwt_is_nobody(text: str) -> None:
    assert who(text) is None


def test_t37_a_revoked_session_and_a_disabled_user_are_nobody() -> None:
    text = signed(claims())
    assert who(text, known(_ended=frozenset({"s"}))) is None
    assert who(text, known(_disabled=frozenset({7}))) is None
    assert who(text, known(_ended=frozenset({"t"}), _disabled=frozenset({8}))) == ("ann", "admin")


def test_t37_before_it_is_known_who_was_signed_out_nobody_is_in() -> None:
    assert who(signed(claims()), Credentials()) is None


def test_a_session_that_ended_here_stays_so_whatever_a_reading_had_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(9))
    monkeypatch.setattr(revisions, "revision", lambda _: next(numbers))
    monkeypatch.setattr(tokens, "valid", lambda *_: [])
    monkeypatch.setattr(sessions, "ended", lambda *_: frozenset())
    monkeypatch.setattr(users, "disabled", lambda *_: frozenset())
    one = known()
    one.end("s", NOW)
    for later_s, ended in ((1, True), (signing.MAX_LIFETIME_S, True), (1201, False)):
        one.refresh(None, NOW + timedelta(seconds=later_s))  # type: ignore[arg-type]  # nothing is read
        assert one.signed_in(7, "s") is not ended
    assert timedelta(seconds=signing.MAX_LIFETIME_S) < credentials.REMEMBERED


def test_a_log_keeps_nothing_of_a_jwt() -> None:
    text = signed(claims())
    assert hide(f"a {text} b") == "a [hidden] b"
    assert hide(text.rpartition(".")[0]) == hide(text[:-9]) == "[hidden]"
    assert hide("eyJ is a name") == "eyJ is a name"


@pytest.mark.parametrize(
    "before",
    ["\n", "\\n", "\\\\n", "\\r", "\\t", "\\x0a", "\\u2028", "\x1b[31m", "%0A", "%3d", "_", "-", "비밀", "a=", '"'],
)
def test_a_log_keeps_nothing_of_a_jwt_whatever_stands_before_it(before: str) -> None:
    minted = mint()
    assert hide(f"a{before}{signed(claims())} b") == f"a{before}[hidden] b"
    assert hide(f"a{before}{minted.text} b") == f"a{before}rms_{minted.id}_[hidden] b"


@pytest.mark.parametrize(
    "text", ["monkeyJim.lan.example", "platforms_1", "C:\\keyJob.log", "alarms_0123456789ab", "keyJ-1.a.b"]
)
def test_a_log_keeps_words_that_only_look_like_secrets(text: str) -> None:
    assert hide(text) == text


# The key


@pytest.mark.parametrize(
    "secret",
    ["short", SECRET[:31], "a" * 64, "ab" * 32, "0123456789" * 4, "change-me-" + SECRET, "your-jwt-secret-" + SECRET],
)
def test_t37_a_secret_that_can_be_guessed_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({"SECURITY_JWT_SECRET": secret}, Path("no-such-config.ini"))
    assert str(caught.value).startswith("[security] jwt_secret (from SECURITY_JWT_SECRET) is refused: give 32 or more")
    assert secret not in str(caught.value)


def test_without_people_there_is_no_key_and_no_file(sqlite: Service, tmp_path: Path) -> None:
    assert sqlite.state["people"].key.known is None
    settings = settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path)
    assert JwtKey(settings).possible
    assert list(tmp_path.iterdir()) == []


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path)
    one = JwtKey(settings)
    made = one.get()
    assert made == one.get() == one.known == JwtKey(settings).known
    assert len(made) >= 32
    [file] = tmp_path.iterdir()
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == ("test.db.jwt", 0o600)


def test_a_key_that_is_cut_off_is_made_anew(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path)
    (tmp_path / "test.db.jwt").write_text("0" * 20)
    one = JwtKey(settings)
    assert one.known is None
    assert len(one.get()) == 64


def test_a_key_that_cannot_be_stored_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.jwt_key.os.fsync", full)
    one = JwtKey(settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path))
    with pytest.raises(OSError, match="No space"):
        one.get()
    assert list(tmp_path.iterdir()) == []


# Passwords


def test_passwords_are_argon2id_of_the_strength_that_owasp_names(service: Service) -> None:
    person(url_of(service), "argon")
    [(stored,)] = service.sql("SELECT password_hash FROM users WHERE name = 'argon'")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in stored
    assert HASHER.verify(stored, PASSWORD)


def test_t39_whoever_names_no_user_waits_for_the_same_hash() -> None:
    assert not HASHER.check_needs_rehash(NOBODY)
    assert not passwords.matches(None, PASSWORD)
    assert not passwords.matches(User(1, "a", "no hash", "viewer", NOW), PASSWORD)
    right = passwords.hashed(PASSWORD)
    assert passwords.matches(User(1, "a", right, "viewer", NOW), PASSWORD)
    assert not passwords.matches(User(1, "a", right, "viewer", NOW, disabled_at=NOW), PASSWORD)


@pytest.mark.parametrize(("length", "good"), [(7, False), (8, True), (1024, True), (1025, False)])
def test_a_password_has_8_to_1024_characters_and_no_other_rule(length: int, good: bool) -> None:  # noqa: FBT001 - a case
    assert passwords.acceptable("a" * length) is good
    assert passwords.acceptable("비밀번호" * (length // 4) + "a" * (length % 4)) is good


# Too many tries


def test_t39_five_failures_in_fifteen_minutes_are_enough() -> None:
    lockout, attempt = Lockout(), attempt_of("ann", "192.0.2.1")
    tries = [lockout.begin(attempt, NOW + timedelta(minutes=minute)) for minute in range(5)]
    assert tries == [None] * 5
    assert lockout.begin(attempt, NOW + timedelta(minutes=5)) == 600
    assert lockout.begin(attempt, NOW + timedelta(minutes=14, seconds=59)) == 1
    assert lockout.begin(attempt, NOW + timedelta(minutes=15)) is None
    assert lockout.begin(attempt, NOW + timedelta(minutes=15)) == 60


def test_t39_another_name_or_address_is_not_locked() -> None:
    lockout = Lockout()
    for _ in range(5):
        lockout.begin(attempt_of("ann", "192.0.2.1"), NOW)
    assert lockout.begin(attempt_of("ann", "::ffff:192.0.2.1"), NOW)
    assert lockout.begin(attempt_of("ann", "192.0.2.2"), NOW) is None
    assert lockout.begin(attempt_of("bob", "192.0.2.1"), NOW) is None


def test_t39_of_ipv6_the_network_counts() -> None:
    assert attempt_of("ann", "2001:db8::1") == attempt_of("ann", "2001:db8::ffff:1")
    assert attempt_of("ann", "2001:db8::1") != attempt_of("ann", "2001:db8:0:1::1")
    assert attempt_of("ann", None) == attempt_of("ann", "")


def test_t39_a_success_and_an_attempt_that_came_to_nothing_do_not_count() -> None:
    lockout, attempt = Lockout(), attempt_of("ann", "192.0.2.1")
    for _ in range(20):
        assert lockout.begin(attempt, NOW) is None
        lockout.undecided(attempt)
    for _ in range(20):
        assert lockout.begin(attempt, NOW) is None
        lockout.succeeded(attempt)
    lockout.undecided(attempt)


def test_t39_many_names_do_not_fill_the_memory() -> None:
    lockout = Lockout()
    for number in range(10_100):
        lockout.begin(attempt_of(f"{number}", f"192.0.{number // 50}.1"), NOW)
    assert len(lockout._failures) == 10_000


def test_t39_fifty_failures_of_any_names_lock_an_address() -> None:
    """Or whoever has a list of names would try five passwords of each, and a flood of names free one that is locked."""
    lockout = Lockout()
    tries = [lockout.begin(attempt_of(f"{number}", "192.0.2.1"), NOW) for number in range(50)]
    assert tries == [None] * 50
    assert lockout.begin(attempt_of("ann", "192.0.2.1"), NOW) == 900
    assert lockout.begin(attempt_of("ann", "192.0.2.2"), NOW) is None
    assert lockout.begin(attempt_of("ann", "192.0.2.1"), NOW + timedelta(minutes=15)) is None


def test_t39_an_attempt_that_came_to_nothing_leaves_nothing_behind() -> None:
    lockout = Lockout()
    for number in range(100):
        assert lockout.begin(attempt_of(f"{number}", "192.0.2.1"), NOW) is None
        lockout.undecided(attempt_of(f"{number}", "192.0.2.1"))
    assert len(lockout._failures) == 0


# The command


def test_somebody_is_let_in_listed_and_changed(service: Service) -> None:
    url = url_of(service)
    person(url, "cli-ann", "admin")
    assert "active    admin" in next(line for line in manage(url, "user", "list").lines if "cli-ann" in line)
    assert manage(url, "user", "role", "cli-ann", "--role", "viewer").words == "cli-ann is viewer"
    assert manage(url, "user", "disable", "cli-ann").words == "cli-ann is disabled"
    assert "disabled  viewer" in next(line for line in manage(url, "user", "list").lines if "cli-ann" in line)
    assert manage(url, "user", "disable", "cli-ann", "--undo").words == "cli-ann may sign in again"
    changed = manage(url, "user", "password", "cli-ann", "--password-stdin", typed="another long one\r\n")
    assert changed.words == "cli-ann has another password"
    [(stored,)] = service.sql("SELECT password_hash FROM users WHERE name = 'cli-ann'")
    assert HASHER.verify(stored, "another long one")


def test_a_password_is_asked_for_twice_and_not_shown(service: Service) -> None:
    create = ("user", "create", "cli-typed", "--role", "viewer")
    wrong = manage(url_of(service), *create, typed=f"{PASSWORD}\nother\n{PASSWORD}\n{PASSWORD}\n")
    assert (wrong.status, "do not match" in wrong.words, PASSWORD in wrong.words) == (0, True, False)
    [(stored,)] = service.sql("SELECT password_hash FROM users WHERE name = 'cli-typed'")
    assert HASHER.verify(stored, PASSWORD)


def test_names_are_different_by_a_letter(service: Service) -> None:
    for name in ("cli-name", "CLI-name", "cli-näme"):
        person(url_of(service), name)


@pytest.mark.parametrize(
    ("arguments", "typed", "status", "sentence"),
    [
        (["create", "cli-twice", "--role", "viewer"], PASSWORD, 1, "there is a user of that name"),
        (["create", "cli-short", "--role", "viewer"], "seven77", 1, "a password has 8 to 1024 characters"),
        (["create", "cli-none", "--role", "viewer"], "", 1, "a password has 8 to 1024 characters"),
        (["create", "a\x1bb", "--role", "viewer"], PASSWORD, 2, "control"),
        (["create", "cli-root", "--role", "root"], PASSWORD, 2, "'root' is not one of"),
        (["password", "cli-nobody"], PASSWORD, 1, "no user of that name"),
    ],
)
def test_what_makes_no_sense_changes_nobody(
    service: Service, arguments: list[str], typed: str, status: int, sentence: str
) -> None:
    if "cli-twice" in arguments:
        person(url_of(service), "cli-twice")
    before = service.sql("SELECT * FROM users ORDER BY id")
    done = manage(url_of(service), "user", *arguments, "--password-stdin", typed=f"{typed}\n")
    assert (done.status, sentence in done.words) == (status, True), done.words
    assert service.sql("SELECT * FROM users ORDER BY id") == before


def test_nobody_of_that_name_is_said(service: Service) -> None:
    for arguments in (["disable", "cli-nobody"], ["role", "cli-nobody", "--role", "admin"]):
        done = manage(url_of(service), "user", *arguments)
        assert (done.status, done.words) == (1, "Error: no user of that name")


def test_a_server_of_several_instances_has_to_be_given_the_key(service: Service) -> None:
    create = ("user", "create", "cli-key", "--role", "viewer", "--password-stdin")
    done = manage(url_of(service), *create, typed=f"{PASSWORD}\n")
    missing = "But nobody can sign in before [security] jwt_secret is set" in done.words
    assert (done.status, missing) == (0, service.settings.sqlite_path is None)


def test_a_change_is_told_to_every_process(service: Service) -> None:
    url = url_of(service)
    number = "SELECT number FROM access_revision"
    before = service.sql(number)[0][0]
    person(url, "cli-told")
    for step, arguments in enumerate((["disable", "cli-told"], ["role", "cli-told", "--role", "admin"]), 2):
        assert manage(url, "user", *arguments).status == 0
        assert service.sql(number)[0][0] == before + step
