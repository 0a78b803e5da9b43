"""What the commands share: the settings, an engine for one command, errors as one sentence, what arguments may be."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from config import config
from config.config import ConfigError, Settings
from database import hosts, merges, schema
from database.backup import BackupRefused
from database.dialect import Role, dialect_for
from database.faults import Fault, classify
from model.fields import MESSAGES
from utils.utils import moment


class Finite(click.FloatRange):
    """A number of a range: click's own takes `nan`, which no bound refuses."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's
        """Reads it; fails as click's own does."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail("should be a number", param, ctx)
        return number


def valid(kind: Any, text: str) -> str:  # noqa: ANN401 - a type of `model.fields`
    """A text by the rules of the wire; raises BadParameter for what they refuse."""
    try:
        return str(TypeAdapter(kind).validate_python(text))
    except ValidationError as error:
        first = error.errors()[0]
        raise click.BadParameter(MESSAGES.get(first["type"], first["msg"])) from None


def configured(file: Path | None = None) -> Settings:
    """The settings; ends the program with what is wrong in them."""
    try:
        return config.load(path=file)
    except ConfigError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


@contextmanager
def connected(settings: Settings, read_timeout_s: int = 60) -> Iterator[Engine]:
    """An engine for one command."""
    with one_sentence():
        engine = dialect_for(settings).engine(Role("command", size=2, read_timeout_s=read_timeout_s))
        try:
            yield engine
        finally:
            engine.dispose()


@contextmanager
def transaction() -> Iterator[tuple[Connection, datetime]]:
    """A transaction, and the database's clock."""
    settings = configured()
    with connected(settings) as engine, engine.begin() as connection:
        yield connection, moment(dialect_for(settings).now(connection))


@contextmanager
def found(name: str) -> Iterator[tuple[Connection, int, int]]:
    """A transaction about the host of that name: its id, and the database's clock."""
    settings = configured()
    with connected(settings) as engine, engine.begin() as connection:
        host_id = hosts.find(connection, [name]).get(name)
        if host_id is None:
            raise click.ClickException("no host of that name")
        yield connection, host_id, dialect_for(settings).now(connection)


@contextmanager
def one_sentence() -> Iterator[None]:
    """What the database refuses, or a backup, is one sentence."""
    try:
        yield
    except (ConfigError, schema.NotReady, BackupRefused, merges.MergeRefused) as reason:
        raise click.ClickException(str(reason)) from None
    except DBAPIError as error:
        if classify(error) is Fault.SCHEMA:
            raise click.ClickException("the database has no tables yet: run `python manage.py db upgrade`") from None
        words = error.orig.args[-1] if error.orig and error.orig.args else classify(error).name
        raise click.ClickException(f"the database cannot be used: {' '.join(str(words).split())}") from None
