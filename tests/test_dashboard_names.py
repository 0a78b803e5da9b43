"""Names that would be scripts if anything read them as HTML (T6), through every page and into the files."""

import csv
import io
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.dashboard import Console, Fleet, at_work, opened
from tests.service import report, running, settings_for

pytestmark = [pytest.mark.dashboard, pytest.mark.slow]
PAYLOADS = [
    "<script>ran()</script>",
    "<img src=x onerror=ran()>",
    "<svg onload=ran()>",
    "<svg><script>ran()</script></svg>",
    '"><script>ran()</script>',
    "'><img src=x onerror=ran()>",
    '" onfocus=ran() autofocus x="',
    "' onmouseover='ran()",
    "</title><script>ran()</script>",
    "</textarea><script>ran()</script>",
    "<iframe srcdoc='<script>parent.ran()</script>'>",
    "<details open ontoggle=ran()>",
    "<a href=javascript:ran()>x</a>",
    "javascript:ran()//",
    "{{constructor.constructor('ran()')()}}",
    "${ran()}",
    "<b onclick=ran()>%{y}</b>",
    "&lt;script&gt;ran()&lt;/script&gt;",
    "=cmd|'/c calc'!A1",
    "@SUM(1+1)*cmd|'/c calc'!A1",
]
PAGES = ["/", "/containers", "/events", "/compare", "/agents", "/storage"]
# Those that show the names without being asked for one.
NAMING = ["/", "/containers", "/events", "/compare"]
# What any payload would call, and what would hold it if it stood in the page as an element or an attribute.
TRAP = "globalThis.ran = () => { globalThis.hasRun = (globalThis.hasRun ?? 0) + 1; };"
MADE = (
    "script:not([src]), [onerror], [onload], [onfocus], [onclick], [ontoggle], [onmouseover], iframe, "
    "a[href^='javascript:']"
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("names")
    settings = settings_for(f"sqlite:///{folder}/fleet.db", folder)
    with pytest.MonkeyPatch.context() as patch, at_work(patch), running(settings) as service:
        for age_s in (120, 60, 0):
            for name in PAYLOADS:
                shown = [
                    {"container_name": name, "status": name[:64], "cluster_name": name, "image": name}
                    for name in PAYLOADS
                ]
                assert service.post({**report(name, *shown), "age_s": age_s}).status_code == 200
        yield Fleet(service)


@pytest.fixture
def trapped(browser: Browser, fleet: Fleet) -> Iterator[Page]:
    with opened(browser, Console(fleet.url)) as page:
        page.add_init_script(TRAP)
        yield page


def judged(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    page.mouse.move(400, 400)
    assert page.evaluate("globalThis.hasRun") is None
    assert page.locator(MADE).count() == 0


@pytest.mark.parametrize("path", PAGES)
def test_t06_no_name_runs_on_a_page(trapped: Page, path: str) -> None:
    trapped.goto(path)
    if path in NAMING:
        expect(trapped.get_by_text(PAYLOADS[0]).locator("visible=true").first).to_be_visible()
    judged(trapped)


@pytest.mark.timeout(300)
def test_t06_no_name_runs_on_the_pages_of_a_host_and_its_containers(trapped: Page, fleet: Fleet) -> None:
    for host in fleet.service.data("/api/hosts"):
        trapped.goto(f"/hosts/{host['id']}")
        expect(trapped.locator("h1")).to_have_text(host["host_name"])
        judged(trapped)
    for name in PAYLOADS:
        trapped.goto(f"/hosts/1/containers/{quote(name, safe='')}")
        expect(trapped.locator("h1")).to_contain_text(name)
        judged(trapped)


def test_t06_no_name_runs_in_a_comparison(trapped: Page) -> None:
    query = "&".join(f"of={quote(f'1/{name}', safe='')}" for name in PAYLOADS[:8])
    trapped.goto(f"/compare?{query}")
    expect(trapped.locator(".chart .scatterlayer .trace").first).to_be_attached()
    judged(trapped)


def test_t07_files_hold_no_formula(trapped: Page) -> None:
    trapped.goto("/containers?limit=500")
    with trapped.expect_download() as download:
        trapped.get_by_role("button", name=re.compile("CSV")).click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8-sig"))))
    assert len(rows) == len(PAYLOADS) ** 2
    names = {row["container_name"] for row in rows}
    assert {"'" + name for name in PAYLOADS if name[0] in "=@"} <= names
    assert not [value for row in rows for value in row.values() if value and value[0] in "=+@-\t"]
