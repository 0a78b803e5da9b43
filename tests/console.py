"""The operator's commands, run in this very process."""

import re
from typing import NamedTuple

from click.testing import CliRunner

from manage import cli

LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:")


class Done(NamedTuple):
    """A command's exit status and what it said."""

    status: int
    words: str

    @property
    def lines(self) -> list[str]:
        return self.words.strip().splitlines()


def run(*arguments: str, typed: str | None = None, **environ: str) -> Done:
    """Runs a command; the log of the services that run in this process as well is not its word."""
    result = CliRunner().invoke(cli, arguments, input=typed, env=environ)
    return Done(result.exit_code, "\n".join(line for line in result.output.splitlines() if not LOGGED.match(line)))


def manage(url: str, *arguments: str, typed: str | None = None) -> Done:
    """Runs a command on a database."""
    return run(*arguments, typed=typed, DATABASE_URL=url, APP_TIMEZONE="Asia/Seoul")
