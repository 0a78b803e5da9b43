"""A container's page in a real browser: what it is, what it was, and what happened to it."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard import WIDTHS, Fleet, faults
from tests.intake import until
from tests.service import Service, report

pytestmark = [pytest.mark.dashboard, pytest.mark.slow]
HOSTILE = "a/\"b\"/<img src=x onerror=alert(1)>&%2F'컨테이너' 😀?#x"


def reported(service: Service, host: str, *states: list[dict[str, Any]]) -> int:
    """Reports a host with containers in one state after the other, 20 s apart; gives the host's id."""
    ages = [20.0 * place + 1 for place in range(len(states))]
    reports = [{**report(host, *shown), "age_s": age} for shown, age in zip(states, reversed(ages), strict=True)]
    answer = service.post({"reports": reports}, "/api/resources/batch")
    assert {result["resultCode"] for result in answer.json()["data"]["results"]} == {"0"}
    return int(service.data("/api/hosts", host_name=host)[0]["id"])


def one(name: str, status: str = "running", engine: str = "docker") -> dict[str, Any]:
    return {"container_name": name, "status": status, "engine_type": engine, "cpu_percentage": 5, "memory_usage": 1}


def path(host: int, name: str) -> str:
    return f"/hosts/{host}/containers/{quote(name, safe='')}"


def test_shows_what_it_is_and_how_long_it_was_in_each_state(page: Page, fleet: Fleet) -> None:
    host = fleet.service.data("/api/hosts", host_name="web-1")[0]["id"]
    page.goto(path(host, "app-4"))
    expect(page.get_by_role("heading", level=1)).to_have_text("app-4")
    expect(page.get_by_role("link", name="web-1")).to_have_attribute("href", f"/hosts/{host}")
    expect(page.locator(".facts div").first).to_have_text("Statusexited")
    expect(page.locator(".chart .scatterlayer .trace")).not_to_have_count(0)
    rows = page.locator(".life tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text(re.compile(r"running → exitedexited for (29|[34]\d)m( \d+s)? so far"))
    expect(rows.nth(1)).to_contain_text(re.compile(r"was seen for the first timerunning for (30|31)m( \d+s)?$"))
    expect(page.get_by_text("All 2 events")).to_be_visible()


def test_events_are_marked_at_their_moment_in_the_zone_of_the_viewer(page: Page, fleet: Fleet) -> None:
    host = fleet.service.data("/api/hosts", host_name="web-2")[0]["id"]
    page.goto(path(host, "app-4"))
    expect(page.locator(".chart .scatterlayer")).to_have_count(2)
    # Plotly counts the ms of a zone's clock as if it were UTC.
    marks = "[...document.querySelectorAll('.chart')].map((one) => one.calcdata.at(-1).map((mark) => mark.x))"
    [marked, *_], zone_ms = page.evaluate(marks), page.evaluate("new Date().getTimezoneOffset() * 60000")
    expect(page.locator(".life time")).not_to_have_count(0)
    told = page.locator(".life time").evaluate_all("all => all.map((one) => Date.parse(one.dateTime))")
    assert zone_ms == -9 * 3_600_000
    assert round(marked[0] + zone_ms) == told[0]


def test_no_button_sends_a_chart_elsewhere(page: Page, fleet: Fleet) -> None:
    page.goto(path(fleet.service.data("/api/hosts", host_name="web-2")[0]["id"], "app-4"))
    buttons = page.locator(".modebar-btn")
    expect(buttons).not_to_have_count(0)
    titles = buttons.evaluate_all("all => all.map((one) => one.dataset.title)")
    assert set(titles) == {"Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"}
    assert page.locator(".chart").first.evaluate("one => one._context.plotlyServerURL") == ""


def test_a_name_of_any_letters_leads_to_its_page(page: Page, fleet: Fleet) -> None:
    host = reported(fleet.service, "odd<b>host", [one(HOSTILE)])
    page.goto(f"/hosts/{host}")
    page.get_by_role("link", name=HOSTILE).click()
    expect(page).to_have_url(re.compile(r"/containers/a%2F"))
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(page.locator(".facts div").first).to_have_text("Statusrunning")
    expect(page.locator("main img")).to_have_count(0)
    page.get_by_role("link", name="Compare with others").click()
    expect(page.get_by_role("list", name="Chosen").locator("a")).to_have_text(f"odd<b>host / {HOSTILE}")


def test_a_name_that_is_a_step_in_a_path_leads_to_no_wrong_page(page: Page, fleet: Fleet) -> None:
    host = reported(fleet.service, "dots", [one("."), one(".."), one("...")])
    for address in (f"/hosts/{host}", "/containers?host_name=dots"):
        page.goto(address)
        names = page.locator("tbody tr .container_name a")
        expect(names).to_have_text([".", "..", "..."])
        assert [link.get_attribute("href") for link in names.all()] == [None, None, path(host, "...")]


def twins(fleet: Fleet) -> int:
    """A host with one name in two engines, once it has its events: a page looks for them twice a minute."""
    host = reported(fleet.service, "twins", [one("db"), one("db", "paused", "podman")])
    until(lambda: len(fleet.service.data("/api/events", host_id=host)) == 2)
    return host


def test_of_two_engines_with_the_same_name_one_is_chosen(page: Page, fleet: Fleet) -> None:
    host = twins(fleet)
    page.goto(path(host, "db"))
    engines = page.get_by_role("navigation", name="Engine")
    expect(engines.locator("[aria-current]")).to_have_text("docker")
    engines.get_by_role("link", name="podman").click()
    expect(page.locator(".facts div").first).to_have_text("Statuspaused")
    page.get_by_role("button", name="6 h").click()
    expect(page).to_have_url(re.compile(r"\?engine=podman&range=6h$"))
    expect(page.locator(".life tbody tr")).to_have_count(1)


def test_says_clearly_that_it_is_gone(page: Page, fleet: Fleet) -> None:
    host = reported(fleet.service, "leaves", [one("old"), one("stays")], [one("stays")])
    until(lambda: fleet.service.data("/api/events", host_id=host, kind="vanished"))
    page.goto(path(host, "old"))
    expect(page.locator(".warning")).to_contain_text("It vanished at")
    expect(page.locator(".life tbody tr").first).to_contain_text(re.compile(r"vanishedabsent for \d+s so far"))
    expect(page.get_by_role("heading", name="Details")).to_be_hidden()
    page.goto(path(host, "never"))
    expect(page.locator(".warning")).to_contain_text("This host reports no container of this name")


def test_more_of_a_long_life_is_fetched_page_by_page(page: Page, fleet: Fleet) -> None:
    turns = [[one("busy", ("running", "paused")[turn % 2])] for turn in range(71)]
    host = reported(fleet.service, "lively", *turns)
    until(lambda: len(fleet.service.data("/api/events", host_id=host, limit=1_000)) == len(turns))
    page.goto(path(host, "busy"))
    rows = page.locator(".life tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Show earlier events").click()
    expect(rows).to_have_count(len(turns))
    expect(rows.last).to_contain_text("running for 20s")
    expect(page.get_by_role("button", name="Show earlier events")).to_be_hidden()


def test_is_usable_by_everybody_at_any_width(page: Page, fleet: Fleet) -> None:
    host = twins(fleet)
    page.goto(path(host, "db"))
    expect(page.locator(".chart .scatterlayer")).not_to_have_count(0)
    expect(page.locator(".life tbody tr")).not_to_have_count(0)
    for width in (WIDTHS["wall"], WIDTHS["phone"]):
        page.set_viewport_size({"width": width, "height": 900})
        until(lambda: page.evaluate("document.documentElement.scrollWidth <= innerWidth"))
    assert faults(page) == []
