"""The pages as a real browser shows them under their policies (T6)."""

import re
from pathlib import Path

import pytest

from tests.browser import opened
from tests.envelopes import document
from tests.service import Service

pytestmark = [pytest.mark.security, pytest.mark.slow]
# ReDoc's maker has its logo on a server of its own, and gets no visitor of ours.
LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"
PAGES = {"/docs": r'id="operations-(?!tag-)\w+-(\w+)"', "/redoc": r'id="tag/\w+/operation/(\w+)"'}


@pytest.mark.parametrize("path", PAGES)
def test_t06_a_browser_shows_every_operation_under_the_policy(sqlite: Service, tmp_path: Path, path: str) -> None:
    page = opened(sqlite.url + path, tmp_path)
    operations = {one["operationId"] for methods in document()["paths"].values() for one in methods.values()}
    assert set(re.findall(PAGES[path], page.html)) == operations
    assert [line for line in page.console if LOGO not in line] == []
