"""What all pages have in common: everyone can use them, in both languages and themes, on a phone and on a wall."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard import NO_ANSWER, WIDTHS, Console, faults, opened
from tests.intake import until

pytestmark = [pytest.mark.dashboard, pytest.mark.slow]
# Each with what is there once it has its data.
PAGES = {
    "/": "tbody tr",
    "/hosts/1": ".chart .scatterlayer .trace",
    "/hosts/1/containers/app-0": ".chart .scatterlayer .trace",
    "/containers": "tbody tr",
    "/events": "tbody tr, .happened li",
    "/compare?of=1&of=2/app-0": ".chart .scatterlayer .trace",
    "/agents": "main section, main table",
    "/storage": "tbody tr",
    "/login": "main form",
}
LOCALES = {"en": "en-US", "ko": "ko-KR"}
# Every two of width, theme and language meet.
READERS = [("phone", "light", "en"), ("phone", "dark", "ko"), ("wall", "light", "ko"), ("wall", "dark", "en")]
HANGUL = re.compile("[가-힣]")
every_page = pytest.mark.parametrize("path", PAGES)


@every_page
def test_everyone_can_use_it(browser: Browser, console: Console, path: str) -> None:
    for width, theme, language in READERS:
        size = {"width": WIDTHS[width], "height": 900}
        with opened(browser, console, viewport=size, color_scheme=theme, locale=LOCALES[language]) as page:
            page.goto(path)
            expect(page.locator(PAGES[path]).first).to_be_attached()
            assert faults(page) == [], (width, theme, language)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, theme, language)
            assert page.locator("html").get_attribute("lang") == language
            assert bool(HANGUL.search(page.locator("main").inner_text())) == (language == "ko")


@every_page
def test_no_script_stands_in_a_page(page: Page, path: str) -> None:
    answer = page.goto(path)
    assert answer
    assert not re.search(r"<script(?![^>]* src=)|<script[^>]*>[^<]| on\w+=|javascript:", answer.text())
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")


def test_keys_lead_to_pages_and_to_the_search(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("button", name="Keys")).to_be_visible()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("search")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.keyboard.press("?")
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    page.keyboard.press("2")
    expect(page).to_have_url(re.compile("/containers$"))
    expect(page.locator("tbody tr").first).to_be_visible()
    page.keyboard.press("/")
    expect(page.locator("[data-search]")).to_be_focused()
    page.keyboard.type("3?t")
    expect(page.locator("[data-search]")).to_have_value("3?t")


@pytest.mark.parametrize("path", ["/", "/containers"])
def test_a_table_is_sorted_by_the_keyboard(page: Page, path: str) -> None:
    page.goto(f"{path}?sort=constructor")
    head = page.get_by_role("columnheader", name=re.compile("^CPU( [▲▼])?$"))
    expect(page.get_by_role("columnheader", name="Host ▲")).to_have_attribute("aria-sort", "ascending")
    head.get_by_role("button").focus()
    for direction, sort in (("descending", "-cpu_percentage"), ("ascending", "cpu_percentage")):
        page.keyboard.press("Enter")
        expect(head).to_have_attribute("aria-sort", direction)
        expect(page).to_have_url(f"{path}?sort={sort}")
        expect(page.locator("th[aria-sort]:not([aria-sort=none])")).to_have_count(1)
    page.go_back()
    expect(head).to_have_attribute("aria-sort", "descending")
    until(lambda: in_order(page.locator("tbody td.cpu_percentage").all_inner_texts()))


def in_order(percentages: list[str]) -> bool:
    """Whether they are many, and the greatest is first."""
    values = [float(text.split()[0]) for text in percentages]
    return len(values) > 1 and values == sorted(values, reverse=True)


def test_theme_and_language_are_switched_and_kept(page: Page) -> None:
    page.goto("/")
    for theme in ("light", "dark"):
        page.get_by_role("button", name="Theme").click()
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="한국어").click()
    expect(page.locator("h1")).to_have_text("전체 현황")
    page.goto("/containers")
    expect(page.locator("h1")).to_have_text("컨테이너")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background
    page.get_by_role("button", name="English").click()
    expect(page.locator("h1")).to_have_text("Containers")


def test_times_are_the_viewers_with_the_servers_on_hover(browser: Browser, console: Console) -> None:
    with opened(browser, console, timezone_id="America/New_York") as page:
        page.goto("/")
        expect(page.locator("#zone")).to_have_text("times in America/New_York")
        seen = page.locator("tbody td.last_seen").first
        expect(seen).to_have_attribute("title", re.compile(r"server: .* \(Asia/Seoul\)\s+UTC .*Z"))


def test_paper_has_the_content_alone(page: Page) -> None:
    page.goto("/")
    expect(page.locator("tbody tr").first).to_be_visible()
    for _ in range(2):
        page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.emulate_media(media="print")
    for hidden in ("nav", "#switches", "#state", ".tools"):
        expect(page.locator(hidden).first).to_be_hidden()
    expect(page.locator("tbody tr").first).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 35, 44)"


@pytest.mark.parametrize("path", ["/hosts/1", "/compare", "/events"])
def test_paper_tells_the_span_and_when_it_was_looked_at(page: Page, path: str) -> None:
    page.goto(f"{path}?range=24h")
    expect(page.locator("#state")).to_contain_text("last updated")
    told = page.locator(".paper")
    for line in told.all():
        expect(line).to_be_hidden()
    page.emulate_media(media="print")
    expect(told.first).to_have_text(re.compile(r"From (.* 20\d\d, .*) to (.* 20\d\d, .*)"))
    expect(told.last).to_have_text(re.compile(r"up to date: .* 20\d\d, .*"))
    for line in told.all():
        expect(line).to_be_visible()
    expect(page.locator(".picker button").first).to_be_hidden()


@pytest.mark.parametrize(
    "path",
    [
        "/nosuch",
        "/hosts/abc",
        "/hosts/0",
        "/hosts/9999999999999999",
        "/hosts/1/containers/",
        "/hosts/1/containers/%E0%A4",
        "/%zz",
    ],
)
def test_an_address_that_leads_nowhere_leads_to_the_fleet(page: Page, console: Console, path: str) -> None:
    console.tolerated |= {404, 400}
    page.goto(path)
    expect(page.locator("h1")).to_have_text("Nothing here")
    expect(page.locator("#switches button").first).to_be_visible()
    expect(page.locator("#state")).to_be_hidden()
    assert faults(page) == []
    page.get_by_role("link", name="To the fleet").click()
    expect(page.locator("tbody tr").first).to_be_visible()


@pytest.mark.parametrize("path", ["/hosts/99999", "/hosts/99999/containers/app-0"])
def test_a_host_that_is_not_there_is_asked_for_once(page: Page, console: Console, path: str) -> None:
    console.tolerated.add(404)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.install()
    page.goto(path)
    expect(page.locator(".empty")).to_contain_text("There is no such host")
    expect(page.locator("#page")).not_to_contain_text("reports no containers")
    expect(page.locator("#state")).to_have_text("The server answers: no such host.")
    page.clock.run_for(60_000)
    assert len([url for url in asked if url.endswith("/api/hosts/99999")]) == 1
    page.get_by_role("link", name="To the fleet").click()
    expect(page.locator("tbody tr").first).to_be_visible()


def test_a_page_that_asks_for_nothing_notices_that_the_server_is_away(page: Page, console: Console) -> None:
    console.tolerated.add(NO_ANSWER)
    page.clock.install()
    page.goto("/compare?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z")
    state = page.locator("#state")
    expect(state).to_have_attribute("data-state", "live")
    page.context.set_offline(True)
    page.clock.run_for(25_000)
    expect(state).to_have_attribute("data-state", "away")
    page.context.set_offline(False)
    page.clock.run_for(45_000)
    expect(state).to_have_attribute("data-state", "live")


def asked_again(page: Page, console: Console, path: str, refused: str, seconds: int) -> int:
    """How often a page asks again, within so many seconds, for a part that is refused from the start."""
    console.tolerated.add(503)
    asked: list[str] = []
    page.on("request", lambda request: asked.extend([request.url] * (f"{refused}?" in request.url)))
    page.route(f"**{refused}?*", lambda route: route.fulfill(status=503))
    page.clock.install()
    page.goto(path)
    expect(page.locator("#state")).to_have_attribute("data-state", "away")
    before = len(asked)
    for _ in range(seconds):
        page.clock.run_for(1_000)
        page.evaluate("fetch('/health/live')")
    return len(asked) - before


def test_what_fails_is_asked_for_more_seldom(page: Page, console: Console) -> None:
    """After 10, 30 and 70 seconds, though the server is there."""
    assert 1 <= asked_again(page, console, "/events", "/api/events", 60) <= 4


def test_what_fails_is_not_asked_for_at_the_pace_of_what_does_not(page: Page, console: Console) -> None:
    assert asked_again(page, console, "/hosts/1", "/api/history", 50) <= 1


def test_a_container_whose_name_is_no_encoding_is_said_not_to_be_there(page: Page) -> None:
    page.goto("/hosts/1/containers/%zz")
    expect(page.locator("h1")).to_have_text("%zz")
    expect(page.locator(".warning")).to_contain_text("This host reports no container of this name")
