"""Commands of the made-up fleet: its past for an empty database, its reports for a running server."""

import asyncio
import sys
import time
from contextlib import suppress
from urllib.parse import urlsplit

import click

from commands.common import Finite, configured, connected
from config.config import zone_of
from database import schema
from database.dialect import dialect_for
from demo import past
from demo.load import MAX_UNANSWERED, Load
from utils.limits import allow_connections


@click.command("demo")
@click.option("--hosts", "count", type=click.IntRange(1, 5_000), default=50, show_default=True)
@click.option("--containers", type=click.IntRange(0, 2_000), default=20, show_default=True, help="Of each host.")
@click.option("--hours", type=click.IntRange(1, 8_760), default=24, show_default=True, help="How far back it begins.")
@click.option("--every", type=click.IntRange(1, 3_600), default=60, show_default=True, help="Seconds between reports.")
def demo(count: int, containers: int, hours: int, every: int) -> None:
    """Fill the empty database with a made-up fleet, to look at the service before there are agents."""
    settings = configured()
    dialect, zone = dialect_for(settings), zone_of(settings)
    plan = past.Plan(count, containers, hours * 3_600, every)
    with connected(settings) as engine:
        schema.prepare(engine, dialect, migrate=True, zone=zone)
        try:
            past.refuse_filled(engine)
        except past.NotEmpty:
            raise click.ClickException("the database has hosts already; name another one in DATABASE_URL") from None
        with click.progressbar(length=plan.total, label="reports") as bar:
            past.fill(engine, dialect, zone, plan, bar.update)
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


@click.command("load")
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
