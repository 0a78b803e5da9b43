"""The lists of all containers and of all events in a real browser."""

import csv
import io
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard import WIDTHS, Console, Fleet, faults, opened
from tests.intake import until
from tests.service import report

pytestmark = [pytest.mark.dashboard, pytest.mark.slow]

MANY = 130
ODD = ["=1+1", "<img src=x onerror=alert(1)>", "서버"]
REFRESH_MS = 6_000


@pytest.fixture(scope="module", autouse=True)
def _crowd(fleet: Fleet) -> None:
    """A host with more containers than a page has rows, and one with names that are more than names."""
    many = [
        {
            "container_name": f"svc-{number:03}",
            "cluster_name": "deep",
            "status": "running",
            "cpu_percentage": number % 50,
        }
        for number in range(MANY)
    ]
    odd = [{"container_name": name, "cluster_name": "odd", "status": "paused", "image": "@x"} for name in ODD]
    fleet.service.post(report("stack-1", *many))
    fleet.service.post(report("odd-1", *odd))
    until(lambda: len(fleet.service.data("/api/events", host_name="stack-1", limit=1_000)) == MANY)


def rows(page: Page) -> list[str]:
    """The containers of the page that is shown."""
    return page.locator("tbody th").all_inner_texts()


def shown(page: Page, count: str) -> None:
    """Waits for what the count says."""
    expect(page.locator("p.count")).to_have_text(re.compile(count))


def state(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def saved(page: Page) -> list[list[str]]:
    """The rows of the file that the button gives."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    expect(page.locator(".tools .note")).to_have_text(f"Downloaded as {download.value.suggested_filename}")
    text = download.value.path().read_text(encoding="utf-8")
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def test_containers_are_found_by_name_status_and_cluster_and_the_back_button_works(page: Page) -> None:
    page.goto("/containers?host_name=stack-1")
    shown(page, "^1 to 100 of 130 ")
    page.get_by_label("Search by container name").fill("svc-00")
    shown(page, "^1 to 10 of 10 ")
    page.locator("input[name=host_name]").fill("")
    page.locator("input[name=cluster_name]").fill("odd")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No container fits.")).to_be_visible()
    assert state(page) == {"q": ["svc-00"], "cluster_name": ["odd"]}
    page.go_back()
    shown(page, "^1 to 10 of 10 ")
    page.get_by_role("button", name="Remove all filters").click()
    page.locator("select[name=status]").select_option("paused")
    shown(page, "^1 to 3 of 3 ")
    assert sorted(rows(page)) == sorted(ODD)
    assert page.locator("tbody img").count() == 0
    href = page.get_by_role("link", name="서버").get_attribute("href")
    assert href is not None
    assert re.fullmatch(r"/hosts/\d+/containers/%EC%84%9C%EB%B2%84", href)


def test_several_tags_are_asked_for_together(page: Page, fleet: Fleet) -> None:
    for name, tags in (("web-1", ["prod", "eu"]), ("web-2", ["prod"])):
        [host] = fleet.service.data("/api/hosts", host_name=name)
        assert fleet.service.client.put(f"/api/hosts/{host['id']}/tags", json={"tags": tags}).status_code == 200
    page.goto("/containers?tag=prod")
    shown(page, "of 10 ")
    page.get_by_label("Tags of the host").first.fill("eu")
    page.keyboard.press("Enter")
    shown(page, "of 5 ")
    assert state(page) == {"tag": ["prod", "eu"]}
    page.get_by_role("button", name="Remove the tag eu").click()
    shown(page, "of 10 ")


def test_pages_lead_on_and_back_in_the_order_asked_for(page: Page, fleet: Fleet) -> None:
    asked = {"host_name": "stack-1", "sort": "-cpu_percentage"}
    expected = [one["container_name"] for one in fleet.service.data("/api/containers", **asked)]
    page.goto("/containers?host_name=stack-1&limit=50")
    page.get_by_role("button", name="CPU", exact=True).click()
    expect(page.get_by_role("columnheader", name="CPU")).to_have_attribute("aria-sort", "descending")
    expect(page.locator("tbody th").first).to_have_text(expected[0])
    found = rows(page)
    for words in ("^51 to 100 of 130 ", "^101 to 130 of 130 "):
        page.get_by_role("button", name="Next").click()
        shown(page, words)
        found += rows(page)
    assert found == expected
    expect(page.get_by_role("button", name="Next")).to_have_attribute("aria-disabled", "true")
    page.reload()
    shown(page, "^101 to 130 ")
    page.get_by_role("button", name="Previous").click()
    shown(page, "^51 to 100 ")
    assert rows(page) == expected[50:100]
    page.go_back()
    shown(page, "^101 to 130 ")
    page.get_by_role("button", name="First").click()
    shown(page, "^1 to 50 ")


def test_a_file_is_what_is_shown_of_all_pages(page: Page) -> None:
    page.goto("/containers?host_name=stack-1&sort=-cpu_percentage&limit=50")
    shown(page, "of 130 ")
    page.get_by_text("Columns", exact=True).click()
    for name in ("Memory", "Memory, GiB", "Image", "Cluster", "Reported"):
        page.get_by_role("checkbox", name=name, exact=True).uncheck()
    page.get_by_role("checkbox", name="Engine").check()
    names = ["Container", "Host", "Status", "CPU ▼", "Engine"]
    assert page.locator("thead th").all_inner_texts() == names
    page.evaluate("localStorage.setItem('resource-monitor-token', 'shown')")
    with page.expect_request(lambda request: request.headers.get("accept") == "text/csv") as request:
        head, *lines = saved(page)
    assert request.value.headers["authorization"] == "Bearer shown"
    assert head == ["container_name", "host_name", "status", "cpu_percentage", "engine_type"]
    assert len(lines) == MANY
    assert [line[0] for line in lines[:50]] == rows(page)
    page.goto("/containers?cluster_name=odd&columns=image")
    shown(page, "of 3 ")
    assert sorted(saved(page)) == sorted(
        [["container_name", "image"], *[[f"'{ODD[0]}", "'@x"], [ODD[1], "'@x"], [ODD[2], "'@x"]]]
    )


def test_a_refresh_leaves_scroll_and_focus(page: Page, fleet: Fleet) -> None:
    page.clock.install()
    page.goto("/containers?host_name=web-6")
    shown(page, "of 5 ")
    page.set_viewport_size({"width": 1280, "height": 420})
    link = page.get_by_role("link", name="app-2")
    link.focus()
    page.evaluate("scrollTo(0, 100)")
    containers = [{"container_name": f"app-{place}", "status": "restarting"} for place in range(5)]
    fleet.service.post(report("web-6", *containers))
    page.clock.run_for(REFRESH_MS)
    expect(page.get_by_role("cell", name="restarting")).to_have_count(5)
    expect(link).to_be_focused()
    assert page.evaluate("scrollY") == 100


def test_events_are_filtered_and_read_back_to_the_first(page: Page, fleet: Fleet) -> None:
    page.goto("/events?host_name=stack-1")
    shown(page, "^1 to 100,")
    expect(page.locator("#events li").first).to_contain_text("was seen for the first time")
    page.get_by_role("button", name="Older").click()
    shown(page, "^101 to 130,")
    page.get_by_role("button", name="Newer").click()
    shown(page, "^1 to 100,")
    assert len(saved(page)) == MANY + 1
    page.locator("input[name=container_name]").fill("svc-007")
    page.keyboard.press("Enter")
    shown(page, "^1 to 1,")
    assert state(page) == {"host_name": ["stack-1"], "container_name": ["svc-007"]}
    [event] = fleet.service.data("/api/events", host_name="stack-1", container_name="svc-007")
    expect(page.locator("#events time")).to_have_attribute("datetime", event["at"])
    page.get_by_label("Kind").select_option("vanished")
    expect(page.get_by_text("Nothing that fits happened")).to_be_visible()
    assert saved(page)[1:] == []
    page.go_back()
    shown(page, "^1 to 1,")


@pytest.mark.parametrize("kind", ["zzz", "constructor"])
def test_a_kind_of_event_that_there_is_not_is_none(page: Page, kind: str) -> None:
    page.goto(f"/events?kind={kind}&host_name=stack-1")
    shown(page, "^1 to 100,")
    expect(page.get_by_label("Kind")).to_have_value("")
    expect(page.locator("#state")).to_have_attribute("data-state", "live")


def test_columns_that_there_are_not_are_the_usual_ones(page: Page) -> None:
    page.goto("/containers?columns=zzz,constructor&sort=-zzz")
    expect(page.get_by_role("columnheader", name="Host ▲")).to_be_visible()
    expect(page.locator("thead th")).to_have_count(9)


def test_newer_events_do_not_move_what_is_read(page: Page, fleet: Fleet) -> None:
    names = [f"moved-{number}" for number in range(101, 180)]
    fleet.service.post(report("moved", *names))
    until(lambda: len(fleet.service.data("/api/events", host_name="moved")) == len(names))
    page.clock.install()
    page.goto("/events?host_name=moved")
    shown(page, f"^1 to {len(names)},")
    page.evaluate("scrollTo(0, 900)")
    read = page.locator("#events li").nth(40)
    before = read.bounding_box()
    name = read.locator("a").nth(1).inner_text()
    fleet.service.post(report("moved", *names[3:]))
    until(lambda: len(fleet.service.data("/api/events", kind="vanished", host_name="moved")) == 3)
    page.clock.run_for(REFRESH_MS)
    expect(page.locator("#events li").first).to_contain_text("vanished")
    moved = page.locator("#events li", has_text=f"{name} ").bounding_box()
    assert before is not None
    assert moved is not None
    assert abs(moved["y"] - before["y"]) < 2


LISTS = ["/containers?host_name=odd-1&tag=prod", "/containers?q=app-1", "/events?kind=first_seen&host_name=web-1"]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(("width", "theme", "language"), [("phone", "light", "ko"), ("wall", "dark", "en")])
def test_lists_are_for_everybody(  # noqa: PLR0917 - each a fixture, or one side of a reader
    browser: Browser, console: Console, path: str, width: str, theme: str, language: str
) -> None:
    scheme: dict[str, object] = {"color_scheme": theme, "locale": {"en": "en-US", "ko": "ko-KR"}[language]}
    with opened(browser, console, viewport={"width": WIDTHS[width], "height": 900}, **scheme) as page:
        page.goto(path)
        expect(page.locator("p.count")).not_to_be_empty()
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        assert faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
