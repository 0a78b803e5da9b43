"""Agents, tokens, storage and the sign-in, in a real browser of a service that asks for tokens."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from database.users import User
from services import jobs, signing
from tests.dashboard import WIDTHS, Console, Fleet, faults, opened
from tests.guarded import Guarded, bearer, guarding
from tests.intake import stored, until
from tests.people import PASSWORD, SECRET, person
from tests.service import Service, report, settings_for
from utils.utils import moment

pytestmark = [pytest.mark.dashboard, pytest.mark.security, pytest.mark.slow]

HOSTILE = "<img src=seen onerror=alert(1)>"
SEEN = "seen-1", "seen-2", HOSTILE
TOKEN, UNTIL = "resource-monitor-token", "resource-monitor-token-until"
ELSEWHERE = (
    "//evil.example",
    "/\\evil.example",
    "/\t/evil.example",
    "https://evil.example/",
    "javascript:alert(1)",
    "/login",
)


@pytest.fixture(scope="module")
def staff(new_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A service that asks for tokens, with an admin, a viewer, and agents that report more or less well."""
    given = {"SECURITY_MODE": "enforce", "SECURITY_JWT_SECRET": SECRET, "MONITORING_MAX_DATABASE_GIB": "1"}
    settings = settings_for(new_url("sqlite"), tmp_path_factory.mktemp("staff"), **given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "USED_EVERY_S", 0.1)
        with guarding(settings) as one:
            for name, role in (("ann", "admin"), ("vic", "viewer"), ("bob", "viewer")):
                person(one.url, name, role)
            _reported(one)
            yield one


def _reported(staff: Guarded) -> None:
    shown = bearer(staff.token("--scope", "ingest", "--hosts", "*", "--name", "all"))
    now = moment(staff.service.state["database"].clock.now()) + timedelta(hours=9)
    for host, ahead_s in zip(SEEN, (0, 95, 0), strict=True):
        at = f"{now + timedelta(seconds=ahead_s):%Y-%m-%d %H:%M:%S}"
        assert staff.service.post(report(host, get_datetime=at), **shown).status_code == 200
    wrong = report("seen-2", cpu_percentage="much")
    assert staff.service.post(wrong, **shown).status_code == 422
    until(lambda: len(_agents(staff)) == len(SEEN) and any(agent["refused"] for agent in _agents(staff)))
    until(lambda: bool(_quarantined(staff)))


def _agents(staff: Guarded) -> list[dict[str, object]]:
    found: list[dict[str, object]] = staff.get("/api/agents", staff.admin).json()["data"]
    return found


@pytest.fixture
def console(staff: Guarded) -> Console:
    """A browser says of itself that a page was answered 401: that is how one learns that a sign-in is needed."""
    return Console(staff.service.url, {401})


def sign_in(page: Page, name: str = "ann", password: str = PASSWORD) -> None:
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


def at(page: Page, path: str, name: str = "ann") -> None:
    """Opens a page as somebody who signs in for it."""
    page.goto(path)
    sign_in(page, name)
    expect(page).to_have_url(path)
    expect(page.locator("#state")).to_have_attribute("data-state", re.compile("live|away"))


def kept(page: Page) -> list[str]:
    """The tokens that the browser holds."""
    found: list[str] = page.evaluate("[...Object.values({...sessionStorage}), ...Object.values({...localStorage})]")
    return found


def shown_once(page: Page) -> str:
    """The secret of the dialog, which is nowhere any more once it is closed."""
    dialog = page.get_by_role("dialog")
    secret = dialog.get_by_role("group", name="The token").inner_text()
    dialog.get_by_role("button", name="I have copied it").click()
    expect(dialog).to_have_count(0)
    assert secret not in page.content()
    return secret


@pytest.mark.parametrize("path", ["/", "/agents?q=web-1"])
def test_without_a_sign_in_a_page_leads_to_it_and_back(page: Page, path: str) -> None:
    page.goto(path)
    expect(page).to_have_url(f"/login?next={quote(path, safe='')}")
    sign_in(page)
    expect(page).to_have_url(path)
    expect(page.locator("#state")).to_have_attribute("data-state", "live")


def test_a_read_token_keeps_a_wall_screen_and_leads_nowhere_else(page: Page, staff: Guarded) -> None:
    secret = staff.token("--scope", "read", "--name", "wall")
    for address in ELSEWHERE:
        page.goto(f"/login?next={quote(address, safe='')}")
        page.get_by_label("Read token").fill(secret)
        page.get_by_role("button", name="Keep the token").click()
        expect(page).to_have_url("/")
    page.goto("/login?next=%2F.%2F%2Fevil.example%2F..%2F..%2Fstorage")
    page.get_by_label("Read token").fill(secret)
    page.get_by_role("button", name="Keep the token").click()
    expect(page).to_have_url("/storage")
    expect(page.locator("#state")).to_have_attribute("data-state", "live")
    other = page.context.new_page()
    other.goto("/storage")
    expect(other.locator("#state")).to_have_attribute("data-state", "live")


def test_a_wall_screen_whose_token_was_revoked_is_told_why(page: Page, staff: Guarded) -> None:
    secret = staff.token("--scope", "read", "--name", "old wall")
    page.goto("/login?next=%2Fevents")
    expect(page.get_by_text("no longer accepted")).to_have_count(0)
    page.get_by_label("Read token").fill(secret)
    page.get_by_role("button", name="Keep the token").click()
    expect(page.locator("#state")).to_have_attribute("data-state", "live")
    revoked = staff.service.client.delete(f"/api/tokens/{secret.split('_')[1]}", headers=bearer(staff.admin))
    assert revoked.status_code == 204
    expect(page).to_have_url("/login?next=%2Fevents&why=token")
    expect(page.locator(".warning")).to_contain_text("The token that this browser has kept is no longer accepted")


def test_whose_sign_in_was_ended_elsewhere_is_told_so(page: Page) -> None:
    at(page, "/events")
    page.context.clear_cookies()
    page.evaluate(f"sessionStorage.setItem('{TOKEN}', 'none')")
    expect(page).to_have_url("/login?next=%2Fevents&why=over")
    expect(page.locator(".warning")).to_have_text("The sign-in has ended. Sign in again.")


def test_whoever_is_signed_in_already_is_told_so_and_led_on(page: Page) -> None:
    at(page, "/events")
    page.goto("/login?next=%2Fstorage")
    told = page.locator("p", has_text="This browser is signed in already.")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    told.get_by_role("link", name="Go on").click()
    expect(page).to_have_url("/storage")
    for address in ELSEWHERE:
        page.goto(f"/login?next={quote(address, safe='')}")
        expect(told.get_by_role("link")).to_have_attribute("href", "/")
    page.evaluate(f"sessionStorage.setItem('{TOKEN}', 'none')")
    page.context.clear_cookies()
    with page.expect_response("**/api/login/refresh"):
        page.reload()
    expect(told).to_be_hidden()


def test_where_nobody_is_asked_nobody_is_said_to_be_signed_in(browser: Browser, sqlite: Service) -> None:
    with opened(browser, Console(sqlite.url)) as page:
        page.goto("/login")
        page.evaluate(f"sessionStorage.setItem('{TOKEN}', 'none')")
        page.reload(wait_until="networkidle")
        expect(page.get_by_text("This server shows the fleet without a sign-in.")).to_be_visible()
        expect(page.locator("p", has_text="This browser is signed in already.")).to_be_hidden()


def test_a_token_that_is_unknown_is_not_kept(page: Page) -> None:
    page.goto("/login")
    page.get_by_label("Read token").fill("rms_0123456789ab_nothing")
    page.get_by_role("button", name="Keep the token").click()
    expect(page.get_by_role("alert").nth(1)).to_have_text("this token is not known, or no more")
    assert kept(page) == []


def test_a_wrong_password_is_said_and_too_many_say_when_to_try_again(page: Page, console: Console) -> None:
    console.tolerated.add(429)
    page.goto("/login")
    wrong = page.get_by_role("alert").first
    for _ in range(5):
        with page.expect_response("**/api/login"):
            sign_in(page, "bob", "wrong")
        expect(wrong).to_have_text("user or password is wrong")
    sign_in(page, "bob", "wrong")
    expect(wrong).to_have_text(re.compile(r"too many wrong passwords.*Try again at .*\d+:\d\d:\d\d"))
    assert kept(page) == []


def test_what_the_server_refuses_is_said_in_korean(browser: Browser, console: Console) -> None:
    console.tolerated.update({404, 422})
    with opened(browser, console, locale="ko-KR") as page:
        page.goto("/login?next=%2Fhosts%2F999")
        page.get_by_label("이름", exact=True).fill("ann")
        page.get_by_label("비밀번호", exact=True).fill("wrong")
        page.get_by_role("button", name="로그인").click()
        expect(page.get_by_role("alert").first).to_have_text("이름이나 비밀번호가 틀렸습니다")
        page.get_by_label("비밀번호", exact=True).fill(PASSWORD)
        page.get_by_role("button", name="로그인").click()
        expect(page.locator("#state")).to_contain_text("그런 호스트가 없습니다")
        page.goto("/events?cursor=nothing")
        expect(page.locator("#state")).to_contain_text("값이 규칙에 맞지 않습니다(cursor: not one of this list")


def test_signing_out_ends_the_session_and_takes_the_token(page: Page) -> None:
    at(page, "/storage")
    [jwt] = [text for text in kept(page) if text.startswith("eyJ")]
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url("/login")
    assert kept(page) == []
    assert page.request.get("/api/hosts", headers=bearer(jwt)).status == 401
    page.goto("/storage")
    expect(page).to_have_url("/login?next=%2Fstorage")


def test_who_cannot_sign_out_is_told(page: Page, console: Console) -> None:
    console.tolerated.add(503)
    at(page, "/storage")
    page.route("**/api/login/logout", lambda route: route.fulfill(status=503, body="{}"))
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#state")).to_have_text(re.compile("Signing out failed"))
    expect(page).to_have_url("/storage")


def expired(staff: Guarded, name: str) -> str:
    """What was signed for somebody an hour ago."""
    [(id_, role)] = staff.service.sql("SELECT id, role FROM users WHERE name = :name", name=name)
    hour_ago = moment(staff.service.state["database"].clock.now()) - timedelta(hours=1)
    return signing.sign(User(id_, name, "", role, hour_ago), "0" * 32, SECRET.encode(), hour_ago)


@pytest.mark.parametrize("known", [True, False], ids=["by its clock", "by a 401"])
def test_a_tab_whose_jwt_expired_gets_another_unnoticed(page: Page, staff: Guarded, *, known: bool) -> None:
    at(page, "/agents?q=seen")
    renewed: list[str] = []
    page.on("request", lambda request: renewed.append(request.url) if "refresh" in request.url else None)
    old = expired(staff, "ann")
    page.evaluate(f"sessionStorage.setItem('{TOKEN}', '{old}')")
    if known:
        page.evaluate(f"sessionStorage.setItem('{UNTIL}', '0')")
    page.reload()
    expect(page.locator("table.agents tbody tr")).to_have_count(len(SEEN))
    expect(page).to_have_url("/agents?q=seen")
    assert old not in kept(page)
    assert len(renewed) == 1  # however many questions were waiting for it


def test_a_viewer_is_told_who_sees_the_agents_without_asking(page: Page) -> None:
    page.clock.install()
    at(page, "/storage", "vic")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/agents" in request.url else None)
    page.goto("/agents")
    expect(page.locator("main")).to_contain_text("Only admins see this page. Sign in as an admin")
    expect(page.get_by_role("table")).to_have_count(0)
    expect(page.locator("#state")).to_contain_text("Not allowed: it takes an admin")
    page.clock.run_for(120_000)
    assert asked == []
    page.goto("/")
    expect(page.locator("tbody th").first).to_be_visible()


def test_agents_are_marked_filtered_and_sorted(page: Page) -> None:
    at(page, "/agents?q=seen")
    rows = page.locator("table.agents tbody tr")
    expect(rows).to_have_count(len(SEEN))
    bad = rows.filter(has_text="seen-2")
    expect(bad.locator(".wrong")).to_have_text(re.compile(r"^▲ clock 1m 3\ds ahead, ▲ 1 refused$"))
    expect(bad.locator(".refused")).to_have_text(re.compile("^1 · VALIDATION · "))
    expect(bad.locator(".token_id")).to_have_text("all")
    expect(rows.filter(has_text=HOSTILE)).to_have_count(1)
    page.get_by_role("button", name="Host ▲").click()
    expect(rows.locator("th")).to_have_text(["seen-2", "seen-1", HOSTILE])
    page.get_by_role("button", name="What is wrong").click()
    expect(rows.locator("th")).to_have_text(["seen-2", HOSTILE, "seen-1"])
    page.get_by_label("only those with a mark").check()
    expect(rows.locator("th")).to_have_text(["seen-2"])
    page.reload()
    expect(rows.locator("th")).to_have_text(["seen-2"])
    page.go_back()
    expect(rows).to_have_count(len(SEEN))
    page.get_by_label("Token", exact=True).select_option("without")
    expect(rows).to_have_count(0)


def test_an_admin_makes_a_token_and_revokes_it(page: Page, staff: Guarded) -> None:
    at(page, "/agents")
    page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("it's new")
    dialog.get_by_label("Host or pattern").fill("web-9")
    dialog.get_by_label("Expires in days").fill("30")
    dialog.get_by_role("button", name="Make the token").click()
    start = dialog.get_by_role("group", name="An installed agent").inner_text()
    secret = shown_once(page)
    assert start == f"AGENT_TOKEN='{secret}' python -m agent --server '{staff.service.url}'"
    assert _reports(staff, secret, "web-9").status_code == 200
    page.get_by_role("button", name="Revoke: it's new").click()
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Revoke", exact=True).click()
    expect(page.get_by_text("it's new is revoked.")).to_be_visible()
    row = page.get_by_role("region", name="Tokens").locator("tbody tr", has_text="it's new")
    expect(row).to_have_count(0)
    assert _reports(staff, secret, "web-9").status_code == 401
    page.get_by_label("also expired and revoked ones").check()
    expect(row.locator(".status")).to_have_text("× revoked")  # noqa: RUF001 - the sign of what is over
    expect(row.get_by_role("button")).to_have_count(0)


def _reports(staff: Guarded, secret: str, host: str) -> httpx.Response:
    return staff.service.post(report(host), **bearer(secret))


def test_what_the_server_refuses_is_said_in_the_dialog(page: Page, console: Console) -> None:
    console.tolerated.add(422)
    at(page, "/agents")
    page.get_by_role("button", name="New token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(" ")
    dialog.get_by_label("Scope").select_option("read")
    expect(dialog.get_by_label("Host or pattern")).to_be_hidden()
    dialog.get_by_role("button", name="Make the token").click()
    expect(dialog.get_by_role("alert")).to_contain_text("name:")
    expect(dialog.get_by_label("Scope")).to_have_value("read")


def test_another_secret_leaves_time_for_the_one_before(page: Page, staff: Guarded) -> None:
    before = staff.token("--scope", "ingest", "--host", "web-8", "--name", "turned")
    at(page, "/agents")
    page.get_by_role("button", name="Rotate: turned").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate", exact=True).click()
    after = shown_once(page)
    assert [_reports(staff, secret, "web-8").status_code for secret in (before, after)] == [200, 200]
    expect(page.locator("tbody tr", has_text="turned").locator(".previous")).to_have_text(
        re.compile("not used any more|used ")
    )


def test_a_refused_report_is_looked_at_and_replayed(page: Page, console: Console, staff: Guarded) -> None:
    console.tolerated.add(422)
    at(page, "/agents")
    page.get_by_role("button", name="View: seen-2").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("group", name="The report as it was sent")).to_contain_text('"cpu_percentage":"much"')
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Replay: seen-2").click()
    expect(page.get_by_text(re.compile("▲ Not stored: host.cpu_percentage"))).to_be_visible()
    _spoofed(staff)
    page.reload()
    page.get_by_role("button", name="Replay: web-7").click()
    expect(page.get_by_text("✓ The report of web-7 is stored.")).to_be_visible()
    expect(page.get_by_role("button", name="Replay: web-7")).to_be_hidden()


def _spoofed(staff: Guarded) -> None:
    """A report that is refused for its key alone."""
    shown = bearer(staff.token("--scope", "ingest", "--host", "web-7", "--name", "seven"))
    stored(staff.service.post(report("web-7"), **shown, Idempotency_Key="same"))
    assert staff.service.post(report("web-7", cpu_percentage=5), **shown, Idempotency_Key="same").status_code == 422
    until(lambda: any(one["host_name"] == "web-7" for one in _quarantined(staff)))


def _quarantined(staff: Guarded) -> list[dict[str, object]]:
    found: list[dict[str, object]] = staff.get("/api/agents/quarantine", staff.admin).json()["data"]
    return found


def test_the_storage_says_how_large_and_how_long(page: Page) -> None:
    at(page, "/storage")
    cards = page.locator(".card")
    expect(cards.nth(0)).to_contain_text("% of 1.0 GiB")
    expect(cards.nth(3)).to_contain_text("below the limit")
    raw = page.locator("tbody tr", has=page.get_by_text("reports", exact=True))
    expect(raw.locator(".kept")).to_have_text("3 days")
    expect(raw.locator(".rows")).to_have_text(re.compile(r"^≈ \d+$"))
    expect(page.locator("tbody tr", has_text="365 days").first).to_contain_text("of the limit")


@pytest.mark.parametrize("again", [False, True], ids=["signed in", "by the cookie"])
def test_a_viewer_sees_the_storage_without_asking_for_its_settings(page: Page, *, again: bool) -> None:
    at(page, "/storage", "vic")
    if again:
        page.evaluate("sessionStorage.clear()")
        page.reload()
    expect(page.locator("tbody tr .kept").first).to_have_text("–")  # noqa: RUF001 - the sign of what is not known
    expect(page.get_by_text("Only admins see for how long")).to_be_visible()


@pytest.mark.parametrize("width", WIDTHS)
def test_nobody_is_left_out(browser: Browser, console: Console, width: str) -> None:
    with opened(browser, console, viewport={"width": WIDTHS[width], "height": 900}, color_scheme="dark") as page:
        page.goto("/agents")
        expect(page).to_have_url(re.compile("/login"))
        found = faults(page)
        sign_in(page)
        page.get_by_role("button", name="New token").click()
        found += faults(page)
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        found += faults(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]
        page.goto("/storage")
        expect(page.locator("tbody tr").first).to_be_visible()
        assert found + faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]


def test_while_no_token_is_asked_for_the_page_says_how_to_make_one(browser: Browser, fleet: Fleet) -> None:
    with opened(browser, Console(fleet.url)) as page:
        page.goto("/agents")
        expect(page.get_by_text("While [security] mode is off")).to_be_visible()
        expect(page.get_by_role("button", name="New token")).to_be_hidden()
        page.goto("/login")
        expect(page.get_by_text("This server shows the fleet without a sign-in.")).to_be_visible()
