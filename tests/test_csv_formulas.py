import csv
import io

import pytest
from pydantic import BaseModel

from routers.forms import Csv

pytestmark = pytest.mark.security


class Row(BaseModel):
    name: str


def written(name: str) -> str:
    """A cell as a spreadsheet reads it."""
    form = Csv(Row)
    text = (form.head() + form.lines([{"name": name}])).decode()
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    return row["name"]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\0", "\uff1d", "\u200b"])
@pytest.mark.parametrize("rest", ["", "1+1", "SUM(A1)", "cmd|' /C calc'!A0"])
def test_t07_what_begins_like_a_formula_is_text(first: str, rest: str) -> None:
    assert written(first + rest) == f"'{first}{rest}"


@pytest.mark.parametrize("name", ["plain", "a=b", "'quoted'", " =1", "", "\uc11c\ubc84"])
def test_t07_every_other_text_is_itself(name: str) -> None:
    assert written(name) == name
