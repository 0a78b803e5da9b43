"""Commands about the configuration."""

from pathlib import Path

import click

from commands.common import configured
from config.config import Entry, Settings, describe


@click.group("config")
def config_commands() -> None:
    """Look at the configuration."""


@config_commands.command("check")
@click.option("--file", type=click.Path(path_type=Path), help="Check this file instead of config/config.ini.")
def config_check(file: Path | None) -> None:
    """Print every setting, where it comes from and its value; secrets only as set or not set."""
    settings = configured(file)
    entries = describe(settings)
    width = max(len(_name(entry)) for entry in entries)
    for entry in entries:
        click.echo(f"{_name(entry):{width}}  {entry.source:11}  {_text(entry, settings)}".rstrip())
    for warning in settings.warnings:
        click.echo(f"warning: {warning}", err=True)


def _name(entry: Entry) -> str:
    return f"[{entry.section}] {entry.key}"


def _text(entry: Entry, settings: Settings) -> str:
    match entry.value:
        case None:
            return "set" if getattr(getattr(settings, entry.section), entry.key) else "not set"
        case bool():
            return str(entry.value).lower()
        case list():
            return ",".join(entry.value)
    return str(entry.value)
