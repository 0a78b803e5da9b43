"""Moments inside of statements: the time between two, which every engine calls by another name, and how they travel."""

from typing import Any

from sqlalchemy import ColumnElement, Double, String, cast, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class seconds_between(FunctionElement[float]):  # noqa: N801 - a function of SQL
    """How many seconds the second moment is after the first; to a tenth of a millisecond."""

    type = Double()
    inherit_cache = True


@compiles(seconds_between)
def _timestampdiff(element: seconds_between, compiler: Any, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    first, second = (compiler.process(clause, **options) for clause in element.clauses)
    return f"(TIMESTAMPDIFF(MICROSECOND, {first}, {second}) / 1000000.0)"


@compiles(seconds_between, "sqlite")
def _julianday(element: seconds_between, compiler: Any, **options: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    first, second = (compiler.process(clause, **options) for clause in element.clauses)
    return f"((julianday({second}) - julianday({first})) * 86400.0)"


def utc(column: ColumnElement[Any]) -> ColumnElement[str]:
    """A moment to the microsecond as ISO 8601 with `Z`: a page of datetimes costs the driver more than the database."""
    return _iso(column) + "Z"


def local(column: ColumnElement[Any]) -> ColumnElement[str]:
    """A moment to the second as ISO 8601 without a zone."""
    return func.substr(_iso(column), 1, 19)


def _iso(column: ColumnElement[Any]) -> ColumnElement[str]:
    return func.replace(cast(column, String), " ", "T", type_=String)
