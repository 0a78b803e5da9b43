"""The pages under a finger: it scrolls wherever it begins, and zooms a chart when it is told to."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, CDPSession, Locator, Page, expect

from tests.dashboard import WIDTHS, Console, drawn_again, opened
from tests.intake import until

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


def edges(node: Locator) -> dict[str, float]:
    """Where something begins and ends."""
    box: dict[str, float] = node.first.evaluate("one => one.getBoundingClientRect().toJSON()")
    return box


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
    phone.touchscreen.tap(*middle(phone, ".chart .nsewdrag"))
    button = phone.locator(".chart").first.locator("[data-title=Zoom]")

    def pressed() -> bool:
        # Of two taps that come faster than fingers are the browser may make one, which presses nothing.
        button.tap()
        phone.wait_for_timeout(500)
        return "active" in (button.get_attribute("class") or "")

    until(pressed)
    drawn_again(phone)
    x, y = middle(phone, ".chart .nsewdrag")
    with phone.expect_response("**/api/history?*"):
        swipe(phone, (x - 80, y), (x + 80, y))
    expect(phone).to_have_url(re.compile(r"from=.*&to="))
    phone.wait_for_function("() => document.querySelector('.chart')._fullLayout.dragmode === false")
    assert scrolled(phone, ".chart .nsewdrag") > 100


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_buttons_legend_and_lines_of_a_chart_are_apart(browser: Browser, console: Console, locale: str) -> None:
    with opened(browser, console, **PHONE, locale=locale) as page:
        for span in ("1h", "7d"):
            page.goto(f"{HOST}?range={span}")
            expect(page.locator(".chart .legend")).to_have_count(2)
            for chart in page.locator(".chart").all():
                buttons, lines, legend = (edges(chart.locator(part)) for part in (".modebar", ".nsewdrag", ".legend"))
                assert buttons["bottom"] <= lines["top"]
                assert lines["bottom"] <= legend["top"]


def times(page: Page) -> list[dict[str, float]]:
    """Where the words below the first chart are."""
    expect(page.locator(".chart .xtick")).not_to_have_count(0)
    return [edges(one) for one in page.locator(".chart").first.locator(".xtick text:visible").all()]


@pytest.mark.parametrize("locale", ["en-US", "ko-KR"])
def test_times_below_a_chart_are_upright_and_whole(browser: Browser, console: Console, locale: str) -> None:
    with opened(browser, console, **PHONE, locale=locale) as page:
        for span in ("1h", "6h", "24h", "7d", "30d", "1y"):
            page.goto(f"{HOST}?range={span}")
            found, drawing = times(page), edges(page.locator(".chart .main-svg"))
            assert len(found) >= 2
            for time in found:
                assert drawing["left"] <= time["left"] < time["right"] <= drawing["right"]
                assert time["bottom"] <= drawing["bottom"]
                assert time["height"] < 36, f"slanted over {span}"  # two lines are lower
