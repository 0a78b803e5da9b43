"""People and admins behind nginx, which leaves it to the instances what they may do."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from config.config import Settings
from tests.deployed import Front, nginx
from tests.guarded import Guarded, bearer, guarding, id_of
from tests.intake import refused, stored
from tests.people import PASSWORD, jwt_of, person
from tests.service import report, running, settings_for

pytestmark = [pytest.mark.security, pytest.mark.slow]
Behind = tuple[Guarded, Front]


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A service that asks for tokens, behind nginx as both of its instances."""
    folder = tmp_path_factory.mktemp("behind")
    with guarding(settings(folder, "enforce")) as guard, nginx(guard.service.port, guard.service.port) as front:
        yield guard, front


def settings(folder: Path, mode: str) -> Settings:
    given = {"SECURITY_MODE": mode, "SERVER_FORWARDED_ALLOW_IPS": "127.0.0.1"}
    return settings_for(f"sqlite:///{folder}/test.db", folder, **given)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "encrypted"])
def test_a_browser_signs_in_stays_and_leaves_through_nginx(behind: Behind, *, tls: bool) -> None:
    guard, front = behind
    url, name = front.tls_url if tls else front.url, person(guard.url, f"browser-{tls}")
    with httpx.Client(base_url=url, headers={"Origin": url}, verify=front.trust) as browser:
        jwt_of(browser.post("/api/login", json={"user": name, "password": PASSWORD}))
        shown = bearer(jwt_of(browser.post("/api/login/refresh")))
        assert browser.get("/api/hosts", headers=shown).status_code == 200
        assert browser.post("/api/login/logout").json()["data"] == {"ended": True}
        refused(browser.get("/api/hosts", headers=shown), 401, "UNAUTHORIZED")
        refused(browser.post("/api/login/refresh"), 401, "UNAUTHORIZED")


def test_a_page_of_another_port_is_of_another_server(behind: Behind) -> None:
    guard, front = behind
    given = {"user": person(guard.url, "other-port"), "password": PASSWORD}
    for page in (front.tls_url, "http://127.0.0.1", guard.service.url):
        refused(httpx.post(f"{front.url}/api/login", json=given, headers={"Origin": page}), 403, "FORBIDDEN")


def test_an_admin_changes_things_through_nginx(behind: Behind) -> None:
    guard, front = behind
    host_id = stored(guard.service.post(report("changed"), **guard.ingest("changed")))["host_id"]
    with httpx.Client(base_url=front.url, headers=bearer(guard.admin)) as admin:
        made = admin.post("/api/tokens", json={"name": "made", "scope": "read"}).json()["data"]["token"]
        assert admin.post(f"/api/tokens/{id_of(made)}/rotate", json={}).status_code == 200
        assert admin.put(f"/api/hosts/{host_id}/tags", json={"tags": ["x"]}).status_code == 200
        assert admin.delete(f"/api/tokens/{id_of(made)}").status_code == 204
        assert admin.delete(f"/api/hosts/{host_id}").status_code == 204
    refused(httpx.delete(f"{front.url}/api/hosts/{host_id}"), 401, "UNAUTHORIZED")


@pytest.mark.parametrize("mode", ["off", "observe"])
def test_until_tokens_are_asked_for_nobody_changes_anything_through_nginx(tmp_path: Path, mode: str) -> None:
    with running(settings(tmp_path, mode)) as service, nginx(service.port, service.port) as front:
        host_id = stored(service.post(report("kept")))["host_id"]
        for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}):
            refused(httpx.delete(f"{front.url}/api/hosts/{host_id}", headers=headers), 403, "FORBIDDEN")
        assert httpx.get(f"{front.url}/api/hosts/{host_id}").status_code == 200
