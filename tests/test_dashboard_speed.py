"""What the dashboard costs with 1,000 hosts of 20 containers each: a browser's time and memory, the network."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, CDPSession, Page, Response, Route, expect

from services import fleet as snapshots
from tests.dashboard import Console, Fleet, opened
from tests.elapsed import within
from tests.service import Service, report, running, settings_for

pytestmark = [pytest.mark.dashboard, pytest.mark.slow, pytest.mark.timeout(300)]
HOSTS, CONTAINERS, PORTION = 1_000, 20, 100
FIRST_PAINT_MS, INTERACTIVE_MS = 1_000, 2_500
REFRESH_MS, REFRESHES = 100, 500
# A refresh leaves nothing behind; what the browser itself keeps in between is no more than this.
GROWTH_BYTES = 2_000_000
REQUESTS, BYTES, PERIOD_S, PERIODS = 5, 50_000, 5, 4
MONTH_MS, HOURS = 500, 720


Record = Callable[[str, object], None]


def put(service: Service, first: int, last: int, cpu: float, containers: int = 0) -> None:
    shown: list[dict[str, Any]] = [
        {"container_name": f"c-{number:02}", "status": "running", "cpu_percentage": 1.0} for number in range(containers)
    ]
    reports = [
        report(f"host-{number:04}", *shown, cpu_percentage=(cpu + number) % 100, memory_percentage=50.0, cpu_cores=8)
        for number in range(first, last)
    ]
    answer = service.post({"reports": reports}, "/api/resources/batch")
    assert {result["resultCode"] for result in answer.json()["data"]["results"]} == {"0"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("speed")
    with running(settings_for(f"sqlite:///{folder}/fleet.db", folder)) as service:
        for first in range(0, HOSTS, PORTION):
            put(service, first, first + PORTION, 0, CONTAINERS)
        yield Fleet(service)


def settled(page: Page) -> None:
    expect(page.locator("tbody tr")).to_have_count(100)
    expect(page.locator(".grid a")).to_have_count(HOSTS)


def test_a_thousand_hosts_are_there_at_once(browser: Browser, fleet: Fleet, record_property: Record) -> None:
    with opened(browser, Console(fleet.url)) as page:
        page.goto("/", wait_until="commit")
        settled(page)
        painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        usable = page.evaluate("performance.getEntriesByName('usable')[0].startTime")
    record_property("first contentful paint, ms", painted)
    record_property("interactive, ms", usable)
    within(painted, FIRST_PAINT_MS, "ms")
    within(usable, INTERACTIVE_MS, "ms")


def busy_s(session: CDPSession) -> float:
    """How long the page's main thread has worked so far."""
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["TaskDuration"])


def heap(session: CDPSession) -> int:
    session.send("HeapProfiler.collectGarbage")
    return int(session.send("Runtime.getHeapUsage")["usedSize"])


def refresh(page: Page) -> None:
    """As a page does that is seen again."""
    with page.expect_response("**/api/fleet?*"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@contextmanager
def measured(browser: Browser, fleet: Fleet) -> Iterator[tuple[Page, CDPSession]]:
    """The fleet's page, sorted by what changes, and its own figures."""
    with opened(browser, Console(fleet.url)) as page:
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        page.goto("/?sort=-cpu_percentage")
        settled(page)
        yield page, session


@pytest.fixture
def always_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look is at the database."""
    monkeypatch.setattr(snapshots, "KEPT_S", 0.0)


@pytest.mark.usefixtures("always_new")
def test_a_refresh_takes_little_of_the_page(browser: Browser, fleet: Fleet, record_property: Record) -> None:
    costs = []
    with measured(browser, fleet) as (page, session):
        page.wait_for_load_state("networkidle")
        for cpu in range(1, 6):
            put(fleet.service, 0, HOSTS // 2, 7.0 * cpu)
            before = busy_s(session)
            with page.expect_response("**/api/fleet?*"):
                pass  # of itself, every five seconds
            page.wait_for_timeout(300)
            costs.append(busy_s(session) - before)
    middle = sorted(costs)[len(costs) // 2] * 1000
    record_property(f"a refresh with {HOSTS // 2} changed hosts, ms", middle)
    within(middle, REFRESH_MS, "ms")


@pytest.mark.usefixtures("always_new")
def test_refreshes_leave_nothing(browser: Browser, fleet: Fleet, record_property: Record) -> None:
    with measured(browser, fleet) as (page, session):
        first = heap(session)
        for _ in range(REFRESHES):
            refresh(page)
        grown = heap(session) - first
    record_property(f"bytes after {REFRESHES} refreshes", grown)
    assert grown < GROWTH_BYTES


def test_an_open_page_asks_for_little(browser: Browser, fleet: Fleet, record_property: Record) -> None:
    asked: list[Response] = []
    with opened(browser, Console(fleet.url)) as page:
        page.goto("/")
        settled(page)
        page.wait_for_load_state("networkidle")
        page.on("response", lambda response: asked.append(response))  # noqa: PLW0108 - Playwright cannot hold a builtin
        for period in range(PERIODS):
            began = time.monotonic()
            half = period % 2 * HOSTS // 2
            put(fleet.service, half, half + HOSTS // 2, 10.0 * period + 5)
            page.wait_for_timeout(max(0, PERIOD_S - time.monotonic() + began) * 1000)
        sizes = [one.request.sizes()["responseBodySize"] for one in asked]
    requests, received = len(sizes) / PERIODS, sum(sizes) / PERIODS
    record_property(f"requests every {PERIOD_S} s", requests)
    record_property(f"bytes every {PERIOD_S} s", received)
    assert len(sizes) >= PERIODS - 1
    assert requests < REQUESTS
    assert received < BYTES


def test_a_month_is_drawn_at_once(browser: Browser, fleet: Fleet, record_property: Record) -> None:
    def month(route: Route) -> None:
        body = route.fetch().json()
        spread = {"avg": 20.0, "min": 10.0, "max": 30.0}
        first = datetime.now(UTC) - timedelta(hours=HOURS)
        at = [f"{first + timedelta(hours=hour):%Y-%m-%dT%H:00:00Z}" for hour in range(HOURS)]
        points = [
            {"t": moment, "samples": 360, "coverage": 1.0, "status": None, "cpu_percentage": spread}
            | {"memory_usage": spread, "memory_percentage": spread}
            for moment in at
        ]
        route.fulfill(json={**body, "data": {**body["data"], "step": "1h", "points": points}})

    with opened(browser, Console(fleet.url)) as page:
        page.route("**/api/history?*", month)
        page.goto("/hosts/1?range=30d")
        expect(page.locator(".chart .scatterlayer .trace").nth(5)).to_be_attached()
        page.get_by_role("button", name="7 d").click()
        page.get_by_role("button", name="30 d").click()
        page.wait_for_timeout(1_000)
        took = [
            float(one) for one in page.evaluate("performance.getEntriesByName('charts').map((one) => one.duration)")
        ]
    record_property(f"a month of {HOURS} points, ms", took[-1])
    assert len(took) == 1
    within(took[-1], MONTH_MS, "ms")
