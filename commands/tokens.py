"""Commands about tokens: on stdout stands the token alone, for scripts; what is to be said of it is on stderr."""

from datetime import timedelta
from typing import get_args

import click
from pydantic import ValidationError

from commands.audits import audited
from commands.common import Finite, transaction
from database import tokens
from model.fields import MESSAGES
from model.tokens import MAX_DAYS, MAX_OVERLAP_H, Scope, TokenIn
from services.tokens import described, issue, known
from utils.token_text import mint

ONCE = "This is the only time that it is shown; servers that run take it within five seconds."
COLUMNS = ("id", "status", "scope", "binding", "host_name", "last_used", "expires_at", "previous_until", "name")


@click.group("token")
def token_commands() -> None:
    """Make and end the tokens that agents and programs show."""


@token_commands.command("create")
@click.option(
    "--scope", type=click.Choice(get_args(Scope)), required=True, help="admin reads, and changes what may be changed"
)
@click.option("--host", help="ingest: the one host that it may report for")
@click.option("--hosts", help="ingest: a pattern of the hosts that it may report for, as 'web-*'")
@click.option("--first-host", is_flag=True, help="ingest: the first host that uses it, and no other")
@click.option("--name", help="what it is called in lists; by default its host")
@click.option("--expires-in-days", type=click.IntRange(1, MAX_DAYS), help="by default never")
def token_create(
    scope: str, host: str | None, hosts: str | None, name: str | None, expires_in_days: int | None, *, first_host: bool
) -> None:
    """Make a token."""
    given = [kind for kind, word in (("host", host), ("pattern", hosts), ("first", first_host)) if word]
    if len(given) > 1:
        raise click.UsageError("--host, --hosts and --first-host exclude each other")
    binding, host_name = (given[0] if given else None), host or hosts
    asked = _checked(
        name=name or host_name or scope,
        scope=scope,
        binding=binding,
        host_name=host_name,
        expires_in_days=expires_in_days,
    )
    with audited("token_created") as told, transaction() as (connection, now):
        issued = issue(asked, now)
        told.update(known(issued.token))
        tokens.create(connection, issued.token)
    click.echo(issued.text)
    click.echo(f"Token {issued.token.id} is made. {ONCE}", err=True)


@token_commands.command("list")
def token_list() -> None:
    """List all tokens, the newest first."""
    with transaction() as (connection, now):
        shown = [described(token, now) for token in tokens.listed(connection)]
    rows = [COLUMNS, *(tuple(str(one[name] or "-") for name in COLUMNS) for one in shown)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


@token_commands.command("rotate")
@click.argument("token_id", metavar="ID")
@click.option("--overlap-hours", type=Finite(0, MAX_OVERLAP_H), default=24.0, show_default=True)
def token_rotate(token_id: str, overlap_hours: float) -> None:
    """Give a token another secret; the one before it stays good for a while."""
    minted = mint(token_id)
    fields = {"token": token_id, "overlap_hours": overlap_hours}
    with audited("token_rotated", **fields) as told, transaction() as (connection, now):
        token = tokens.rotate(connection, token_id, minted.hash, now + timedelta(hours=overlap_hours))
        if token is None:
            raise click.ClickException("no such token, or it was revoked")
        told.update(known(token))
    click.echo(minted.text)
    click.echo(f"The secret before it is good for {overlap_hours:g} hours. {ONCE}", err=True)


@token_commands.command("revoke")
@click.argument("token_id", metavar="ID")
def token_revoke(token_id: str) -> None:
    """End a token for ever; running servers refuse it within five seconds."""
    with audited("token_revoked", token=token_id) as told, transaction() as (connection, now):
        token = tokens.revoke(connection, token_id, now)
        if token is None:
            raise click.ClickException("no such token, or it was revoked already")
        told.update(known(token))
    click.echo(f"token {token_id} is revoked")


def _checked(**given: object) -> TokenIn:
    try:
        return TokenIn.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise click.UsageError(MESSAGES.get(first["type"], first["msg"])) from None
