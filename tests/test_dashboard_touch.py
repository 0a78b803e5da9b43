"""The pages under a finger: it scrolls wherever it begins, and zooms a chart when it is told to."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from tests.dashboard import WIDTHS, Console, opened

pytestmark = [pytest.mark.dashboard, pytest.mark.slow]
PHONE = {"viewport": {"width": WIDTHS["phone"], "height": 844}, "has_touch": True, "is_mobile": True}
HOST = "/hosts/1"
Point = tuple[float, float]


@pytest.fixture
def phone(browser: Browser, console: Console) -> Iterator[Page]:
    with opened(browser, console, **PHONE) as page:
        page.goto(HOST)
        expect(page.locator(".chart .scatterlayer .trace").nth(3)).to_be_attached()
        yield page


def finger(page: Page) -> CDPSession:
    return page.context.new_cdp_session(page)


def swipe(page: Page, start: Point, end: Point, steps: int = 12) -> None:
    """Puts a finger down, moves it, lifts it: what the browser makes of it is the browser's own."""
    session = finger(page)
    way = [
        (start[0] + (end[0] - start[0]) * n / steps, start[1] + (end[1] - start[1]) * n / steps)
        for n in range(steps + 1)
    ]
    for place, (x, y) in enumerate(way):
        kind = "touchMove" if place else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


def middle(page: Page, where: str) -> Point:
    """Where something is, scrolled to the middle of the screen."""
    page.locator(where).first.evaluate("node => node.scrollIntoView({block: 'center'})")
    box = page.locator(where).first.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def scrolled(page: Page, where: str) -> float:
    """How far the page goes when a finger goes up by 200 px from there."""
    x, y = middle(page, where)
    before = page.evaluate("scrollY")
    swipe(page, (x, y), (x, y - 200))
    page.wait_for_timeout(400)
    far: float = page.evaluate("scrollY") - before
    return far


# The caption is beside the chart: there every swipe scrolls, or this measures nothing.
@pytest.mark.parametrize("where", ["figcaption", ".chart .nsewdrag"])
def test_a_swipe_scrolls_the_page_wherever_it_begins(phone: Page, where: str) -> None:
    assert scrolled(phone, where) > 100
    expect(phone).to_have_url(re.compile(f"{HOST}$"))


def test_a_finger_zooms_once_after_a_press_of_the_button(phone: Page) -> None:
    expect(phone.locator(".note").first).to_contain_text("its button Zoom")
    x, y = middle(phone, ".chart .nsewdrag")
    phone.touchscreen.tap(x, y)
    phone.locator(".chart").first.locator("[data-title=Zoom]").tap()
    with phone.expect_response("**/api/history?*"):
        swipe(phone, (x - 80, y), (x + 80, y))
    expect(phone).to_have_url(re.compile(r"from=.*&to="))
    assert scrolled(phone, ".chart .nsewdrag") > 100
