"""The comparing page in a real browser: two moments, and lines beside each other."""

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.dashboard import GONE, HOSTS, WIDTHS, Fleet, altered, faults, look_again
from tests.intake import until

pytestmark = [pytest.mark.dashboard, pytest.mark.slow]
SEARCH = "Add a host or container: name, or host/container"


def ids(fleet: Fleet) -> list[int]:
    return [fleet.service.data("/api/hosts", host_name=name)[0]["id"] for name in HOSTS]


def part(page: Page, title: str) -> Locator:
    """The rows of a table by its heading."""
    return page.get_by_role("region", name=title).locator("tbody tr")


def chosen(page: Page) -> Locator:
    return page.get_by_role("list", name="Chosen").locator("a")


def test_shows_what_changed_between_two_moments(page: Page) -> None:
    page.goto("/compare?range=1h")
    told = page.get_by_text(re.compile(r"one host changed its state, 6 containers changed status or image\.$"))
    expect(told).to_be_visible()
    expect(part(page, "Hosts whose state changed (1)")).to_have_text([f"{GONE}online → offline"])
    rows = part(page, "Containers whose status or image changed (6)")
    expect(rows.first).to_contain_text("web-1 / app-4running → exited")
    expect(part(page, "Biggest changes in CPU of hosts").first).to_contain_text(re.compile(r"[+−][\d.]+ points$"))  # noqa: RUF001
    page.get_by_role("combobox", name="Only of this host").press_sequentially("web-3")
    page.get_by_role("option", name="web-3").click()
    expect(rows).to_have_count(0)
    expect(part(page, "Containers whose status or image changed (1)")).to_contain_text(["web-3 / app-4"])
    expect(page).to_have_url(re.compile(r"range=1h&host=\d+$"))


def test_a_day_without_reports_says_what_to_do(page: Page, fleet: Fleet) -> None:
    page.goto("/compare")
    expect(page.get_by_text("choose a shorter span")).to_be_visible()
    expect(part(page, f"Hosts that appeared ({len(fleet.service.data('/api/hosts'))})")).not_to_have_count(0)
    expect(page.get_by_role("button", name="24 h")).to_have_attribute("aria-pressed", "true")


def test_lines_are_chosen_by_their_names_and_are_in_the_address(page: Page, fleet: Fleet) -> None:
    first = ids(fleet)[0]
    page.goto("/compare?range=1h")
    expect(page.get_by_text("Nothing is chosen yet")).to_be_visible()
    search = page.get_by_role("combobox", name=SEARCH)
    search.press_sequentially("web-1/APP-2")
    expect(page.get_by_role("option")).to_have_text([re.compile("web-1 / app-2$")])
    search.press("Enter")
    expect(chosen(page)).to_have_text(["web-1 / app-2"])
    search.press_sequentially("web-")
    expect(page.get_by_role("option")).to_have_count(len(HOSTS))
    search.press("ArrowDown")
    search.press("ArrowDown")
    search.press("Enter")
    expect(chosen(page)).to_have_text(["web-1 / app-2", "web-2"])
    expect(page).to_have_url(re.compile(rf"of={first}%2Fapp-2&of=\d+$"))
    values = page.get_by_role("region", name="Values over the span").locator("tbody tr")
    expect(values.first).to_contain_text(re.compile(r"web-1 / app-2[\d.]+ %[\d.]+ %[\d.]+ %$"))
    expect(page.locator(".chart .scatterlayer .trace")).to_have_count(2)
    page.get_by_role("radio", name="memory").check()
    expect(values.first).to_have_text("web-1 / app-20.8 GiB0.8 GiB0.8 GiB")
    page.get_by_role("button", name="Remove web-1 / app-2").click()
    expect(chosen(page)).to_have_text(["web-2"])
    expect(search).to_be_focused()
    page.go_back()
    expect(values).to_have_count(2)


def test_more_than_eight_lines_are_refused_in_words(page: Page, fleet: Fleet) -> None:
    host = ids(fleet)[0]
    page.goto("/compare?range=1h&" + "&".join(f"of={of}" for of in [*ids(fleet), f"{host}/app-0", f"{host}/app-1"]))
    expect(chosen(page)).to_have_count(8)
    page.get_by_role("combobox", name=SEARCH).press_sequentially("web-1/app-3")
    expect(page.get_by_role("option").first).to_contain_text("web-1 / app-3")
    page.get_by_role("option").first.click()
    expect(page.get_by_text("There is room for 8; remove one first.")).to_be_visible()
    page.goto(f"{page.url}&of={host}/app-2")
    expect(page.get_by_text("The address names 9; the first 8 are shown.")).to_be_visible()
    expect(chosen(page)).to_have_count(8)


@pytest.mark.parametrize("query", ["metric=constructor", "rows=0.5", "rows=-2", "host=zzz"])
def test_what_an_address_cannot_ask_for_is_as_usual(page: Page, fleet: Fleet, query: str) -> None:
    page.goto(f"/compare?range=1h&of={ids(fleet)[0]}&{query}")
    expect(part(page, "Containers whose status or image changed (6)")).to_have_count(len(HOSTS))
    expect(page.locator(".chart .scatterlayer .trace")).to_have_count(1)
    expect(page.get_by_role("radio", name="CPU")).to_be_checked()
    expect(page.locator("#state")).to_have_attribute("data-state", "live")


def test_a_row_keeps_the_focus(page: Page) -> None:
    def risen(data: Any) -> None:  # noqa: ANN401 - JSON
        data["movers"]["cpu_percentage"][0]["to"]["cpu_percentage"] = 1234.5

    page.goto("/compare?range=1h")
    first = part(page, "Biggest changes in CPU of containers").first
    link = first.get_by_role("link").last
    link.focus()
    altered(page, "**/api/diff?*", risen)
    look_again(page)
    expect(first).to_contain_text("1,234.5 %")
    expect(link).to_be_focused()


def test_is_usable_by_everybody_at_any_width(page: Page, fleet: Fleet) -> None:
    page.goto("/compare?range=1h&" + "&".join(f"of={of}" for of in ids(fleet)))
    expect(page.locator(".chart .scatterlayer .trace")).to_have_count(len(HOSTS))
    expect(part(page, "Containers whose status or image changed (6)")).to_have_count(len(HOSTS))
    for width in (WIDTHS["wall"], WIDTHS["phone"]):
        page.set_viewport_size({"width": width, "height": 900})
        until(lambda: page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
    assert faults(page) == []
