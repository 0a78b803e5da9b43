"""The API's pages as a real browser shows them under their policies (T6)."""

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.dashboard import Console, opened
from tests.envelopes import document
from tests.service import Service

pytestmark = [pytest.mark.security, pytest.mark.slow]
# ReDoc's maker has its logo on a server of its own, and gets no visitor of ours.
LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"
PAGES = {"/docs": r'id="operations-(?!tag-)\w+-(\w+)"', "/redoc": r'id="tag/\w+/operation/(\w+)"'}


@pytest.mark.parametrize("path", PAGES)
def test_t06_a_browser_shows_every_operation_under_the_policy(sqlite: Service, browser: Browser, path: str) -> None:
    operations = {one["operationId"] for methods in document()["paths"].values() for one in methods.values()}
    console = Console(sqlite.url)
    with opened(browser, console) as page:
        page.goto(path)
        expect(page.locator("#operations-operations-root, [id='tag/operations/operation/root']")).to_be_attached()
        assert set(re.findall(PAGES[path], page.content())) == operations
        console.wrong[:] = [line for line in console.wrong if LOGO not in line]
