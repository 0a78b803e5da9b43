"""What each key of the settings accepts.

The description beside a type completes the sentence "give ..." of a refusal.
"""

import ipaddress
import logging as log
import re
import stat
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

ROOT = Path(__file__).resolve().parent.parent
Source = Literal["default", "file", "environment"]

# SQLAlchemy's own URL grammar, but user, host and database are required and an unescaped @ in the password is not.
SERVER_URL = re.compile(
    r"(?:mysql|mysql\+pymysql|mariadb)://[^:/@]+(?::[^@]*)?@"
    r"(?P<host>\[[^\]/?]+\]|[^/:?@\[\]\s]+)(?::(?P<port>\d{1,5}))?/[^?/]+(?:\?.*)?"
)
SQLITE_URL = re.compile(r"sqlite:///(?P<path>[^?]+)")
# RFC 7518, 3.2: a key of HS256 has 256 bits at least. 32 random digits of 16 have less than 8 different ones once in
# ten million times.
MIN_SECRET, MIN_LETTERS = 32, 8
MADE_UP = re.compile(r"change.?(me|this|it)|your.|place.?holder|example|secret|password|default|qwerty", re.IGNORECASE)


def _require(condition: bool) -> None:  # noqa: FBT001 - reads as a sentence where it is called
    """Refuse the value; the words come from the field's description, so none are needed here."""
    if not condition:
        raise ValueError


def _listed(value: object) -> object:
    return [word for part in value.split(",") if (word := part.strip())] if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _origin_list(origins: list[str]) -> list[str]:
    # Origins are compared letter by letter, so one with a path or a closing slash would never match.
    _require(all(re.fullmatch(r"\*|[a-z][a-z0-9+.-]*://[^/\s]+", origin) for origin in origins))
    return origins


def _token_list(words: list[str]) -> list[str]:
    _require(all(re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", word, re.ASCII) for word in words))
    return words


def _host_list(hosts: list[str]) -> list[str]:
    # As a Host header has them, but without port and brackets.
    _require(bool(hosts) and all(re.fullmatch(r"\*|[\w.-]+|[0-9a-f:.]*:[0-9a-f:.]+", host, re.ASCII) for host in hosts))
    return hosts


def _network_list(networks: list[str]) -> list[str]:
    for network in networks:
        ipaddress.ip_network(network)  # raises ValueError
    return networks


def _type_of(path: str | Path) -> int | None:
    """What is at a path, as in S_IFREG; None if there is nothing, or nothing that this user may look at."""
    try:
        return stat.S_IFMT((ROOT / path).stat().st_mode)
    except OSError:
        return None


def _log_file(path: Path) -> Path:
    # A device would be given the log's file mode, and /dev/null would be nobody else's any more. A folder that may not
    # be entered is the log's to report, which has stderr: it may be mended while the server runs.
    _require(_type_of(path) in (None, stat.S_IFREG))
    return ROOT / path


def _existing_file(path: Path | None) -> Path | None:
    _require(path is None or _type_of(path) == stat.S_IFREG)
    return ROOT / path if path else None


def _log_format(text: str) -> str:
    try:
        log.Formatter(text).format(log.makeLogRecord({"request_id": "-"}))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError from error
    return text


def _zone(name: str | None) -> str | None:
    try:
        return name and ZoneInfo(name).key
    except (ZoneInfoNotFoundError, OSError) as error:  # OSError: "Asia" is a folder of the zone database
        raise ValueError from error


def _database_url(url: SecretStr | None) -> SecretStr | None:
    text = url.get_secret_value() if url else ""
    if server := SERVER_URL.fullmatch(text):
        _require(int(server["port"] or 3306) in range(1, 65536))
    elif text:
        file = SQLITE_URL.fullmatch(text)
        _require(file is not None and file["path"] != ":memory:" and _type_of(file["path"]) != stat.S_IFDIR)
    return url


def _web_url(url: SecretStr | None) -> SecretStr | None:
    text = url.get_secret_value() if url else None
    if text is not None:
        _require(re.fullmatch(r"https?://[^\s/?#@]+([/?][^\s#]*)?", text, re.ASCII) is not None)
        parts = urlsplit(text)  # raises ValueError for a host that is none
        _require(bool(parts.hostname) and (parts.port is None or parts.port > 0))
    return url


def _hard_to_guess(secret: SecretStr | None) -> SecretStr | None:
    """Refuses what somebody made up: what can be guessed signs whatever one likes, without the server noticing."""
    text = secret.get_secret_value() if secret else None
    if text is not None:
        _require(len(text) >= MIN_SECRET and len(set(text)) >= MIN_LETTERS and not MADE_UP.search(text))
        _require(not any(text.startswith(text[start:]) for start in range(1, len(text) // 2 + 1)))  # one that repeats
    return secret


Flag = Annotated[bool, Field(description="true or false (yes/no, on/off and 1/0 are understood too)")]
Count = Annotated[int, Field(ge=0, description="a whole number, 0 or more")]
CountFromOne = Annotated[int, Field(ge=1, description="a whole number, 1 or more")]
Days = Annotated[int, Field(ge=0, le=36_500, description="a whole number of days, 0 to 36500")]
Gib = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False, description="a number of GiB, 0 to 1000000")]
Seconds = Annotated[
    float, Field(gt=0, le=86_400 * 365, allow_inf_nan=False, description="a number of seconds above 0, a year at most")
]
Text = Annotated[str, Field(description="any text")]
Name = Annotated[str, Field(min_length=1, description="a text that is not empty")]
OptionalName = Annotated[str | None, Field(description="a name, or nothing")]
Password = Annotated[SecretStr | None, Field(description="the password, or nothing")]
Port = Annotated[int, Field(ge=0, le=65535, description="a whole number from 0 to 65535, where 0 takes any free port")]
RemotePort = Annotated[int, Field(ge=1, le=65535, description="a whole number from 1 to 65535")]
RemoteHost = Annotated[str | None, Field(pattern=r"^[^\s/@]+$", description="a host name or address and nothing else")]
Url = Annotated[
    SecretStr | None,
    AfterValidator(_database_url),
    Field(
        description="sqlite:///path/to/file.db or mysql://user:password@host:3306/database (mysql+pymysql:// and "
        "mariadb:// are understood too) with @ : / % # ? in the password written as %40 %3A %2F %25 %23 %3F"
    ),
]
WebhookUrl = Annotated[
    SecretStr | None,
    AfterValidator(_web_url),
    Field(description="an http:// or https:// address without a user or fragment, or nothing"),
]
Charset = Annotated[
    Literal["utf8mb4"],
    BeforeValidator(_lower),
    Field(description="utf8mb4, because every other character set loses names (emoji, for one)"),
]
SslMode = Annotated[
    Literal["disabled", "preferred", "required", "verify_ca", "verify_identity"],
    BeforeValidator(_lower),
    Field(description="disabled, preferred, required, verify_ca or verify_identity"),
]
PemFile = Annotated[
    Path | None, AfterValidator(_existing_file), Field(description="the path of an existing PEM file, or nothing")
]
JwtSecret = Annotated[
    SecretStr | None,
    AfterValidator(_hard_to_guess),
    Field(
        description="32 or more random characters, as `python -c 'import secrets; print(secrets.token_hex(32))'` "
        "prints them, or nothing"
    ),
]
SecurityMode = Annotated[
    Literal["off", "observe", "enforce"],
    BeforeValidator(_lower),
    Field(description="off, observe or enforce"),
]
ServerLevel = Annotated[
    Literal["critical", "error", "warning", "info", "debug", "trace"],
    BeforeValidator(_lower),
    Field(description="critical, error, warning, info, debug or trace"),
]
Workers = Annotated[
    Annotated[int, Field(ge=1)] | Literal["auto"],
    BeforeValidator(_lower),
    Field(description="a whole number, 1 or more, or auto"),
]
Zone = Annotated[
    str | None,
    AfterValidator(_zone),
    Field(description="a time zone's name such as Asia/Seoul, or nothing for the machine's own"),
]
Words = Annotated[list[str], BeforeValidator(_listed)]
Origins = Annotated[
    Words,
    AfterValidator(_origin_list),
    Field(description="* or a comma-separated list such as https://a.example,http://b.example:3000 without paths"),
]
Methods = Annotated[
    Words,
    AfterValidator(_token_list),
    BeforeValidator(_upper),
    Field(description="* or a comma-separated list of methods such as GET,POST"),
]
Headers = Annotated[
    Words, AfterValidator(_token_list), Field(description="* or a comma-separated list of header names")
]
HostNames = Annotated[
    Words,
    AfterValidator(_host_list),
    BeforeValidator(_lower),
    Field(description="* or a comma-separated list of names and addresses such as monitor.example,::1 without ports"),
]
Networks = Annotated[
    Words,
    AfterValidator(_network_list),
    Field(description="a comma-separated list of addresses and networks such as 10.0.0.5,10.1.0.0/16, or nothing"),
]
Level = Annotated[
    Literal["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"],
    BeforeValidator(_upper),
    Field(description="CRITICAL, ERROR, WARNING, INFO or DEBUG"),
]
LogFormat = Annotated[
    str,
    AfterValidator(_log_format),
    Field(description="a format of Python's logging such as %(asctime)s - %(levelname)s - %(message)s"),
]
LogFile = Annotated[
    Path, AfterValidator(_log_file), Field(description="the path of a regular file, not of a folder or a device")
]
