"""The operator's command line: settings, schema, hosts and backups. `python manage.py --help` lists it."""

import asyncio
import io
import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from config import config
from config.config import ConfigError, Entry, Settings, describe, zone_of
from database import backup as backups
from database import hosts, merges, schema, tags
from database.database import SCHEMA_TIMEOUT_S
from database.dialect import Role, dialect_for
from database.faults import Fault, classify
from demo import past
from demo.load import MAX_UNANSWERED, Load
from model.fields import MAX_TAGS, Name, Tag
from model.widths import WIDTHS
from services.forecast import Fleet, forecast, told
from utils.limits import allow_connections


class Finite(click.FloatRange):
    """A number of a range: click's own takes `nan`, which no bound refuses."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's
        """Reads it; fails as click's own does."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail("should be a number", param, ctx)
        return number


@click.group()
def cli() -> None:
    """Operate the Resource Monitor Server."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a Windows console may lack the letters of a value
            stream.reconfigure(errors="backslashreplace")


@cli.group("config")
def config_commands() -> None:
    """Look at the configuration."""


@config_commands.command("check")
@click.option("--file", type=click.Path(path_type=Path), help="Check this file instead of config/config.ini.")
def config_check(file: Path | None) -> None:
    """Print every setting, where it comes from and its value; secrets only as set or not set."""
    settings = _settings(file)
    entries = describe(settings)
    width = max(len(_name(entry)) for entry in entries)
    for entry in entries:
        click.echo(f"{_name(entry):{width}}  {entry.source:11}  {_text(entry, settings)}".rstrip())
    for warning in settings.warnings:
        click.echo(f"warning: {warning}", err=True)


@cli.group("db")
def db_commands() -> None:
    """Look after the database."""


@db_commands.command("upgrade")
def db_upgrade() -> None:
    """Bring the tables up to this version; adopts the database of the earlier server, however large."""
    settings = _settings()
    dialect = dialect_for(settings)
    with _engine(settings, read_timeout_s=SCHEMA_TIMEOUT_S) as engine:
        schema.prepare(engine, dialect, migrate=True, zone=zone_of(settings), max_rows=None, progress=_progress)
    click.echo("the schema is up to date")


def _progress(done: int, of: int) -> None:
    click.echo(f"\r{done} of {of} rows", nl=done >= of, err=True)


def _one(kind: Any, text: str) -> str:  # noqa: ANN401 - a type of `model.fields`
    """A text by the rules of the wire; raises BadParameter for what they refuse."""
    try:
        return str(TypeAdapter(kind).validate_python(text))
    except ValidationError as error:
        raise click.BadParameter(error.errors()[0]["msg"]) from None


def _host_name(_context: click.Context, _argument: click.Parameter, text: str) -> str:
    return _one(Name, text)


def _changes(_context: click.Context, _argument: click.Parameter, texts: tuple[str, ...]) -> list[tuple[str, str]]:
    if not all(text.startswith(("+", "-")) for text in texts):
        raise click.BadParameter("each begins with + or -")
    return [(text[0], _one(Tag, text[1:])) for text in texts]


@cli.group("host")
def host_commands() -> None:
    """Look after the hosts."""


@host_commands.command("delete")
@click.argument("name")
def host_delete(name: str) -> None:
    """Forget a host: frees its name at once; a running server removes its rows."""
    with _host(name) as (connection, host_id, now):
        hosts.hide(connection, host_id, now)
    click.echo(f"host {host_id} is forgotten")


@host_commands.command("rename")
@click.argument("name", metavar="OLD")
@click.argument("new", callback=_host_name)
def host_rename(name: str, new: str) -> None:
    """Give a host another name; it keeps its history."""
    with _host(name) as (connection, host_id, _):
        try:
            hosts.rename(connection, host_id, new)
        except IntegrityError:
            raise click.ClickException("there is a host of that name: merge the two") from None
    click.echo(f"host {host_id} is renamed; a report under its old name makes a new host")


@host_commands.command("merge")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="INTO")
def host_merge(source: str, target: str) -> None:
    """Make one host of two, while servers run: INTO gets all of FROM's past. If it was killed, run it again."""
    settings = _settings()
    with _engine(settings) as engine:
        with engine.begin() as connection:
            now = dialect_for(settings).now(connection)
        host_id = merges.merge(engine, now, source, target)
    click.echo(f"host {host_id} has the past of both")


@host_commands.command("tag", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("changes", metavar="[+TAG | -TAG]...", nargs=-1, type=click.UNPROCESSED, callback=_changes)
def host_tag(name: str, changes: list[tuple[str, str]]) -> None:
    """Give tags to a host (+web) and take them away (-web), then list what it has."""
    with _host(name) as (connection, host_id, _):
        known = set(tags.of(connection, [host_id]).get(host_id, []))
        for sign, tag in changes:
            known = known | {tag} if sign == "+" else known - {tag}
        if len(known) > MAX_TAGS:
            raise click.ClickException(f"a host has {MAX_TAGS} tags at most")
        if changes:
            tags.put(connection, host_id, known)
    click.echo("\n".join(sorted(known)) or "no tags")


@cli.group("retention")
def retention_commands() -> None:
    """Look after how much is kept."""


@retention_commands.command("plan")
@click.option("--hosts", "count", type=click.IntRange(1, 100_000), default=1_000, show_default=True)
@click.option("--containers", type=click.IntRange(0, 2_000), default=20, show_default=True, help="Of each host.")
@click.option("--interval", type=Finite(1, 86_400), default=10, show_default=True, help="Seconds between reports.")
@click.option("--engine", type=click.Choice(sorted(WIDTHS)), help="Without it the configured one.")
def retention_plan(count: int, containers: int, interval: float, engine: str | None) -> None:
    """Foretell how large the database becomes with the configured retention; needs none."""
    settings = _settings()
    chosen = engine or settings.engine_kind
    click.echo(f"{count} hosts with {containers} containers, every {interval:g} s, on {chosen}:\n")
    for line in told(forecast(Fleet(count, containers, interval), settings.monitoring, chosen)):
        click.echo(line)


@cli.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Copy the whole database into a new FILE while the server runs; on MySQL a name in .gz compresses it."""
    settings = _settings()
    with _one_sentence(), _tidy_end():
        backups.backup(settings, file)
    click.echo(f"{file} is a backup of the database")


@cli.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
def restore(file: Path) -> None:
    """Fill the empty database from a backup FILE while the server is stopped."""
    settings = _settings()
    with _one_sentence(), _tidy_end():
        backups.restore(settings, file)
    click.echo(f"{file} is restored; the next start of the server brings its tables up to date")


@cli.command("demo")
@click.option("--hosts", "count", type=click.IntRange(1, 5_000), default=50, show_default=True)
@click.option("--containers", type=click.IntRange(0, 2_000), default=20, show_default=True, help="Of each host.")
@click.option("--hours", type=click.IntRange(1, 8_760), default=24, show_default=True, help="How far back it begins.")
@click.option("--every", type=click.IntRange(1, 3_600), default=60, show_default=True, help="Seconds between reports.")
def demo(count: int, containers: int, hours: int, every: int) -> None:
    """Fill the empty database with a made-up fleet, to look at the service before there are agents."""
    settings = _settings()
    dialect, zone = dialect_for(settings), zone_of(settings)
    plan = past.Plan(count, containers, hours * 3_600, every)
    with _engine(settings) as engine:
        schema.prepare(engine, dialect, migrate=True, zone=zone)
        with click.progressbar(length=plan.total, label="reports") as bar:
            try:
                past.fill(engine, dialect, zone, plan, bar.update)
            except past.NotEmpty:
                raise click.ClickException("the database has hosts already; name another one in DATABASE_URL") from None
    click.echo(f"{plan.total} reports of {count} hosts are stored")


def _address(_context: click.Context, _option: click.Parameter, text: str) -> str:
    """An HTTP address as it is; raises BadParameter for anything else."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise click.BadParameter("should be http://host:port")
    return text


@cli.command("load")
@click.option("--server", callback=_address, default="http://127.0.0.1:8000", show_default=True)
@click.option("--hosts", "count", type=click.IntRange(1, 20_000), default=1_000, show_default=True)
@click.option("--containers", type=click.IntRange(0, 2_000), default=20, show_default=True, help="Of each host.")
@click.option("--interval", type=Finite(0.1, 3_600), default=10, show_default=True, help="Seconds.")
@click.option("--seconds", type=Finite(1, 86_400), default=60, show_default=True, help="How long.")
def load(server: str, count: int, containers: int, interval: float, seconds: float) -> None:
    """Drive a running server like so many agents, to size its machine; it stores the hosts `load-...`."""
    click.echo(
        f"{count} hosts with {containers} containers, every {interval:g} s: {count / interval:,.1f} reports/s are due"
    )
    allow_connections()
    fleet = Load(server, count, containers, interval)
    began = time.monotonic()
    with suppress(KeyboardInterrupt):  # what was measured so far is told
        asyncio.run(fleet.run(seconds, click.echo))
    click.echo(f"in all: {fleet.summary(min(time.monotonic() - began, seconds))}")
    if fleet.skipped:
        click.echo(f"{fleet.skipped} reports were not sent: their hosts had {MAX_UNANSWERED} unanswered ones each")
    if fleet.others or fleet.skipped:
        sys.exit(1)


@contextmanager
def _tidy_end() -> Iterator[None]:
    """Lets SIGTERM unwind as Ctrl-C does, so that nothing unfinished stays behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _engine(settings: Settings, read_timeout_s: int = 60) -> Iterator[Engine]:
    """An engine for one command."""
    with _one_sentence():
        engine = dialect_for(settings).engine(Role("command", size=2, read_timeout_s=read_timeout_s))
        try:
            yield engine
        finally:
            engine.dispose()


@contextmanager
def _host(name: str) -> Iterator[tuple[Connection, int, int]]:
    """A transaction about the host of that name: its id, and the database's clock."""
    settings = _settings()
    with _engine(settings) as engine, engine.begin() as connection:
        host_id = hosts.find(connection, [name]).get(name)
        if host_id is None:
            raise click.ClickException("no host of that name")
        yield connection, host_id, dialect_for(settings).now(connection)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """What the database refuses, or a backup, is one sentence."""
    try:
        yield
    except (ConfigError, schema.NotReady, backups.BackupRefused, merges.MergeRefused) as reason:
        raise click.ClickException(str(reason)) from None
    except DBAPIError as error:
        if classify(error) is Fault.SCHEMA:
            raise click.ClickException("the database has no tables yet: run `python manage.py db upgrade`") from None
        words = error.orig.args[-1] if error.orig and error.orig.args else classify(error).name
        raise click.ClickException(f"the database cannot be used: {' '.join(str(words).split())}") from None


def _settings(file: Path | None = None) -> Settings:
    try:
        return config.load(path=file)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


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


if __name__ == "__main__":
    cli()
