"""What every engine calls by another name: the time between two moments."""

from typing import Any

from sqlalchemy import Double
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
