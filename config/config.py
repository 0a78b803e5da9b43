"""Reading the settings: environment before config.ini before defaults; a wrong one is refused in one sentence."""

import configparser
import ipaddress
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pydantic import SecretStr, ValidationError

from config.settings import ROOT, SECTIONS, SERVER_URL, Settings, Source

__all__ = ["ROOT", "SHOWN", "ConfigError", "Entry", "Settings", "describe", "env_name", "load", "loopback", "zone_of"]

POSIX = os.name == "posix"
PLACEHOLDERS = {
    "host": "your-mysql-host",
    "user": "your-mysql-user",
    "password": "your-mysql-password",
    "database": "your-database-name",
}
# Only what is listed here is ever shown, so a key that is forgotten stays hidden.
SHOWN = {
    "database": ("echo", "pool_size", "max_overflow", "pool_timeout_s", "migrate_on_start"),
    "mysql": ("host", "port", "user", "database", "charset", "ssl_mode", "ssl_ca"),
    "server": (
        "host",
        "port",
        "reload",
        "log_level",
        "workers",
        "allowed_hosts",
        "forwarded_allow_ips",
        "ssl_certfile",
        "ssl_keyfile",
    ),
    "app": ("title", "description", "version", "debug", "timezone", "docs"),
    "cors": ("allow_origins", "allow_methods", "allow_headers", "allow_credentials"),
    "logging": ("level", "format", "file_path", "max_file_size", "backup_count"),
    "security": (
        "mode",
        "max_connections_per_ip",
        "rate_limit_per_minute",
        "rate_limit_burst",
        "max_new_hosts_per_hour",
        "audit_path",
    ),
    "monitoring": (
        "offline_after_s",
        "retention_raw_days",
        "retention_1m_days",
        "retention_10m_days",
        "retention_1h_days",
        "events_retention_days",
        "max_database_gib",
    ),
}
Texts = dict[str, dict[str, str]]
Sources = dict[tuple[str, str], Source]
Value = str | int | float | list[str] | None


class ConfigError(Exception):
    """A setting that stops the start; its text is one sentence with the remedy and never holds a secret."""


class Entry(NamedTuple):
    """One setting as it may be shown: an unset value is an empty string, None stands for a secret."""

    section: str
    key: str
    value: Value
    source: Source


def env_name(section: str, key: str) -> str:
    """Name the environment variable that goes before [section] key of the file."""
    return f"{section}_{key}".upper()


def load(environ: Mapping[str, str] = os.environ, path: Path | None = None) -> Settings:
    """Read and check every setting; the file (default config/config.ini) may be absent. Raises ConfigError."""
    path = path or ROOT / "config" / "config.ini"
    file = _read(path)
    texts, sources = _merge(file, environ)
    _refuse_placeholders(texts)
    settings = _validate(texts, sources)
    _refuse_contradictions(settings)
    return _correct(settings, [*_unknown(file, path.name), *_open_to_others(path)])


def describe(settings: Settings) -> list[Entry]:
    """List every setting with its source; a secret's value is None, and /config leaves it out altogether."""
    return [
        Entry(section, key, _shown(section, key, settings), settings.sources.get((section, key), "default"))
        for section, model in SECTIONS.items()
        for key in model.model_fields
    ]


def zone_of(settings: Settings) -> tzinfo | None:
    """Give [app] timezone; None means the machine's own."""
    return ZoneInfo(settings.app.timezone) if settings.app.timezone else None


def _shown(section: str, key: str, settings: Settings) -> Value:
    value = getattr(getattr(settings, section), key)
    if key not in SHOWN[section] or isinstance(value, SecretStr):
        return None
    if isinstance(value, Path):
        return (value.relative_to(ROOT) if value.is_relative_to(ROOT) else value).as_posix()
    return "" if value is None else value


def _read(path: Path) -> Texts:
    # Interpolation would trip over the % of passwords and of the log format; [DEFAULT] is no section of ours.
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        with path.open(encoding="utf-8-sig") as lines:
            parser.read_file(lines)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise ConfigError(_unreadable(path.name, error)) from None  # the cause may quote a line with a password
    return {section: dict(parser[section]) for section in parser.sections()}


def _unreadable(name: str, error: Exception) -> str:
    match error:
        case OSError():
            problem = f" cannot be read ({error.strerror}): correct the rights of the file, or remove it"
        case UnicodeDecodeError():
            problem = " is not UTF-8: save it again with the encoding UTF-8"
        case configparser.DuplicateOptionError():
            problem = f", line {error.lineno}: [{error.section}] {error.option} is there twice, so delete one"
        case configparser.DuplicateSectionError():
            problem = f", line {error.lineno}: [{error.section}] is there twice, so join the two"
        case configparser.MissingSectionHeaderError():
            problem = f", line {error.lineno}, comes before any section: put one such as [server] above it"
        case configparser.ParsingError():
            problem = f", line {error.errors[0][0]}, is neither [section] nor key = value: correct or delete it"
        case _:
            problem = " cannot be understood: compare it with config.ini.example"
    return f"{name}{problem}."


def _merge(file: Texts, environ: Mapping[str, str]) -> tuple[Texts, Sources]:
    texts: Texts = {section: {} for section in SECTIONS}
    sources: Sources = {}
    for section, model in SECTIONS.items():
        for key, field in model.model_fields.items():
            sources[section, key] = "default"
            for source, text in _candidates(file, environ, section, key):
                if field.default is None and not text.strip():
                    continue  # nothing given for an optional key: the next source decides
                texts[section][key], sources[section, key] = _one_line(section, key, text), source
                break
    return texts, sources


def _candidates(file: Texts, environ: Mapping[str, str], section: str, key: str) -> Iterator[tuple[Source, str]]:
    if (text := environ.get(env_name(section, key))) is not None:
        yield "environment", text
    if (text := file.get(section, {}).get(key)) is not None:
        yield "file", text


def _one_line(section: str, key: str, text: str) -> str:
    # In an ini file an indented line continues the one above: a password could end up in the user's name.
    if "\n" in text or "\r" in text:
        raise ConfigError(f"[{section}] {key} spans several lines: write it on one and begin the next key unindented.")
    return text if key.endswith("password") else text.strip()


def _refuse_placeholders(texts: Texts) -> None:
    left = [key for key, placeholder in PLACEHOLDERS.items() if texts["mysql"].get(key) == placeholder]
    if left and "url" not in texts["database"]:
        values = " and ".join(f"{key} = {PLACEHOLDERS[key]}" for key in left)
        raise ConfigError(
            f"[mysql] {values} is still the example's placeholder: edit [mysql] in config.ini, or "
            "delete that section to use SQLite."
        )


def _validate(texts: Texts, sources: Sources) -> Settings:
    try:
        return Settings.model_validate({**texts, "sources": sources})
    except ValidationError as error:
        section, key = (str(part) for part in error.errors(include_input=False)[0]["loc"][:2])
    # Raised out here so that no traceback chains to Pydantic's error.
    text = texts[section].get(key, str(SECTIONS[section].model_fields[key].default))
    raise ConfigError(_refusal(section, key, text, sources[section, key]))


def _refusal(section: str, key: str, text: str, source: Source) -> str:
    quotable = key in SHOWN[section] and "@" not in text  # user:password@host may stand in the wrong key
    value = f" = {text[:80]!r}" if quotable else ""
    origin = {"environment": env_name(section, key), "file": "config.ini", "default": "the default"}[source]
    remedy = SECTIONS[section].model_fields[key].description
    return f"[{section}] {key}{value} (from {origin}) is refused: give {remedy}."


def _refuse_contradictions(settings: Settings) -> None:
    mysql, workers = settings.mysql, settings.server.workers
    missing = [key for key, value in (("user", mysql.user), ("database", mysql.database)) if not value]
    if mysql.host and missing and not settings.database.url:
        raise ConfigError(
            f"[mysql] host = {mysql.host} is given without {' and '.join(missing)}: add what is missing to [mysql], "
            "or delete that section to use SQLite."
        )
    certfile, keyfile = settings.server.ssl_certfile, settings.server.ssl_keyfile
    if bool(certfile) != bool(keyfile):
        given, other = ("ssl_certfile", "ssl_keyfile") if certfile else ("ssl_keyfile", "ssl_certfile")
        raise ConfigError(
            f"[server] {given} = {certfile or keyfile} is given alone: add {other} to serve by TLS, or delete {given}."
        )
    if settings.security.audit_path == settings.logging.file_path:
        raise ConfigError("[security] audit_path is the log's own file: give it another, for every line there is JSON.")
    if workers != "auto" and workers > 1 and settings.engine_kind == "sqlite":
        raise ConfigError(
            f"[server] workers = {workers} is refused on SQLite, which serves a single process: "
            "give 1 or auto, or configure [mysql]."
        )


def _correct(settings: Settings, warnings: Iterable[str]) -> Settings:
    cors, server = settings.cors, settings.server
    found = [
        *warnings,
        *_idle_mysql(settings),
        *_url_parameters(settings),
        *_echo(settings),
        *_unverified_tls(settings),
    ]
    if cors.allow_credentials and "*" in cors.allow_origins:
        cors = cors.model_copy(update={"allow_credentials": False})
        found.append("[cors] allow_credentials is off because allow_origins is *: list the origins to allow them")
    if server.reload and settings.server_workers > 1:
        server = server.model_copy(update={"reload": False})
        found.append(f"[server] reload is off because there are {settings.server_workers} workers: reload needs one")
    return settings.model_copy(update={"cors": cors, "server": server, "warnings": tuple(found)})


def _idle_mysql(settings: Settings) -> Iterator[str]:
    mysql = settings.mysql
    if not (settings.database.url or mysql.host) and (mysql.user or mysql.password or mysql.database):
        yield "[mysql] has no host, so the embedded SQLite file is used: add host to use MySQL"


def _url_parameters(settings: Settings) -> Iterator[str]:
    url = settings.database.url
    if url and url.get_secret_value().partition("?")[2] not in ("", "charset=utf8mb4"):  # that one is in force anyway
        yield "[database] url: what follows ? is ignored; set [mysql] ssl_mode and ssl_ca, which apply to it too"


def _echo(settings: Settings) -> Iterator[str]:
    if settings.database.echo:
        yield "[database] echo is on: every SQL statement is logged, which slows the server down"


def _unverified_tls(settings: Settings) -> Iterator[str]:
    if settings.engine_kind == "sqlite" or settings.mysql.ssl_mode.startswith("verify"):
        return
    url = settings.database.url
    match = SERVER_URL.fullmatch(url.get_secret_value()) if url else None
    host = match["host"] if match else settings.mysql.host or ""
    if not loopback(host):
        yield (
            f"[mysql] ssl_mode = {settings.mysql.ssl_mode} does not verify the certificate of {host}: "
            "set ssl_mode = verify_identity and, for a private authority, ssl_ca"
        )


def loopback(host: str) -> bool:
    """Whether a host's name or address is this very machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _unknown(file: Texts, name: str) -> Iterator[str]:
    for section, keys in file.items():
        if section not in SECTIONS:
            yield f"{name}: unknown section [{section}] is ignored{_hint(section, SECTIONS)}"
            continue
        known = SECTIONS[section].model_fields
        for key in keys:
            if key not in known:
                yield f"{name}: unknown key [{section}] {key} is ignored{_hint(key, known)}"


def _hint(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word.lower(), known, 1)
    return f": did you mean {close[0]}?" if close else ""


def _open_to_others(path: Path) -> Iterator[str]:
    if POSIX and path.exists() and (mode := path.stat().st_mode & 0o777) & 0o037:
        yield f"{path.name} has mode {mode:04o}, so others can read passwords in it: chmod 640 mends it"
