"""What the pages of a server say that nobody has reported to: how to start an agent, and where its token comes from."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard import Console, faults, opened
from tests.guarded import Guarded, guarding
from tests.people import PASSWORD, SECRET, person
from tests.service import Service, report, running, settings_for

pytestmark = [pytest.mark.dashboard, pytest.mark.security, pytest.mark.slow]
PAGES = {
    "/": "No host has reported yet.",
    "/containers": "No container has been reported yet.",
    "/events": "No host has reported yet, so nothing has happened.",
    "/compare": "No host has reported yet, so there is nothing to compare.",
    "/agents": "No agent has been heard of yet;",
}
HINT = "Reports without a token are refused here"


@pytest.fixture(scope="module")
def strict(new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A service that asks for tokens, with an admin and without a host."""
    given = {"SECURITY_MODE": "enforce", "SECURITY_JWT_SECRET": SECRET}
    with guarding(settings_for(new_url("sqlite"), tmp_path_factory.mktemp("strict"), **given)) as one:
        person(one.url, "ann", "admin")
        yield one


def says(page: Page, path: str, command: str) -> None:
    """What stands there instead of data, once it is known that there is none."""
    told = page.locator(".empty", has_text=PAGES[path])
    expect(told).to_be_visible()
    expect(told.locator("pre")).to_have_text(command)
    assert "er span" not in page.locator("main").inner_text(), "no span has anything"
    assert faults(page) == []


@pytest.mark.parametrize("path", PAGES)
def test_says_how_an_agent_is_started(browser: Browser, sqlite: Service, path: str) -> None:
    with opened(browser, Console(sqlite.url)) as page:
        with page.expect_response("**/health"):
            page.goto(path)
        says(page, path, f"python -m agent --server {sqlite.url}")
        expect(page.get_by_text(HINT)).to_have_count(1)
        expect(page.get_by_text(HINT)).to_be_hidden()


@pytest.mark.parametrize("path", PAGES)
def test_says_where_a_token_is_made_that_the_agent_needs(browser: Browser, strict: Guarded, path: str) -> None:
    with opened(browser, Console(strict.service.url, {401})) as page:
        page.goto(path)
        page.get_by_label("Name", exact=True).fill("ann")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text(HINT)).to_be_visible()
        says(page, path, f"AGENT_TOKEN=rms_… python -m agent --server {strict.service.url}")
        page.get_by_role("link", name="New token").click()
        expect(page.get_by_role("button", name="New token")).to_be_visible()


def test_does_not_tell_of_memory_that_no_host_told_of(
    browser: Browser, new_url: Callable[[str], str], tmp_path: Path
) -> None:
    with running(settings_for(new_url("sqlite"), tmp_path)) as one, opened(browser, Console(one.url)) as page:
        one.post(report("web-1", cpu_percentage=12.5, memory_usage=4))
        page.goto("/")
        card = page.locator(".sums .card", has_text="Memory of the fleet")
        expect(card.locator("dd b")).to_have_text("–")  # noqa: RUF001 - the sign of what nobody knows
        expect(card.locator("dd small")).to_have_text("")
        assert faults(page) == []
