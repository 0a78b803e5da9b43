"""The forms that rows take in a file: CSV for spreadsheets, NDJSON for programs."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol, get_args

from pydantic import BaseModel
from pydantic_core import to_json

Row = Mapping[str, object]

# A cell of text that begins with one of these would be a formula to a spreadsheet; so would one that begins with the
# wide forms of the East Asian keyboards, or with what nobody sees.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\ufeff", "\u200b", "\u2060")


class Form(Protocol):
    """Rows as bytes; made with the model of a row, which says what there is even if there are no rows."""

    media_type: str
    suffix: str

    def __init__(self, model: type[BaseModel], chosen: Sequence[str] | None = None) -> None:
        """Takes the model that describes a row in the document, and the fields to show where it is not all of them."""

    def head(self) -> bytes:
        """What stands before the first row."""

    def lines(self, rows: Iterable[Row]) -> bytes:
        """So many rows, each ended."""


class Ndjson:
    """A row is the object that the JSON list has, on a line of its own."""

    media_type = "application/x-ndjson"
    suffix = "ndjson"

    def __init__(self, model: type[BaseModel], chosen: Sequence[str] | None = None) -> None:  # noqa: ARG002 - as others
        self._chosen = chosen

    def head(self) -> bytes:
        """Nothing: every line names its fields."""
        return b""

    def lines(self, rows: Iterable[Row]) -> bytes:
        """One object a line."""
        return b"".join(to_json(self._of(row)) + b"\n" for row in rows)

    def _of(self, row: Row) -> Row:
        return row if self._chosen is None else {name: row[name] for name in self._chosen}


class Csv:
    """RFC 4180 in UTF-8: a field that is an object has a column for each of its own, named `outer_inner`.

    Unknown is empty, numbers are as in JSON, and so are true, false and lists.
    """

    media_type = "text/csv"
    suffix = "csv"

    def __init__(self, model: type[BaseModel], chosen: Sequence[str] | None = None) -> None:
        paths = list(_paths(model))
        self._paths = paths if chosen is None else [path for name in chosen for path in paths if path[0] == name]

    def head(self) -> bytes:
        """The line of names."""
        return _written([["_".join(path) for path in self._paths]])

    def lines(self, rows: Iterable[Row]) -> bytes:
        """One row a line; a field may hold line ends of its own."""
        return _written([_cell(row, path) for path in self._paths] for row in rows)


FORMS: tuple[type[Form], ...] = (Csv, Ndjson)


def _paths(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """The ways to a row's values, one or two names long."""
    for name, field in model.model_fields.items():
        kinds = get_args(field.annotation) or (field.annotation,)
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        shown = field.alias or name
        yield from ((shown, part) for kind in inner for part in kind.model_fields)
        if not inner:
            yield (shown,)


def _cell(row: Row, path: tuple[str, ...]) -> object:
    value: object = row
    for name in path:
        value = value[name] if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    plain = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    return value if plain else to_json(value).decode()


def _written(rows: Iterable[list[object]] | list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
