"""Keyset paging: lists that give no row twice and miss none while reports come in.

A cursor holds the sort key of the last row given and how many rows of that key were given already, so that rows of
equal key need no tiebreaker that the next report would change.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from database.rows import Record
from model.envelope import Code, Failure
from model.schemas import MAX_CONTAINERS

# Below every metric a report may hold, so that unknown values sort first.
UNKNOWN = -1e300
MAX_INTEGER = 2**63 - 1


def holds(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Whether a column's text has another one in it, whatever the case of both."""
    return func.instr(func.lower(column), func.lower(text)) > 0


@dataclass(frozen=True, slots=True)
class Key:
    """One column of a sort key; `unknown` stands for NULL."""

    column: ColumnElement[Any]
    descending: bool = False
    unknown: Any = None

    def turned(self, descending: bool) -> "Key":  # noqa: FBT001 - the one thing it is about
        """The same key in the asked direction."""
        return replace(self, descending=descending)

    @property
    def expression(self) -> ColumnElement[Any]:
        """The column with NULL replaced, for NULL compares with nothing."""
        return self.column if self.unknown is None else func.coalesce(self.column, self.unknown)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, how many there are in all (None where nobody counts), and the cursor of the next page, if any."""

    rows: Sequence[Record]
    total: int | None
    cursor: str | None


def encode(sort: str, values: Sequence[Any], given: int) -> str:
    """Makes the opaque cursor."""
    texts = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps([sort, texts, given]).encode()).decode().rstrip("=")


def decode(cursor: str, sort: str, keys: Sequence[Key]) -> tuple[list[Any], int]:
    """Reads a cursor; raises VALIDATION if it is none, or one of another sort.

    Only equal keys count as given, and no report holds more of them than it may hold containers.
    """
    try:
        made_for, texts, given = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        values = [_typed(key, text) for key, text in zip(keys, texts, strict=True)]
        good = made_for == sort and isinstance(given, int) and 0 < given <= MAX_CONTAINERS
    except (ValueError, TypeError, binascii.Error, RecursionError):
        good = False
    if not good:
        raise Failure(Code.VALIDATION, "cursor: not one of this list; take it from the Link header")
    return values, given


def _typed(key: Key, value: Any) -> Any:  # noqa: ANN401 - what the column holds
    """The value as its column holds it; raises TypeError or ValueError for what no row of it could hold."""
    kind = key.column.type.python_type
    if kind is datetime:
        return datetime.fromisoformat(value)
    if kind is str:
        str.encode(value)  # JSON may hold half a surrogate pair, which no driver can send
        return value
    if not isinstance(value, (int, kind)) or not abs(value) <= (MAX_INTEGER if kind is int else -UNKNOWN):
        raise ValueError(value)
    return value


def behind(keys: Sequence[Key], values: Sequence[Any]) -> ColumnElement[bool]:
    """The rows at or behind a key: (a > x) or (a = x and b >= y), with the signs turned where it descends."""
    last = len(keys) - 1
    terms = []
    for position, (key, value) in enumerate(zip(keys, values, strict=True)):
        column = key.expression
        behind = column < value if key.descending else column > value
        if position == last:
            behind = or_(behind, column == value)
        equal = [earlier.expression == given for earlier, given in zip(keys[:position], values[:position], strict=True)]
        terms.append(and_(*equal, behind))
    return or_(*terms)


def fetch(
    connection: Connection,
    query: Select[Any],
    *,
    sort: str,
    keys: Sequence[Key],
    among_equal: ColumnElement[int],
    limit: int,
    cursor: str | None,
    count: Select[Any] | None = None,
    counted: bool = True,
) -> Page:
    """Fetches a page of a query, and counts what the query gives in all where the page is not all of it.

    `count` is a statement that tells so at less cost than counting the query's rows; without `counted` nobody asks.
    Rows of equal key stand in the order of `among_equal`, so that those given already are the first ones.
    """
    labelled = query.add_columns(*(key.expression.label(f"key_{position}") for position, key in enumerate(keys)))
    order = [key.expression.desc() if key.descending else key.expression.asc() for key in keys]
    ordered = labelled.order_by(*order, among_equal)
    values, given = decode(cursor, sort, keys) if cursor else ([], 0)
    if cursor:
        ordered = ordered.where(behind(keys, values))
    rows = connection.execute(ordered.limit(limit + given + 1)).all()
    rows = rows[_skip(rows, values, given, len(keys)) :]
    page = rows[:limit]
    following = _cursor(sort, page, values, given, len(keys)) if len(rows) > limit else None
    if not (cursor or following):
        return Page(page, len(page), None)
    if not counted:
        return Page(page, None, following)
    counting = count if count is not None else select(func.count()).select_from(query.subquery())
    return Page(page, int(connection.execute(counting).scalar_one()), following)


def _key_of(row: Record, width: int) -> tuple[Any, ...]:
    return tuple(row)[-width:]


def _skip(rows: Sequence[Record], values: Sequence[Any], given: int, width: int) -> int:
    """How many of the first rows were given already."""
    same = 0
    while same < min(given, len(rows)) and _key_of(rows[same], width) == tuple(values):
        same += 1
    return same


def _cursor(sort: str, page: Sequence[Record], values: Sequence[Any], given: int, width: int) -> str:
    last = _key_of(page[-1], width)
    same = sum(1 for row in page if _key_of(row, width) == last)
    return encode(sort, last, same + (given if tuple(values) == last else 0))
