"""Commands about how much is kept."""

import click

from commands.common import Finite, configured
from model.widths import WIDTHS
from services.forecast import Fleet, forecast, told


@click.group("retention")
def retention_commands() -> None:
    """Look after how much is kept."""


@retention_commands.command("plan")
@click.option("--hosts", "count", type=click.IntRange(1, 100_000), default=1_000, show_default=True)
@click.option("--containers", type=click.IntRange(0, 2_000), default=20, show_default=True, help="Of each host.")
@click.option("--interval", type=Finite(1, 86_400), default=10, show_default=True, help="Seconds between reports.")
@click.option("--engine", type=click.Choice(sorted(WIDTHS)), help="Without it the configured one.")
def retention_plan(count: int, containers: int, interval: float, engine: str | None) -> None:
    """Foretell how large the database becomes with the configured retention; needs none."""
    settings = configured()
    chosen = engine or settings.engine_kind
    click.echo(f"{count} hosts with {containers} containers, every {interval:g} s, on {chosen}:\n")
    for line in told(forecast(Fleet(count, containers, interval), settings.monitoring, chosen)):
        click.echo(line)
