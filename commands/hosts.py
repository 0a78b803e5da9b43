"""Commands about the hosts."""

from contextlib import nullcontext

import click

from commands.audits import audited
from commands.common import configured, connected, found, valid
from database import hosts, merges, tags
from database.dialect import dialect_for
from model.fields import MAX_TAGS, Name, Tag


def _host_name(_context: click.Context, _argument: click.Parameter, text: str) -> str:
    return valid(Name, text)


def _changes(_context: click.Context, _argument: click.Parameter, texts: tuple[str, ...]) -> list[tuple[str, str]]:
    if not all(text.startswith(("+", "-")) for text in texts):
        raise click.BadParameter("each begins with + or -")
    return [(text[0], valid(Tag, text[1:])) for text in texts]


@click.group("host")
def host_commands() -> None:
    """Look after the hosts."""


@host_commands.command("delete")
@click.argument("name")
def host_delete(name: str) -> None:
    """Forget a host: frees its name at once; a running server removes its rows."""
    with audited("host_deleted", host=name) as told, found(name) as (connection, host_id, now):
        told["host_id"] = host_id
        hosts.hide(connection, host_id, now)
    click.echo(f"host {host_id} is forgotten")


@host_commands.command("rename")
@click.argument("name", metavar="OLD")
@click.argument("new", callback=_host_name)
def host_rename(name: str, new: str) -> None:
    """Give a host another name; it keeps its history."""
    if name.strip() == new:
        raise click.ClickException("that is its name already")
    with audited("host_renamed", host=name, new_name=new) as told, found(name) as (connection, host_id, _):
        told["host_id"] = host_id
        if not hosts.held(connection, host_id):  # it was forgotten, or merged, just now
            raise click.ClickException("no host of that name")
        try:
            hosts.rename(connection, host_id, new)
        except hosts.NameTaken:
            raise click.ClickException("there is a host of that name: merge the two") from None
    click.echo(f"host {host_id} is renamed; a report under its old name makes a new host")


@host_commands.command("merge")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="INTO")
def host_merge(source: str, target: str) -> None:
    """Make one host of two, while servers run: INTO gets all of FROM's past. If it was killed, run it again."""
    settings = configured()
    with audited("hosts_merged", host=source, into=target) as told, connected(settings) as engine:
        with engine.begin() as connection:
            now = dialect_for(settings).now(connection)
        told["host_id"] = host_id = merges.merge(engine, now, source, target)
    click.echo(f"host {host_id} has the past of both")


@host_commands.command("tag", context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("changes", metavar="[+TAG | -TAG]...", nargs=-1, type=click.UNPROCESSED, callback=_changes)
def host_tag(name: str, changes: list[tuple[str, str]]) -> None:
    """Give tags to a host (+web) and take them away (-web), then list what it has."""
    told = {"host": name, "changes": ",".join(sign + tag for sign, tag in changes)}
    # Without changes it is a question, and no line.
    with audited("tags_put", **told) if changes else nullcontext(), found(name) as (connection, host_id, _):
        if not hosts.held(connection, host_id):  # it was forgotten, or merged, just now
            raise click.ClickException("no host of that name")
        known = set(tags.of(connection, [host_id]).get(host_id, []))
        for sign, tag in changes:
            known = known | {tag} if sign == "+" else known - {tag}
        if len(known) > MAX_TAGS:
            raise click.ClickException(f"a host has {MAX_TAGS} tags at most")
        if changes:
            tags.put(connection, host_id, known)
    click.echo("\n".join(sorted(known)) or "no tags")
