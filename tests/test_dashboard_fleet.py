"""The fleet's page in a real browser: what it shows, what one does with it, and how it lives on."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard import CONTAINERS, GONE, HOSTS, NO_ANSWER, Console, Fleet, faults, one, opened
from tests.intake import until
from tests.service import Service, report

pytestmark = [pytest.mark.dashboard, pytest.mark.slow]


@pytest.fixture
def strangers(fleet: Fleet) -> Iterator[None]:
    """Hosts that a test reports for go with it."""
    yield
    for host in fleet.service.data("/api/hosts"):
        if host["host_name"] not in {*HOSTS, GONE}:
            fleet.service.client.delete(f"/api/hosts/{host['id']}")
    # Pages are shown the snapshot of before for a while.
    until(lambda: {host["host_name"] for host in fleet.service.data("/api/fleet")["hosts"]} <= {*HOSTS, GONE})


def names(page: Page) -> list[str]:
    return page.locator("tbody th").all_inner_texts()


def test_shows_the_fleet_at_a_glance(page: Page) -> None:
    page.goto("/")
    cards = page.locator(".card")
    expect(cards.nth(0)).to_contain_text(f"Hosts online{len(HOSTS)}1 offline")
    expect(cards.nth(1)).to_contain_text(f"Containers running{len(HOSTS) * (len(CONTAINERS) - 1)}{len(HOSTS)} exited")
    expect(cards.nth(2)).to_contain_text(f"of {8 * len(HOSTS)} cores")
    expect(page.locator("#state")).to_contain_text("Live, last updated")
    expect(page.get_by_role("list", name="All hosts").get_by_role("link")).to_have_count(len(HOSTS) + 1)
    expect(page.locator("tbody tr .spark path[d^=M]")).to_have_count(len(HOSTS) + 1)
    expect(page.locator(".happened")).to_contain_text("web-1 / app-4 running → exited")


def test_asks_for_nothing_twice_at_first(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url)._replace(scheme="", netloc="").geturl()))
    page.goto("/", wait_until="networkidle")
    expect(page.locator(".happened li").first).to_be_visible()
    assert asked.count("/api/fleet") == 1  # every later one names the snapshot that is there
    paths = [urlsplit(one).path for one in asked]
    assert [paths.count(path) for path in ("/api/trends", "/api/events")] == [2, 1]


def test_a_cell_says_what_its_colour_says(page: Page) -> None:
    page.goto("/")
    cell = page.get_by_role("list", name="All hosts").get_by_role("link").first
    expect(cell).to_have_text("×")  # noqa: RUF001 - the sign of what is offline
    expect(cell).to_have_attribute("title", re.compile(rf"{GONE}: offline, CPU [\d.]+ %, memory [\d.]+ %"))


STATES = {
    "well-1": (["running", "running"], "", "2 of 2 containers running"),
    "partly-1": (["running", "restarting", "exited"], "◐", "1 of 3 containers running"),
    "idle-1": (["exited", "restarting"], "○", "none of 2 containers running"),
    "bare-1": ([], "", "no containers"),
}


@pytest.mark.usefixtures("strangers")
def test_the_state_of_a_cell_is_that_of_its_containers_too(page: Page, fleet: Fleet) -> None:
    for host, (states, _, _) in STATES.items():
        fleet.service.post(report(host, *[{"container_name": f"c-{n}", "status": s} for n, s in enumerate(states)]))
    page.goto("/")
    page.get_by_label("state", exact=True).check()
    expect(page).to_have_url(re.compile(r"/\?by=state$"))
    expect(page.locator("p.legend")).to_contain_text("× offline, ○ no container runs, ◐ some containers do not run")  # noqa: RUF001
    colours = {}
    for host, (_, sign, words) in STATES.items():
        cell = page.get_by_role("link", name=f"{host}: online, {words}, CPU")
        expect(cell).to_have_text(sign)
        expect(cell).to_have_attribute("title", re.compile(f"^{host}: online, {words}, CPU"))
        colours[host] = cell.evaluate("(cell) => getComputedStyle(cell).backgroundColor")
    assert colours["well-1"] == colours["bare-1"]
    assert len(set(colours.values())) == 3
    assert faults(page) == []
    page.get_by_label("CPU", exact=True).check()
    expect(page.locator("p.legend")).to_contain_text("! at 90 % or more")


def test_sorts_filters_and_remembers_it_in_the_address(page: Page) -> None:
    page.goto("/")
    expect(page.locator("tbody tr")).to_have_count(len(HOSTS) + 1)
    page.get_by_role("button", name="CPU", exact=True).click()
    expect(page.get_by_role("button", name="CPU ▼")).to_be_visible()
    cpu = [float(text.split()[0]) for text in page.locator("tbody td.cpu_percentage").all_inner_texts()]
    assert cpu == sorted(cpu, reverse=True)
    page.get_by_label("Status").select_option("online")
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("/")
    page.keyboard.type("WEB-3")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"sort=-cpu_percentage&q=WEB-3&status=online"))
    page.reload()
    expect(page.locator("tbody th")).to_have_text(["web-3"])
    page.go_back()
    expect(page.get_by_label("Status")).to_have_value("")
    expect(page.locator("tbody tr")).to_have_count(len(HOSTS) + 1)


@pytest.mark.usefixtures("strangers")
def test_what_nobody_knows_is_less_than_anything(page: Page, fleet: Fleet) -> None:
    fleet.service.post(report("bare-1"))
    page.goto("/?sort=cpu_percentage")
    expect(page.locator("tbody th").first).to_have_text("bare-1")
    fleet.service.client.delete(f"/api/hosts/{fleet.service.data('/api/hosts', host_name='bare-1')[0]['id']}")
    expect(page.locator("tbody tr")).to_have_count(len(HOSTS) + 1)
    assert names(page)[0] == min(HOSTS, key=lambda name: one(name, 0, [])["host"]["cpu_percentage"])


def test_arrow_keys_move_through_the_grid_and_enter_opens_a_host(page: Page) -> None:
    page.goto("/")
    grid = page.get_by_role("list", name="All hosts")
    grid.get_by_role("link").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(grid.locator("a:focus")).to_have_attribute("title", re.compile("^web-2:"))
    expect(grid.locator("[tabindex='0']")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("web-2")


def test_updates_itself_and_keeps_focus_and_scroll(page: Page, fleet: Fleet) -> None:
    page.set_viewport_size({"width": 1280, "height": 500})
    page.goto("/")
    link = page.locator("tbody a", has_text="web-5")
    link.focus()
    before = page.evaluate("scrollY")
    newest = one("web-5", 0, CONTAINERS)
    newest["host"]["cpu_percentage"] = 99.0
    fleet.service.post(newest)
    expect(page.locator("tbody tr", has_text="web-5").locator("td.cpu_percentage")).to_have_text("99.0 %")
    expect(link).to_be_focused()
    assert page.evaluate("scrollY") == before


def test_says_so_when_the_server_is_away(page: Page, console: Console) -> None:
    page.goto("/")
    expect(page.locator("#state")).to_contain_text("Live")
    console.tolerated.add(NO_ANSWER)
    page.context.set_offline(True)
    expect(page.locator("#state")).to_contain_text("The server cannot be reached; trying again. What is shown is of")
    page.context.set_offline(False)
    expect(page.locator("#state")).to_contain_text("Live", timeout=30_000)


def test_a_search_without_a_hit_leads_back(page: Page) -> None:
    page.goto("/?q=zzzz")
    expect(page.locator(".empty", has_text="No host fits.")).to_be_visible()
    page.get_by_role("button", name="Show all hosts").click()
    expect(page.locator("tbody tr")).to_have_count(len(HOSTS) + 1)
    expect(page).to_have_url(re.compile(r"/$"))


@pytest.mark.parametrize("query", ["status=weird", "rows=0.5", "rows=-3&status=constructor"])
def test_what_an_address_cannot_ask_for_is_as_usual(page: Page, query: str) -> None:
    page.goto(f"/?{query}")
    expect(page.locator("tbody tr")).to_have_count(len(HOSTS) + 1)
    expect(page.get_by_label("Status")).to_have_value("")
    page.get_by_role("button", name="CPU", exact=True).click()
    expect(page).to_have_url("/?sort=-cpu_percentage")


def test_sums_that_no_host_tells_are_left_out(browser: Browser, sqlite: Service) -> None:
    sqlite.post(report("bare-1"))
    with opened(browser, Console(sqlite.url)) as page:
        page.goto("/")
        expect(page.locator(".card").nth(0)).to_contain_text("Hosts online1")
        expect(page.locator(".card").nth(2)).not_to_contain_text("cores")
