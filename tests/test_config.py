import configparser
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from config import config as subject
from config.config import ROOT, SHOWN, ConfigError, Settings, describe, env_name, load
from config.settings import SECTIONS
from manage import cli

EXAMPLE = ROOT / "config" / "config.ini.example"
CANARY = "canary@:/%#비밀"
MYSQL = {"MYSQL_HOST": "127.0.0.1", "MYSQL_USER": "app", "MYSQL_DATABASE": "monitor"}
TLS = {"SERVER_SSL_CERTFILE": str(EXAMPLE), "SERVER_SSL_KEYFILE": str(EXAMPLE)}
# A value for every key that is not its default, and how `describe` shows it (None: a secret).
OTHER: dict[tuple[str, str], tuple[str, object]] = {
    ("database", "echo"): ("on", True),
    ("database", "pool_size"): ("7", 7),
    ("database", "max_overflow"): ("0", 0),
    ("database", "url"): ("mysql://app:word@127.0.0.1/other", None),
    ("database", "pool_timeout_s"): ("2.5", 2.5),
    ("database", "migrate_on_start"): ("No", False),
    ("mysql", "host"): ("localhost", "localhost"),
    ("mysql", "port"): ("3307", 3307),
    ("mysql", "user"): ("other", "other"),
    ("mysql", "password"): (CANARY, None),
    ("mysql", "database"): ("other", "other"),
    ("mysql", "charset"): ("UTF8MB4", "utf8mb4"),
    ("mysql", "ssl_mode"): ("VERIFY_CA", "verify_ca"),
    ("mysql", "ssl_ca"): ("config/config.ini.example", "config/config.ini.example"),
    ("server", "host"): ("127.0.0.1", "127.0.0.1"),
    ("server", "port"): ("0", 0),
    ("server", "reload"): ("yes", True),
    ("server", "log_level"): ("Trace", "trace"),
    ("server", "workers"): ("3", 3),
    ("server", "allowed_hosts"): ("Monitor.example, ::1", ["monitor.example", "::1"]),
    ("server", "forwarded_allow_ips"): ("10.0.0.5, fd00::/8", ["10.0.0.5", "fd00::/8"]),
    ("server", "ssl_certfile"): ("config/config.ini.example", "config/config.ini.example"),
    ("server", "ssl_keyfile"): ("config/config.ini.example", "config/config.ini.example"),
    ("server", "ssl_keyfile_password"): (CANARY, None),
    ("app", "title"): ("자원", "자원"),
    ("app", "description"): ("", ""),
    ("app", "version"): ("2.0", "2.0"),
    ("app", "debug"): ("1", True),
    ("app", "timezone"): ("Asia/Seoul", "Asia/Seoul"),
    ("app", "docs"): ("off", False),
    ("cors", "allow_origins"): ("https://a.example, http://b:3000", ["https://a.example", "http://b:3000"]),
    ("cors", "allow_methods"): ("get, POST", ["GET", "POST"]),
    ("cors", "allow_headers"): ("X-One,X-Two", ["X-One", "X-Two"]),
    ("cors", "allow_credentials"): ("true", True),
    ("logging", "level"): ("debug", "DEBUG"),
    ("logging", "format"): ("%(request_id)s %(message)s", "%(request_id)s %(message)s"),
    ("logging", "file_path"): ("logs/other.log", "logs/other.log"),
    ("logging", "max_file_size"): ("0", 0),
    ("logging", "backup_count"): ("9", 9),
    ("security", "mode"): ("Observe", "observe"),
    ("security", "max_connections_per_ip"): ("5", 5),
    ("security", "rate_limit_per_minute"): ("60", 60),
    ("security", "rate_limit_burst"): ("1", 1),
    ("security", "max_new_hosts_per_hour"): ("20", 20),
    ("security", "audit_path"): ("logs/other-audit.log", "logs/other-audit.log"),
    ("security", "jwt_secret"): ("b5c1f07e93d84a6b0e2f7d9ca81534e6", None),
    ("monitoring", "offline_after_s"): ("60", 60.0),
    ("monitoring", "retention_raw_days"): ("0", 0),
    ("monitoring", "retention_1m_days"): ("1", 1),
    ("monitoring", "retention_10m_days"): ("2", 2),
    ("monitoring", "retention_1h_days"): ("3", 3),
    ("monitoring", "events_retention_days"): ("4", 4),
    ("monitoring", "webhook_url"): ("https://chat.example/hooks/secret?x=1", None),
    ("monitoring", "max_database_gib"): ("0.5", 0.5),
}


class Folder:
    """A folder for one config.ini."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.ini"

    def load(self, text: str | bytes | None = None, **environ: str) -> Settings:
        if text is not None:
            self.path.write_bytes(text.encode() if isinstance(text, str) else text)
            self.path.chmod(0o600)
        return load(environ, self.path)

    def refusal(self, text: str | bytes | None = None, **environ: str) -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(text, **environ)
        sentence = str(caught.value)
        assert "\n" not in sentence
        assert sentence.count(". ") == 0
        assert sentence.endswith(".")
        return sentence


@pytest.fixture
def ini(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def shown(settings: Settings) -> dict[tuple[str, str], object]:
    return {(entry.section, entry.key): entry.value for entry in describe(settings)}


def example() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(EXAMPLE.read_text(encoding="utf-8"))
    return parser


def example_without_placeholders() -> str:
    return re.sub(r"^\w+ = your-.*\n", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)


# The example file


def test_every_section_and_key_is_in_the_example_in_order() -> None:
    keys = {section: list(model.model_fields) for section, model in SECTIONS.items()}
    parser = example()
    assert {section: list(parser[section]) for section in parser.sections()} == keys
    assert parser.sections() == list(SECTIONS)


def test_every_key_of_the_example_has_a_comment_above_it() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r"\w+ =", line)]
    assert len(keys) == len(OTHER)
    assert all(lines[number - 1].startswith("# ") for number in keys)


def test_the_values_of_the_example_are_the_defaults(ini: Folder) -> None:
    defaults = ini.load()
    assert shown(ini.load(example_without_placeholders())) == shown(defaults)
    assert defaults.database.url is defaults.mysql.password is None


def test_the_example_gives_no_warning(ini: Folder) -> None:
    assert ini.load(example_without_placeholders()).warnings == ()


def test_the_owners_values_are_accepted(ini: Folder) -> None:
    settings = ini.load("[server]\nreload = true\n[cors]\nallow_origins = *\nallow_credentials = true\n")
    assert settings.server.reload


def test_the_example_as_it_is_stops_with_the_placeholders(ini: Folder) -> None:
    sentence = ini.refusal(EXAMPLE.read_text(encoding="utf-8"))
    assert "[mysql] host = your-mysql-host and user" in sentence
    assert "edit [mysql] in config.ini, or delete that section to use SQLite" in sentence


@pytest.mark.parametrize("key", ["host", "user", "password", "database"])
def test_one_placeholder_is_enough_to_stop(ini: Folder, key: str) -> None:
    placeholder = example()["mysql"][key]
    sentence = ini.refusal(
        f"[mysql]\n{key} = {placeholder}\n", **{k: v for k, v in MYSQL.items() if k != f"MYSQL_{key.upper()}"}
    )
    assert f"[mysql] {key} = {placeholder} is still" in sentence


def test_the_environment_fills_the_placeholders(ini: Folder) -> None:
    settings = ini.load(EXAMPLE.read_text(encoding="utf-8"), **MYSQL, MYSQL_PASSWORD=CANARY)
    assert settings.mysql.host == "127.0.0.1"
    assert settings.mysql.password == SecretStr(CANARY)


def test_a_database_url_makes_the_placeholders_harmless(ini: Folder) -> None:
    settings = ini.load(EXAMPLE.read_text(encoding="utf-8"), DATABASE_URL="sqlite:///data/other.db")
    assert settings.sqlite_path == ROOT / "data" / "other.db"


# Where a value comes from


def test_this_module_knows_every_key() -> None:
    assert list(OTHER) == [(section, key) for section, model in SECTIONS.items() for key in model.model_fields]


@pytest.mark.parametrize(("section", "key"), OTHER)
def test_every_key_can_be_set_by_its_environment_variable(ini: Folder, section: str, key: str) -> None:
    text, value = OTHER[section, key]
    base = {**MYSQL, **TLS, "CORS_ALLOW_ORIGINS": "https://a.example"}
    settings = ini.load(**{**base, f"{section}_{key}".upper(): text})
    assert shown(settings)[section, key] == value
    assert settings.sources[section, key] == "environment"
    if value is None:
        assert getattr(getattr(settings, section), key) == SecretStr(text)


@pytest.mark.parametrize(("section", "key"), OTHER)
def test_every_key_can_be_set_in_the_file(ini: Folder, section: str, key: str) -> None:
    text, value = OTHER[section, key]
    base = {**MYSQL, **TLS, "CORS_ALLOW_ORIGINS": "https://a.example"}
    base.pop(env_name(section, key), None)
    settings = ini.load(f"[{section}]\n{key} = {text}\n", **base)
    assert shown(settings)[section, key] == value
    assert settings.sources[section, key] == "file"


def test_environment_goes_before_file_before_default(ini: Folder) -> None:
    settings = ini.load("[server]\nport = 1001\nhost = ::1\n", SERVER_PORT="1002")
    assert (settings.server.port, settings.server.host, settings.server.log_level) == (1002, "::1", "info")
    wanted = {"port": "environment", "host": "file", "log_level": "default"}
    assert {key: settings.sources["server", key] for key in wanted} == wanted


def test_an_empty_variable_of_an_optional_key_leaves_the_file_in_force(ini: Folder) -> None:
    settings = ini.load("[app]\ntimezone = Asia/Seoul\n", APP_TIMEZONE=" ")
    assert (settings.app.timezone, settings.sources["app", "timezone"]) == ("Asia/Seoul", "file")


def test_an_empty_optional_key_in_the_file_is_not_set(ini: Folder) -> None:
    settings = ini.load("[database]\nurl =\n[mysql]\nhost =\nssl_ca =\n")
    assert (settings.database.url, settings.mysql.host, settings.mysql.ssl_ca) == (None, None, None)
    assert settings.sources["database", "url"] == "default"


def test_a_missing_file_gives_the_defaults(ini: Folder) -> None:
    assert set(ini.load().sources.values()) == {"default"}


def test_the_file_beside_the_code_and_the_process_environment_are_read_unless_told(
    monkeypatch: pytest.MonkeyPatch, ini: Folder
) -> None:
    ini.path.parent.joinpath("config").mkdir()
    ini.path.parent.joinpath("config", "config.ini").write_text("[server]\nport = 1003\n")
    monkeypatch.setattr(subject, "ROOT", ini.path.parent)
    monkeypatch.setenv("SERVER_HOST", "127.0.0.9")
    server = load().server
    assert (server.port, server.host) == (1003, "127.0.0.9")


def test_the_settings_cannot_be_changed(ini: Folder) -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(ini.load().server, "port", 1)  # noqa: B010 - mypy knows that it is frozen


# Reading the file


def test_a_file_with_a_byte_order_mark_is_read(ini: Folder) -> None:
    assert ini.load("[app]\ntitle = 자원\n".encode("utf-8-sig")).app.title == "자원"


def test_windows_line_ends_are_read(ini: Folder) -> None:
    assert ini.load("[server]\r\nport = 1004\r\n").server.port == 1004


def test_percent_signs_are_taken_as_they_are(ini: Folder) -> None:
    settings = ini.load("[mysql]\npassword = 100%(x)s%%\n[logging]\nformat = %(levelname)s 100%% %(message)s\n")
    assert settings.mysql.password == SecretStr("100%(x)s%%")
    assert settings.logging.format == "%(levelname)s 100%% %(message)s"


@pytest.mark.parametrize("password", [CANARY, "#hash", ";semicolon", "a # b", "=", ": x", '"quoted"', "{0}"])
def test_a_password_needs_no_escaping_in_the_file(ini: Folder, password: str) -> None:
    assert ini.load(f"[mysql]\npassword = {password}\n").mysql.password == SecretStr(password)


def test_a_password_in_the_environment_keeps_its_spaces(ini: Folder) -> None:
    assert ini.load(MYSQL_PASSWORD=" a ").mysql.password == SecretStr(" a ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"[app]\ntitle = \xc0\xda\xbf\xf8\n", "config.ini is not UTF-8: save it again"),
        ("port = 1\n", "line 1, comes before any section"),
        ("[mysql]\npassword canary\n", "line 2, is neither"),
        ("[mysql]\npassword = canary\npassword = canary\n", "line 3: [mysql] password is there twice"),
        ("[app]\n[app]\n", "line 2: [app] is there twice"),
        ("[mysql]\nuser = app\n password = canary\n", "[mysql] user spans several lines"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_without_quoting_it(ini: Folder, text: str | bytes, problem: str) -> None:
    sentence = ini.refusal(text)
    assert problem in sentence
    assert "canary" not in sentence


def test_a_folder_in_place_of_the_file_is_refused(ini: Folder) -> None:
    ini.path.mkdir()
    assert "config.ini cannot be read" in ini.refusal()


def test_an_error_configparser_may_add_later_is_still_one_sentence() -> None:
    assert "cannot be understood" in subject._unreadable("config.ini", configparser.Error("canary"))


def test_unknown_sections_and_keys_are_warned_of_by_name(ini: Folder) -> None:
    warnings = ini.load("[DEFAULT]\na = 1\n[MySQL]\nhost = a\n[server]\nprot = 1\nzzz = 2\n").warnings
    assert warnings == (
        "config.ini: unknown section [DEFAULT] is ignored",
        "config.ini: unknown section [MySQL] is ignored: did you mean mysql?",
        "config.ini: unknown key [server] prot is ignored: did you mean port?",
        "config.ini: unknown key [server] zzz is ignored",
    )


@pytest.mark.parametrize(
    ("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o660, True), (0o604, True)]
)
def test_a_file_that_others_can_read_is_warned_of(ini: Folder, mode: int, warned: bool) -> None:  # noqa: FBT001 - a case
    ini.path.write_text("[server]\n")
    ini.path.chmod(mode)
    assert any(f"mode {mode:04o}" in warning and "chmod 640" in warning for warning in ini.load().warnings) is warned


def test_file_modes_are_not_looked_at_on_windows(ini: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "POSIX", False)
    ini.path.write_text("[server]\n")
    ini.path.chmod(0o644)
    assert ini.load().warnings == ()


# Refusals


@pytest.mark.parametrize(
    ("section", "key", "text", "remedy"),
    [
        ("database", "echo", "perhaps", "true or false"),
        ("database", "pool_size", "0", "a whole number, 1 or more"),
        ("database", "max_overflow", "-1", "a whole number, 0 or more"),
        ("database", "pool_timeout_s", "nan", "a number of seconds above 0"),
        ("monitoring", "offline_after_s", "0", "a number of seconds above 0"),
        ("mysql", "host", "db/x", "a host name or address and nothing else"),
        ("mysql", "port", "0", "from 1 to 65535"),
        ("mysql", "charset", "utf8", "utf8mb4, because every other character set loses names"),
        ("mysql", "ssl_mode", "on", "disabled, preferred, required, verify_ca or verify_identity"),
        ("mysql", "ssl_ca", "no/such.pem", "existing PEM file"),
        ("server", "port", "65536", "from 0 to 65535"),
        ("server", "port", "", "from 0 to 65535"),
        ("server", "port", "http", "from 0 to 65535"),
        ("server", "log_level", "loud", "critical, error, warning, info, debug or trace"),
        ("server", "workers", "0", "a whole number, 1 or more, or auto"),
        ("server", "workers", "many", "a whole number, 1 or more, or auto"),
        ("server", "allowed_hosts", "", "names and addresses such as monitor.example"),
        ("server", "allowed_hosts", "monitor.example:8000", "without ports"),
        ("server", "allowed_hosts", "http://monitor.example", "without ports"),
        ("server", "ssl_certfile", "no/such.pem", "existing PEM file"),
        ("server", "ssl_keyfile", "config", "existing PEM file"),
        ("server", "forwarded_allow_ips", "*", "addresses and networks such as 10.0.0.5"),
        ("server", "forwarded_allow_ips", "10.0.0.5/8", "addresses and networks such as 10.0.0.5"),
        ("server", "forwarded_allow_ips", "proxy.example", "addresses and networks such as 10.0.0.5"),
        ("app", "title", "", "a text that is not empty"),
        ("app", "timezone", "Asia/Soul", "such as Asia/Seoul"),
        ("app", "timezone", "Asia", "such as Asia/Seoul"),
        ("app", "timezone", "../etc/passwd", "such as Asia/Seoul"),
        ("cors", "allow_origins", "https://a.example/", "without paths"),
        ("cors", "allow_methods", "GET POST", "such as GET,POST"),
        ("cors", "allow_headers", "X One", "header names"),
        ("logging", "level", "trace", "CRITICAL, ERROR, WARNING, INFO or DEBUG"),
        ("logging", "format", "%(nothing)s", "a format of Python's logging"),
        ("logging", "format", "plain", "a format of Python's logging"),
        ("logging", "file_path", "logs", "the path of a regular file, not of a folder"),
        ("logging", "max_file_size", "10MB", "a whole number, 0 or more"),
    ],
)
def test_a_wrong_value_is_refused_with_what_would_be_right(
    ini: Folder, section: str, key: str, text: str, remedy: str
) -> None:
    in_file = ini.refusal(f"[{section}]\n{key} = {text}\n")
    in_environment = ini.refusal("", **{env_name(section, key): text})
    assert in_file.startswith(f"[{section}] {key} = {text!r} (from config.ini) is refused: give ")
    assert f"(from {env_name(section, key)})" in in_environment
    assert remedy in in_file
    assert remedy in in_environment


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://app:{CANARY}@db/monitor",
        f"mysql://app:{CANARY}@db/monitor",
        f"mysql+mysqldb://app:{CANARY}@db/monitor",
        "mysql://app:canary@db",
        "mysql://app:canary@db:65536/monitor",
        "mysql://app:canary@db:x/monitor",
        "mysql://db/canary",
        "sqlite://canary",
        "sqlite:///canary.db?mode=ro",
        "sqlite:///:memory:",
        "sqlite:///",
        "sqlite:///config",
        "canary",
    ],
)
def test_a_wrong_url_is_refused_without_showing_it(ini: Folder, url: str) -> None:
    sentence = ini.refusal(DATABASE_URL=url)
    assert sentence.startswith(
        "[database] url (from DATABASE_URL) is refused: give sqlite:///path/to/file.db or mysql:"
    )
    assert "canary" not in sentence


def test_a_password_in_the_wrong_key_is_not_quoted(ini: Folder) -> None:
    sentence = ini.refusal(MYSQL_HOST=f"app:{CANARY}@db")
    assert sentence.startswith("[mysql] host (from MYSQL_HOST) is refused")
    assert "canary" not in sentence


def test_a_refusal_chains_to_no_error_that_knows_the_value(ini: Folder) -> None:
    with pytest.raises(ConfigError) as caught:
        ini.load(DATABASE_URL="canary")
    assert caught.value.__context__ is caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("given_keys", "missing"),
    [(["host"], "user and database"), (["host", "user"], "database"), (["host", "database"], "user")],
)
def test_a_host_without_user_or_database_is_refused(ini: Folder, given_keys: list[str], missing: str) -> None:
    sentence = ini.refusal(**{f"MYSQL_{key.upper()}": "127.0.0.1" for key in given_keys})
    assert f"[mysql] host = 127.0.0.1 is given without {missing}: add what is missing" in sentence


@pytest.mark.parametrize(("key", "other"), [("ssl_certfile", "ssl_keyfile"), ("ssl_keyfile", "ssl_certfile")])
def test_a_certificate_without_its_key_is_refused(ini: Folder, key: str, other: str) -> None:
    sentence = ini.refusal(**{env_name("server", key): str(EXAMPLE)})
    assert f"[server] {key} = {EXAMPLE} is given alone: add {other} to serve by TLS" in sentence


def test_several_workers_on_sqlite_are_refused(ini: Folder) -> None:
    assert "[server] workers = 2 is refused on SQLite" in ini.refusal(SERVER_WORKERS="2")


def test_a_default_that_this_machine_cannot_serve_is_refused_too(ini: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    ini.path.parent.joinpath("logs", "app.log").mkdir(parents=True)
    monkeypatch.setattr("config.kinds.ROOT", ini.path.parent)
    assert "[logging] file_path = 'logs/app.log' (from the default) is refused" in ini.refusal()


# What the settings decide


def test_without_url_and_host_the_embedded_file_is_used(ini: Folder) -> None:
    settings = ini.load()
    assert settings.engine_kind == "sqlite"
    assert settings.sqlite_path == ROOT / "data" / "resource_monitor.db"


def test_an_absolute_sqlite_path_is_kept(ini: Folder, tmp_path: Path) -> None:
    assert ini.load(DATABASE_URL=f"sqlite:///{tmp_path / 'a.db'}").sqlite_path == tmp_path / "a.db"


def test_a_mysql_host_chooses_mysql(ini: Folder) -> None:
    settings = ini.load(**MYSQL)
    assert (settings.engine_kind, settings.sqlite_path) == ("mysql", None)


def test_a_sqlite_url_goes_before_the_mysql_section(ini: Folder) -> None:
    assert ini.load(**MYSQL, DATABASE_URL="sqlite:///data/a.db").engine_kind == "sqlite"


@pytest.mark.parametrize("scheme", ["mysql", "mysql+pymysql", "mariadb"])
def test_a_server_url_chooses_mysql(ini: Folder, scheme: str) -> None:
    settings = ini.load(DATABASE_URL=f"{scheme}://app:p%40ss@[::1]:3307/monitor?charset=utf8mb4")
    assert (settings.engine_kind, settings.warnings) == ("mysql", ())


def test_a_mysql_section_without_host_is_warned_of(ini: Folder) -> None:
    assert "[mysql] has no host" in ini.load(MYSQL_PASSWORD=CANARY).warnings[0]


def test_auto_is_one_worker_on_sqlite_and_one_a_core_on_mysql(ini: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert ini.load(SERVER_WORKERS="AUTO").server_workers == 1
    assert ini.load(SERVER_WORKERS="auto", **MYSQL).server_workers == 3


def test_cores_are_counted_where_the_cpu_set_cannot_be_asked(ini: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert ini.load(SERVER_WORKERS="auto", **MYSQL).server_workers == 6


def test_credentials_for_every_origin_are_switched_off_with_a_warning(ini: Folder) -> None:
    settings = ini.load(CORS_ALLOW_ORIGINS="https://a.example,*", CORS_ALLOW_CREDENTIALS="true")
    assert not settings.cors.allow_credentials
    assert "[cors] allow_credentials is off" in settings.warnings[0]


def test_credentials_for_listed_origins_stay(ini: Folder) -> None:
    settings = ini.load(CORS_ALLOW_ORIGINS="https://a.example", CORS_ALLOW_CREDENTIALS="true")
    assert settings.cors.allow_credentials
    assert settings.warnings == ()


def test_workers_win_over_reload_with_a_warning(ini: Folder) -> None:
    settings = ini.load(**MYSQL, SERVER_WORKERS="2", SERVER_RELOAD="true")
    assert not settings.server.reload
    assert settings.warnings == ("[server] reload is off because there are 2 workers: reload needs one",)


@pytest.mark.parametrize(
    ("environ", "warned"),
    [
        ({**MYSQL, "MYSQL_HOST": "db.example"}, True),
        ({**MYSQL, "MYSQL_HOST": "10.0.0.5", "MYSQL_SSL_MODE": "required"}, True),
        ({"DATABASE_URL": "mysql://app:word@db.example/monitor"}, True),
        ({**MYSQL, "MYSQL_HOST": "db.example", "MYSQL_SSL_MODE": "verify_ca"}, False),
        ({**MYSQL, "MYSQL_HOST": "LocalHost"}, False),
        ({**MYSQL, "MYSQL_HOST": "::1"}, False),
        ({"DATABASE_URL": "mysql://app:word@127.0.0.2/monitor"}, False),
    ],
)
def test_an_unverified_connection_to_another_machine_is_warned_of(
    ini: Folder,
    environ: dict[str, str],
    warned: bool,  # noqa: FBT001 - a case
) -> None:
    warnings = ini.load(**environ).warnings
    assert any("does not verify the certificate" in warning for warning in warnings) is warned


# Secrets


def test_every_key_is_either_shown_or_a_secret(ini: Folder) -> None:
    secret = {
        ("database", "url"),
        ("mysql", "password"),
        ("server", "ssl_keyfile_password"),
        ("monitoring", "webhook_url"),
        ("security", "jwt_secret"),
    }
    assert {(section, key) for section, keys in SHOWN.items() for key in keys} == OTHER.keys() - secret
    assert {place for place, value in shown(ini.load()).items() if value is None} == secret


def test_a_key_that_nobody_listed_is_not_shown(ini: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHOWN, "app", ("title",))
    assert shown(ini.load())["app", "version"] is None


def test_secrets_are_nowhere_in_the_settings_words(ini: Folder) -> None:
    settings = ini.load(**MYSQL, MYSQL_PASSWORD=CANARY, DATABASE_URL="mysql://app:canary@db.example/monitor")
    words = [repr(settings), str(settings), settings.model_dump_json(exclude={"sources"}), repr(describe(settings))]
    assert not [text for text in [*words, *settings.warnings] if "canary" in text]


@hypothesis_settings(deadline=None)
@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1))
def test_any_password_survives_and_stays_hidden(password: str) -> None:
    settings = load({**MYSQL, "MYSQL_PASSWORD": f"canary{password}"}, Path("no-such-file"))
    assert settings.mysql.password == SecretStr(f"canary{password}")
    assert "canary" not in f"{settings!r}{describe(settings)}"


@hypothesis_settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\r\n"), max_size=30), st.sampled_from(["mysql://", "sqlite://", "x"]))
def test_any_url_is_taken_or_refused_unseen(rest: str, scheme: str) -> None:
    try:
        settings = load({"DATABASE_URL": f"{scheme}{rest}canary"}, Path("no-such-file"))
    except ConfigError as error:
        assert "canary" not in str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert "canary" not in repr(settings)


# manage.py


def check(ini: Folder, **environ: str) -> Result:
    nothing = dict.fromkeys((env_name(*place) for place in OTHER), None)
    return CliRunner().invoke(cli, ["config", "check", "--file", str(ini.path)], env={**nothing, **environ})


def lines_of(result: Result) -> list[str]:
    """Without the spaces that put the values below each other."""
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_config_check_prints_every_value_with_its_source(ini: Folder) -> None:
    ini.path.write_text("[app]\ndebug = true\n")
    lines = lines_of(check(ini, **MYSQL, SERVER_PORT="9000"))
    assert [tuple(line.split()[:2]) for line in lines] == [(f"[{section}]", key) for section, key in OTHER]
    assert {
        "[server] port environment 9000",
        "[app] debug file true",
    } < {*lines}
    assert "[cors] allow_methods default GET,POST,PUT,DELETE,OPTIONS" in lines


def test_config_check_says_of_secrets_only_whether_they_are_set(ini: Folder) -> None:
    result = check(ini, **MYSQL, MYSQL_PASSWORD=CANARY)
    assert result.exit_code == 0
    assert "[mysql] password environment set" in lines_of(result)
    assert "[database] url default not set" in lines_of(result)
    assert "canary" not in result.output


def test_config_check_prints_warnings_on_stderr(ini: Folder) -> None:
    ini.path.write_text("[nothing]\n")
    ini.path.chmod(0o600)
    assert check(ini).stderr == "warning: config.ini: unknown section [nothing] is ignored\n"


def test_config_check_fails_with_the_sentence_on_stderr(ini: Folder) -> None:
    result = check(ini, SERVER_PORT="x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("[server] port = 'x' (from SERVER_PORT) is refused: give ")
    assert result.stderr.count("\n") == 1


def test_parameters_of_a_url_are_ignored_with_a_warning(ini: Folder) -> None:
    url = "mysql://app:secret@127.0.0.1/db?charset=latin1&ssl_ca=/x"
    warning = "[database] url: what follows ? is ignored; set [mysql] ssl_mode and ssl_ca, which apply to it too"
    assert warning in ini.load("", DATABASE_URL=url).warnings


def test_a_device_is_no_log_file(ini: Folder) -> None:
    assert "give the path of a regular file, not of a folder or a device" in ini.refusal(LOGGING_FILE_PATH=os.devnull)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://chat.example/x",
        "https:///x",
        "chat.example/hooks",
        "https://a b/",
        "https://a/#x",
        "https://me:word@a/",
        "http://[::1/x",
        "http://a:x/",
    ],
)
def test_a_webhook_is_an_address_of_the_web_and_is_not_shown(ini: Folder, address: str) -> None:
    sentence = ini.refusal(f"[monitoring]\nwebhook_url = {address}\n")
    assert "an http:// or https:// address" in sentence
    assert address not in sentence
