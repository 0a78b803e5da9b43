"""The agent's settings: a flag, else AGENT_* in the environment, else agent.ini, else the default."""

from __future__ import annotations

import argparse
import configparser
import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NamedTuple
from urllib.parse import urlsplit

from agent import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

logger = logging.getLogger("agent")

MAX_HOURS = 168.0
_SECTION = "agent"


class SettingsError(Exception):
    """A setting that cannot be; its text names the setting and says what would be right."""


@dataclass(frozen=True)
class Settings:
    """What the operator chose; times in seconds unless the name says otherwise."""

    server: str
    interval: float
    host_name: str
    cluster_name: str
    engines: Sequence[str]
    token: str
    ca_file: str
    spool: Path
    spool_max_mb: float
    spool_max_hours: float
    once: bool = False


class _Setting(NamedTuple):
    read: Callable[[str], Any]
    default: str
    help: str


def _url(text: str) -> str:
    if "@" in text:  # of a password with a slash no part of the address would be taken for the user's
        raise ValueError("should have no user and no password: it would be shown in the log; there is --token")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("should be like http://monitor.example:8000")
    _ = parts.port  # raises a ValueError of its own
    return text.rstrip("/")


def _between(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise ValueError(f"should be from {least:g} to {most:g}")
        return value

    return read


def _name(text: str) -> str:
    if len(text.strip()) > 255 or any(not letter.isprintable() for letter in text.strip()):  # noqa: PLR2004 - the server's limit
        raise ValueError("should be at most 255 printable characters")
    return text.strip()


def _token(text: str) -> str:
    if not all("!" <= letter <= "~" for letter in text):
        raise ValueError("should be visible ASCII characters")
    return text


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


_SETTINGS = {
    "server": _Setting(_url, "http://127.0.0.1:8000", "the server's address"),
    "interval": _Setting(_between(1, 3600), "10", "seconds between two reports"),
    "host_name": _Setting(_name, "", "the name to report under; default: the engine's, else the machine's"),
    "cluster_name": _Setting(_name, "", "the cluster's name; default: the host's"),
    "engines": _Setting(_list, "", "engines, separated by commas: unix:///path, tcp://host:port; default: all found"),
    "token": _Setting(_token, "", "the bearer token; better given by the environment or the file than by a flag"),
    "ca_file": _Setting(str, "", "certificates to trust besides the system's, as PEM"),
    "spool": _Setting(Path, "spool", "the folder that keeps what is not delivered yet"),
    "spool_max_mb": _Setting(_between(1, 100_000), "256", "how large that folder may become, in MiB"),
    "spool_max_hours": _Setting(_between(0.01, MAX_HOURS), "24", "how long a report is kept for a server that is away"),
}


def load(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Reads all of them. Raises SettingsError; `--help` and `--version` end the program."""
    given = vars(_parser().parse_args(arguments))
    once, path = given.pop("once"), given.pop("config")
    file = _file(path or environ.get("AGENT_CONFIG"))
    _warn_of_unknown(environ)
    values: dict[str, Any] = {name: _value(name, given[name], environ, file) for name in _SETTINGS}
    return Settings(**values, once=once)


def _warn_of_unknown(environ: Mapping[str, str]) -> None:
    """Only a warning: other programs may have variables that begin so."""
    known = {f"AGENT_{name.upper()}" for name in (*_SETTINGS, "config")}
    if unknown := sorted(name for name in environ if name.startswith("AGENT_") and name not in known):
        logger.warning("no settings of this agent: %s; those are %s", ", ".join(unknown), ", ".join(sorted(known)))


def _value(name: str, flag: str | None, environ: Mapping[str, str], file: Mapping[str, str]) -> Any:  # noqa: ANN401 - of many types
    setting = _SETTINGS[name]
    sources = {f"--{name.replace('_', '-')}": flag, f"AGENT_{name.upper()}": environ.get(f"AGENT_{name.upper()}")}
    sources[f"{name} in the file"] = file.get(name)
    source, text = next(((source, text) for source, text in sources.items() if text), (name, setting.default))
    try:
        return setting.read(text)
    except ValueError as error:
        shown = "" if name == "token" or "@" in text else f" {text!r}"  # what may be a secret is not repeated
        raise SettingsError(f"{source}{shown}: {error}") from None


def _file(path: str | None) -> Mapping[str, str]:
    """The file that was named, else agent.ini in the working folder if there is one."""
    if not path and not Path("agent.ini").exists():
        return {}
    path = path or "agent.ini"
    parser = _parsed(path)
    others = "".join(f"; unknown: [{name}]" for name in parser.sections() if name != _SECTION)
    if _SECTION not in parser:
        raise SettingsError(f"{path}: has no section [{_SECTION}]{others}")
    if others:
        raise SettingsError(f"{path}: has more than the section [{_SECTION}]{others}")
    values = dict(parser[_SECTION])
    if unknown := sorted(set(values) - set(_SETTINGS)):
        raise SettingsError(f"{path}: unknown: {', '.join(unknown)}; known: {', '.join(_SETTINGS)}")
    return values


def _parsed(path: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    except configparser.Error as error:
        raise SettingsError(f"{path}{_misread(error)}") from None
    return parser


def _misread(error: configparser.Error) -> str:
    """The line and what is wrong with it; not what stands there, which may be a token."""
    line = getattr(error, "lineno", None) or getattr(error, "errors", [("?", "")])[0][0]
    twice = isinstance(error, (configparser.DuplicateOptionError, configparser.DuplicateSectionError))
    wrong = "is there a second time" if twice else f"should be [{_SECTION}], or name = value below it"
    return f", line {line}: {wrong}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agent",
        # An abbreviation would mean something else, or nothing, once there is a setting of a similar name.
        allow_abbrev=False,
        description="Reports what this host and its containers use to a Resource Monitor Server.",
        epilog="Every setting also as AGENT_NAME in the environment, or as name = value under [agent] in agent.ini.",
    )
    for name, setting in _SETTINGS.items():
        default = f" (default: {setting.default})" if setting.default else ""
        parser.add_argument(
            f"--{name.replace('_', '-')}", metavar=name.rpartition("_")[2].upper(), help=setting.help + default
        )
    parser.add_argument("--config", metavar="FILE", help="another file than agent.ini")
    parser.add_argument("--once", action="store_true", help="print one report and send nothing")
    parser.add_argument("--version", action="version", version=f"resource-monitor-agent {VERSION}")
    return parser
