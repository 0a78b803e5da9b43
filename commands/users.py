"""Commands about people who sign in. A password is typed, or comes on stdin, and stands in no argument."""

import sys
from typing import get_args

import click

from commands.audits import audited
from commands.common import configured, transaction, valid
from database import users
from model.fields import Name
from model.people import Role
from services.jwt_key import MISSING, JwtKey
from services.passwords import RULE, acceptable, hashed

with_stdin = click.option("--password-stdin", is_flag=True, help="read the password from stdin, for scripts")
role_option = click.option(
    "--role", type=click.Choice(get_args(Role)), required=True, help="viewer reads; admin also changes"
)
name_argument = click.argument("name")


@click.group("user")
def user_commands() -> None:
    """Let people in who sign in with a password."""


@user_commands.command("create")
@name_argument
@role_option
@with_stdin
def user_create(name: str, role: str, *, password_stdin: bool) -> None:
    """Let somebody in."""
    name = valid(Name, name)
    password_hash = hashed(_password(from_stdin=password_stdin))
    with audited("user_created", of=name, role=role), transaction() as (connection, now):
        if users.find(connection, name):
            raise click.ClickException("there is a user of that name")
        users.create(connection, name, password_hash, role, now)
    click.echo(f"{name} may sign in as {role}")
    if not JwtKey(configured()).possible:
        click.echo(f"But {MISSING}.", err=True)


@user_commands.command("list")
def user_list() -> None:
    """List everybody."""
    with transaction() as (connection, _):
        found = users.listed(connection)
    for user in found:
        status = "disabled" if user.disabled_at else "active"
        click.echo(f"{status:8}  {user.role:6}  {user.created_at:%Y-%m-%d}  {user.name}")


@user_commands.command("password")
@name_argument
@with_stdin
def user_password(name: str, *, password_stdin: bool) -> None:
    """Give somebody another password, and sign them out everywhere."""
    _change("password_set", name, password_hash=hashed(_password(from_stdin=password_stdin)))
    click.echo(f"{name} has another password")


@user_commands.command("role")
@name_argument
@role_option
def user_role(name: str, role: str) -> None:
    """Give somebody another role, and sign them out everywhere."""
    _change("role_set", name, role=role)
    click.echo(f"{name} is {role}")


@user_commands.command("disable")
@name_argument
@click.option("--undo", is_flag=True, help="let them in again")
def user_disable(name: str, *, undo: bool) -> None:
    """Let somebody in no more; running servers refuse them within five seconds."""
    event = "user_enabled" if undo else "user_disabled"
    with audited(event, of=name), transaction() as (connection, now):
        if not users.change(connection, name, now, disabled_at=None if undo else now):
            raise click.ClickException("no user of that name")
    click.echo(f"{name} may sign in again" if undo else f"{name} is disabled")


def _change(event: str, name: str, **values: object) -> None:
    with audited(event, of=name), transaction() as (connection, now):
        if not users.change(connection, name, now, **values):
            raise click.ClickException("no user of that name")


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    if not acceptable(password):
        raise click.ClickException(RULE)
    return password
