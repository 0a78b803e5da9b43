"""A made-up fleet behind a running service, and pages of it in a real browser."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, expect, sync_playwright

from database import rollups
from services import jobs
from tests.deployed import program
from tests.intake import until
from tests.service import Service, report

MINUTES = 60
LONG_AGO = "2026-01-01 00:00:00.000000"
HOSTS = [f"web-{number}" for number in range(1, 7)]
GONE = "gone-1"
CONTAINERS = [f"app-{number}" for number in range(5)]
# What the browser itself says in the console of an answer that is no success, and of none at all.
STATUS = re.compile(r"status of (\d{3})|net::ERR_INTERNET_(DISCONNECTED)")
NO_ANSWER = 0
PATIENCE_MS = 30_000
WIDTHS = {"phone": 390, "wall": 1920}


@dataclass(frozen=True)
class Fleet:
    """A running service with hosts that report once a minute, and one that stopped half an hour ago."""

    service: Service

    @property
    def url(self) -> str:
        return self.service.url


@dataclass
class Console:
    """What went wrong in a page; `tolerated` are statuses that a test means to be answered."""

    origin: str
    tolerated: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.wrong.append(f"{error}"))
        page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        status = STATUS.search(message.text)
        if message.type == "error" and not (status and int(status[1] or NO_ANSWER) in self.tolerated):
            self.wrong.append(message.text)

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https") and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self.wrong.append(f"asked elsewhere: {request.url}")


@contextmanager
def browsing() -> Iterator[Browser]:
    """Chromium; without its sandbox, because root runs the tests."""
    with sync_playwright() as player:
        expect.set_options(timeout=PATIENCE_MS)
        browser = player.chromium.launch(executable_path=program("chromium"), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, console: Console, **options: Any) -> Iterator[Page]:  # noqa: ANN401 - Playwright's own
    """A page with a profile of its own that must not say anything in its console, nor ask another server."""
    usual = {"viewport": {"width": 1280, "height": 900}, "locale": "en-US", "timezone_id": "Asia/Seoul"}
    context = browser.new_context(**{**usual, **options}, base_url=console.origin)
    context.set_default_timeout(PATIENCE_MS)
    try:
        page = context.new_page()
        console.watch(page)
        yield page
        assert console.wrong == []
    finally:
        context.close()


def one(host: str, minute: int, names: list[str]) -> dict[str, Any]:
    """A host's report of so many minutes ago, a little different each minute."""
    swing = (minute * 7 + len(host) * 3 + int(host[-1]) * 11) % 40
    containers = [
        {
            "container_name": name,
            "cluster_name": "blue",
            "node_name": host,
            "engine_type": "docker",
            "status": "exited" if name == CONTAINERS[-1] and minute < MINUTES // 2 else "running",
            "cpu_percentage": swing / 4 + place,
            "memory_usage": 0.25 * (place + 1),
            "memory_percentage": 2.5 * (place + 1),
            "image": "registry.example/app:1",
        }
        for place, name in enumerate(names)
    ]
    sample = {"cpu_percentage": 20.0 + swing, "cpu_cores": 8, "cpu_threads": 16, "memory_usage": 8.0 + swing / 10}
    return {**report(host, *containers, **sample, memory_percentage=50.0 + swing / 4), "age_s": minute * 60.0 + 1}


@contextmanager
def at_work(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Jobs that come every tenth of a second, and make a minute at once."""
    for name in ("ROLL_EVERY_S", "PRESENCE_EVERY_S"):
        patch.setattr(jobs, name, 0.1)
    patch.setattr(rollups, "SETTLE", timedelta(seconds=-3_600))
    yield


def filled(service: Service) -> Fleet:
    """An hour of reports of each host, the oldest first."""
    for minute in range(MINUTES, -1, -1):
        hosts = [*HOSTS, *([GONE] if minute > MINUTES // 2 else [])]
        answer = service.post({"reports": [one(host, minute, CONTAINERS) for host in hosts]}, "/api/resources/batch")
        assert {result["resultCode"] for result in answer.json()["data"]["results"]} == {"0"}
    service.sql(f"UPDATE hosts SET last_seen = '{LONG_AGO}', expected_by = NULL WHERE host_name = '{GONE}'")
    # The others may be looked at for as long as the tests take.
    service.sql(f"UPDATE hosts SET expected_by = '2100-01-01 00:00:00.000000' WHERE host_name <> '{GONE}'")
    until(lambda: len(service.data("/api/events", kind="status")) == len(HOSTS))
    return Fleet(service)


def look_again(page: Page) -> None:
    """Makes a page do at once what it does every few seconds, as when somebody turns to its tab."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def drawn_again(page: Page) -> None:
    """Makes a page look at once, as it does every half minute, and waits until its charts are drawn anew."""
    page.evaluate("performance.clearMeasures('charts')")
    look_again(page)
    page.wait_for_function("() => performance.getEntriesByName('charts').length")


def altered(page: Page, where: str, change: Callable[[Any], object]) -> None:
    """Lets `change` alter the data of each answer from there before the page gets it."""

    def pass_on(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        change(body["data"])
        route.fulfill(response=answer, json=body)

    page.route(where, pass_on)


def faults(page: Page) -> list[str]:
    """What keeps people from using a page: axe's findings that are serious or worse, and where."""
    found = Axe().run(page).response["violations"]
    serious = [violation for violation in found if violation["impact"] in ("serious", "critical")]
    return [f"{rule['id']}: {[node['target'] for node in rule['nodes']][:3]}" for rule in serious]
