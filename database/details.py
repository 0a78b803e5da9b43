"""What only some agents tell, read as one value a row: a value costs the driver what a row costs the server.

Eight more columns made a list of hosts a third slower, though all of them were NULL.
"""

from collections.abc import Sequence

from pydantic_core import from_json
from sqlalchemy import ColumnElement, Table, case, func


def packed(table: Table, names: Sequence[str]) -> ColumnElement[str | None]:
    """The columns of these names as one JSON array, in their order; NULL if all of them are.

    Older SQLite libraries (seen with 3.40) give 15 digits of a number there.
    """
    columns = [table.c[name] for name in names]
    return case((func.coalesce(*columns).is_not(None), func.json_array(*columns))).label("details")


def unpacked(text: str | None, names: Sequence[str]) -> dict[str, object]:
    """The values by their names; a moment as the text it is stored as, a boolean as 0 or 1."""
    if text is None:
        return dict.fromkeys(names)
    return dict(zip(names, from_json(text), strict=True))
