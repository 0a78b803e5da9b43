"""A host's page in a real browser: its charts, its spans, its containers."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard import CONTAINERS, GONE, MINUTES, Console, Fleet, altered, drawn_again, look_again, opened

pytestmark = [pytest.mark.dashboard, pytest.mark.slow]
CHART = ".chart >> nth=0"


def id_of(fleet: Fleet, name: str) -> int:
    found: int = fleet.service.data("/api/hosts", host_name=name)[0]["id"]
    return found


def shown(page: Page) -> list[dict[str, Any]]:
    """What Plotly has in the first chart."""
    expect(page.locator(".chart .scatterlayer .trace").first).to_be_attached()
    data: list[dict[str, Any]] = page.evaluate(
        "document.querySelector('.chart').data.map(({name, x, y}) => ({name, x: [...x].map(String), y: [...y]}))"
    )
    return data


def span_of(page: Page) -> list[str]:
    query = parse_qs(urlsplit(page.url).query)
    return [query[name][0] for name in ("from", "to")]


def test_shows_an_hour_with_band_and_events(page: Page, fleet: Fleet) -> None:
    page.goto(f"/hosts/{id_of(fleet, 'web-1')}")
    expect(page.locator("h1")).to_have_text("web-1")
    traces = {trace["name"]: trace for trace in shown(page)}
    assert set(traces) == {"greatest", "least to greatest", "average", "events"}
    assert MINUTES - 20 <= len(traces["average"]["y"]) <= MINUTES + 1
    assert all(20 <= value <= 60 for value in traces["average"]["y"])
    assert len(traces["events"]["x"]) >= 1
    expect(page.locator(".facts")).to_contain_text("8 / 16")


def test_the_legend_names_the_band_once_a_chart(page: Page, fleet: Fleet) -> None:
    page.goto(f"/hosts/{id_of(fleet, 'web-1')}")
    for place in range(2):
        legend = page.locator(".chart").nth(place).locator(".legendtext")
        expect(legend).to_have_text(["least to greatest", "average", "events"])
    page.locator(f"{CHART} >> .nsewdrag").hover(position={"x": 200, "y": 60})
    hovered = page.locator(f"{CHART} >> .hoverlayer .legendtext")
    expect(hovered).to_have_count(3)
    assert {words.partition(" : ")[0] for words in hovered.all_text_contents()} == {"least", "greatest", "average"}


def test_a_gap_is_a_hole_in_the_line(page: Page, fleet: Fleet) -> None:
    def without_ten_minutes(data: Any) -> None:  # noqa: ANN401 - JSON
        del data["points"][20:30]

    altered(page, "**/api/history?*", without_ten_minutes)
    page.goto(f"/hosts/{id_of(fleet, 'web-2')}")
    average = next(trace["y"] for trace in shown(page) if trace["name"] == "average")
    assert average[20] is None
    assert average.count(None) == 1


def test_spans_are_chosen_dragged_and_kept_in_the_address(page: Page, fleet: Fleet) -> None:
    page.goto(f"/hosts/{id_of(fleet, 'web-1')}")
    shown(page)
    with page.expect_response("**/api/history?*") as asked:
        page.get_by_role("button", name="30 d").click()
    assert asked.value.json()["data"]["step"] == "1h"
    expect(page).to_have_url(re.compile(r"\?range=30d$"))
    page.go_back()
    expect(page.get_by_role("button", name="1 h", exact=True)).to_have_attribute("aria-pressed", "true")
    shown(page)
    box = page.locator(f"{CHART} >> .nsewdrag").first.bounding_box()
    assert box
    with page.expect_response("**/api/history?*"):
        page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=5)
        page.mouse.up()
    expect(page).to_have_url(re.compile(r"from=.*&to="))
    first, last = span_of(page)
    assert first < last
    page.reload()
    shown(page)
    assert span_of(page) == [first, last]


def test_lists_the_containers_with_their_last_hour(page: Page, fleet: Fleet) -> None:
    page.goto(f"/hosts/{id_of(fleet, 'web-3')}")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(len(CONTAINERS))
    expect(rows.first).to_contain_text("app-0running")
    expect(page.locator("tbody .spark path[d^=M]")).to_have_count(len(CONTAINERS))
    assert rows.first.locator("a").get_attribute("href") == f"/hosts/{id_of(fleet, 'web-3')}/containers/app-0"


def test_a_host_that_is_silent_is_said_so_at_the_top(page: Page, fleet: Fleet) -> None:
    page.goto(f"/hosts/{id_of(fleet, GONE)}")
    expect(page.locator("main > p.wrong")).to_contain_text("The host has been silent since")


def refused(page: Page, first: str, last: str) -> str:
    """What is said of two moments that are not taken."""
    page.get_by_label("from").fill(first)
    page.get_by_label("to", exact=True).fill(last)
    page.get_by_role("button", name="Show").click()
    message: str = page.get_by_label("to", exact=True).evaluate("input => input.validationMessage")
    assert "from=" not in page.url
    return message


def test_a_span_that_ends_before_it_begins_is_refused_in_words(page: Page, fleet: Fleet) -> None:
    page.goto(f"/hosts/{id_of(fleet, 'web-1')}")
    shown(page)
    assert refused(page, "2026-11-27T10:00", "2026-11-27T08:00") == "The second moment should be after the first one."


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("1960-01-01T00:00", "2026-01-01T00:00"),
        ("2026-01-01T00:00", "2300-01-01T00:00"),
        ("2026-01-01T00:00", "20261-01-01T00:00"),
    ],
)
def test_a_span_of_years_that_nobody_keeps_is_refused_in_words(page: Page, fleet: Fleet, first: str, last: str) -> None:
    page.goto(f"/hosts/{id_of(fleet, 'web-1')}")
    shown(page)
    assert refused(page, first, last) == "A span lies between 1970-01-02 and 2199-12-31 (UTC)."


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("from=yesterday&to=2026-01-02T00:00:00Z", "does not name the two moments"),
        ("from=2026-01-02T00:00:00Z", "does not name the two moments"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "does not end after it begins"),
        ("from=1970-01-01T23:59:59Z&to=2026-01-01T00:00:00Z", "between 1970-01-02 and 2199-12-31"),
        ("from=2026-01-01T00:00:00Z&to=2200-01-01T00:00:00Z", "between 1970-01-02 and 2199-12-31"),
        ("range=constructor", "a span that this page does not have"),
    ],
)
def test_a_span_in_the_address_that_is_none_is_said_so(page: Page, fleet: Fleet, query: str, words: str) -> None:
    page.goto(f"/hosts/{id_of(fleet, 'web-1')}?{query}")
    told = page.locator(".picker .instead")
    expect(told).to_contain_text(words)
    expect(told).to_contain_text("Shown instead: 1 h up to now.")
    assert len(shown(page)[0]["x"]) > MINUTES / 2
    expect(page.get_by_role("button", name="1 h", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="6 h").click()
    expect(told).to_be_hidden()


@pytest.mark.parametrize(("locale", "words"), [("en-US", "of 1 hour. Drag"), ("ko-KR", "1시간 단위")])
def test_a_step_is_in_the_readers_language(browser: Browser, console: Console, locale: str, words: str) -> None:
    with opened(browser, console, locale=locale) as page:
        page.goto("/hosts/1?range=30d")
        expect(page.locator(".note").first).to_contain_text(words)


@pytest.mark.parametrize(("locale", "words"), [("en-US", "only the newest 200 are"), ("ko-KR", "최근 200개만")])
def test_events_that_are_not_marked_are_said_so(browser: Browser, console: Console, locale: str, words: str) -> None:
    with opened(browser, console, locale=locale) as page:
        page.goto("/hosts/1")
        note = page.locator(".note").first
        expect(note).not_to_be_empty()
        expect(note).not_to_contain_text("200")
        page.route(
            "**/api/events?*", lambda route: route.continue_(url=route.request.url.replace("limit=200", "limit=1"))
        )
        page.goto("/hosts/1?range=30d")
        expect(note).to_contain_text(words)


LINE, WORD, NET = ".scatterlayer .lines path:last-child", ".xtick text", ".gridlayer path"
COLOURS = f"[['{LINE}', 'stroke'], ['{WORD}', 'fill'], ['{NET}', 'stroke']]"
DRAWN = (
    f"{COLOURS}.map(([what, how]) => getComputedStyle([...document.querySelectorAll(`.chart ${{what}}`)].at(-1))[how])"
)
LIGHT = ["rgb(31, 102, 193)", "rgb(27, 35, 44)", "rgb(211, 217, 223)"]


def test_paper_has_the_light_themes_charts_and_no_advice(browser: Browser, console: Console) -> None:
    with opened(browser, console, color_scheme="dark") as page:
        page.goto("/hosts/1")
        shown(page)
        dark = page.evaluate(DRAWN)
        page.evaluate(f"addEventListener('beforeprint', () => (window.printed = {DRAWN}))")
        page.pdf()
        assert page.evaluate("printed") == LIGHT
        assert page.evaluate(DRAWN) == dark
        assert not set(dark) & set(LIGHT)
        expect(page.locator(".advice")).to_be_visible()
        page.emulate_media(media="print")
        expect(page.locator(".advice")).to_be_hidden()
        expect(page.locator(".note").first).to_contain_text("of 1 minute.")


def test_a_phone_that_is_turned_gets_the_charts_of_its_width(page: Page) -> None:
    page.goto("/hosts/1")
    shown(page)
    height = "document.querySelector('.chart')._fullLayout.height"
    wide = page.evaluate(height)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function(f"() => {height} > {wide}")  # a function, as the pages let nobody evaluate a text
    page.set_viewport_size({"width": 844, "height": 390})
    page.wait_for_function(f"() => {height} === {wide}")


def test_what_the_legend_took_out_stays_out(page: Page, fleet: Fleet) -> None:
    page.goto(f"/hosts/{id_of(fleet, 'web-1')}")
    shown(page)
    average = page.locator(f"{CHART} >> .legend .traces").filter(has_text="average")
    average.locator(".legendtoggle").click()
    expect(average).to_have_css("opacity", "0.5")
    drawn_again(page)
    page.emulate_media(color_scheme="dark")
    expect(average).to_have_css("opacity", "0.5")
    with page.expect_response("**/api/history?*"):
        page.get_by_role("button", name="6 h").click()
    drawn_again(page)
    expect(average).to_have_css("opacity", "0.5")
    first, last = page.evaluate("document.querySelector('.chart').layout.xaxis.range.map(Number)")
    assert last - first == 6 * 3_600_000
    altered(page, "**/api/history?*", lambda data: data.update(step="raw"))
    drawn_again(page)
    expect(page.locator(f"{CHART} >> .legendtext").first).to_have_text("average")  # of samples there is no band
    expect(average).to_have_css("opacity", "0.5")


def test_a_button_that_was_pressed_stays_pressed(page: Page, fleet: Fleet) -> None:
    page.goto(f"/hosts/{id_of(fleet, 'web-1')}")
    shown(page)
    page.locator(CHART).hover()
    pan = page.locator(f"{CHART} >> [data-title=Pan]")
    pan.click()
    drawn_again(page)
    expect(pan).to_have_class(re.compile(r"\bactive\b"))


def test_a_tag_keeps_the_focus(page: Page, fleet: Fleet) -> None:
    host = id_of(fleet, "web-4")
    fleet.service.client.put(f"/api/hosts/{host}/tags", json={"tags": ["prod", "seoul"]})
    page.goto(f"/hosts/{host}")
    tag = page.get_by_role("link", name="seoul")
    tag.focus()
    fleet.service.client.put(f"/api/hosts/{host}/tags", json={"tags": ["seoul"]})
    look_again(page)
    expect(page.get_by_role("link", name="prod")).to_have_count(0)
    expect(tag).to_be_focused()
