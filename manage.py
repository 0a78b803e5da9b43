"""The operator's command line: `python manage.py --help` lists what `commands/` holds."""

import io
import sys

import click

from commands.configuration import config_commands
from commands.database import backup, db_commands, restore
from commands.fleet import demo, load
from commands.hosts import host_commands
from commands.retention import retention_commands
from commands.tokens import token_commands
from commands.users import user_commands


@click.group(
    commands=[
        config_commands,
        db_commands,
        host_commands,
        retention_commands,
        token_commands,
        user_commands,
        backup,
        restore,
        demo,
        load,
    ]
)
def cli() -> None:
    """Operate the Resource Monitor Server."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a Windows console may lack the letters of a value
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    cli()
