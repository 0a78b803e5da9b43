"""The number by which processes know that what they remember of tokens and people is old. Nothing here commits."""

from sqlalchemy import Connection, select, update

from model.models import access_revision


def revision(connection: Connection) -> int:
    """A number that grows with every change that others must know of."""
    number: int = connection.execute(select(access_revision.c.number)).scalar_one()
    return number


def changed(connection: Connection) -> None:
    """First of all: whoever changes tokens or people at the same time waits here, in one order."""
    connection.execute(update(access_revision).values(number=access_revision.c.number + 1))
